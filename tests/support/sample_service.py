"""A small service for tests of the kit: python -m tests.support.sample_service, or `running(sample, ...)`.

It calls itself `router`, so that the table of subjects knows its streams.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.bus import Item, Sender
from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Job
from penstock.contracts.meta import Meta
from penstock.contracts.services import ROUTER
from penstock.contracts.subjects import JOB
from penstock.kit.config import KitConfig, Secret
from penstock.kit.service import Parts, Service, answer, edge, run, stream, work
from tests.support.echo import COUNT, ECHO, ONCE, TENANT_ECHO, Ask, Said


class Config(KitConfig, frozen=True, kw_only=True):
    """`obstacle`: what keeps it from starting, in words; `works`: whether it takes jobs."""

    api_key: Secret = Secret()
    obstacle: str = ""
    works: bool = False


class Handlers:
    """`echo` answers, or fails as the text says; `record` leaves a record behind."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.seen: list[Meta] = []
        self.jobs: list[Job] = []
        self.hold = asyncio.Event()
        self.edge_ended = False

    async def echo(self, request: Ask, meta: Meta) -> Said:
        self.seen.append(meta)
        if request.text == "bug":
            raise KeyError("a prompt that must not be logged")
        if request.text == "refuse":
            raise Failure(Code.NOT_FOUND, "there is no such thing")
        return Said(f"{request.text} for {self._parts.identities.claims(meta).sub}")

    async def open_echo(self, request: Ask, meta: Meta) -> Said:
        self.seen.append(meta)
        self._parts.log.info("asked", text=request.text)
        await asyncio.sleep(request.wait_s)
        if request.text == "record":
            recorder = self._parts.recorder
            outcome = OutcomeRecord(decision="dec_1", attempt="att_1", status="ok")
            await recorder.enqueue(recorder.envelope(outcome, "acme"), "acme")
        return Said(request.text)

    async def count(self, request: Ask, meta: Meta, out: Sender) -> Said:
        self.seen.append(meta)
        await out.send(request.text.encode())
        return Said("counted")

    async def take(self, item: Item[Job]) -> None:
        self._parts.log.info("took", kind=item.body.kind)
        await self.hold.wait()
        self.jobs.append(item.body)

    async def serve(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self.edge_ended = True


@asynccontextmanager
async def sample(config: Config, parts: Parts) -> AsyncIterator[Service]:
    if config.obstacle:
        raise Failure(Code.INVALID, config.obstacle)
    handlers = Handlers(parts)
    endpoints = [
        answer(ECHO, handlers.echo),
        answer(ONCE, handlers.open_echo, open_to_all=True),
        answer(TENANT_ECHO, handlers.echo),
        stream(COUNT, handlers.count, open_to_all=True),
        edge("http", handlers.serve),
    ]
    if config.works:
        endpoints.append(work(JOB, handlers.take, slots=1))
    service = Service(ROUTER, endpoints)
    yield service
    parts.log.info("parts closed", edge_ended=handlers.edge_ended)


if __name__ == "__main__":
    run(sample, Config, ROUTER)
