"""A peer that answers a tenant's calls about one job on a real broker, as told by a test."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.bus import Bus, BusConfig
from penstock.contracts import jobs
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import TOKEN
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import JOB_EVENT, JOB_EVENTS, JOB_GET, JOB_SUBMIT, JOB_TOKEN, JOB_TOKENS

TENANT = "acme"
JOB = "job_1"


class JobsDesk:
    """`events` and `frames` are what the calls know; `say` and `show` publish live, and know it too unless told not."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.events: list[jobs.JobEvent] = []
        self.frames: list[jobs.TokenFrame] = []
        self.submitted: list[jobs.Job] = []
        self.tokens_seen: list[str] = []
        self.tokens_given = 0
        self.token_life_s = 3600.0
        self.good_tokens: set[str] = set()
        self.gets_failing = 0

    def say(self, type: str, *, live: bool = True, step: str = "") -> None:
        event = jobs.JobEvent(job=JOB, n=len(self.events), type=type, time=0.0, step=step)
        self.events.append(event)
        if live:
            self.bus.emit_live(JOB_EVENT, event, tenant=TENANT, job=JOB)

    def show(self, text: str, *, live: bool = True, step: str = "s1", last: bool = False) -> None:
        seq = sum(1 for frame in self.frames if frame.step == step)
        frame = jobs.TokenFrame(job=JOB, step=step, seq=seq, text=text, last=last)
        self.frames.append(frame)
        if live:
            self.bus.emit_live(JOB_TOKEN, frame, tenant=TENANT, job=JOB)

    async def serve(self) -> None:
        serve = self.bus.serve_call
        await serve(TOKEN, self._token, in_flight_max=8)
        await serve(JOB_SUBMIT, self._submit, in_flight_max=8)
        await serve(JOB_GET, self._get, in_flight_max=8)
        await serve(JOB_EVENTS, self._events, in_flight_max=8)
        await serve(JOB_TOKENS, self._frames, in_flight_max=8)
        await self.bus.connection.round_trip(2.0)

    async def _token(self, request: jobs.TokenRequest, meta: Meta) -> jobs.TokenReply:
        if request.api_key != "psk_good_key":
            raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        self.tokens_given += 1
        token = f"token-{self.tokens_given}"
        self.good_tokens.add(token)
        return jobs.TokenReply(token, meta.tenant, time.time() + self.token_life_s)

    def _check(self, meta: Meta) -> None:
        self.tokens_seen.append(meta.token)
        if meta.token not in self.good_tokens:
            raise Failure(Code.UNAUTHENTICATED, "the token is refused")

    async def _submit(self, job: jobs.Job, meta: Meta) -> jobs.Submitted:
        self._check(meta)
        self.submitted.append(job)
        return jobs.Submitted(job.id or JOB)

    async def _get(self, ref: jobs.JobRef, meta: Meta) -> jobs.JobView:
        self._check(meta)
        if self.gets_failing:
            self.gets_failing -= 1
            raise Failure(Code.UNAVAILABLE, "nobody is there just now")
        self._known(ref.id)
        return jobs.JobView(ref.id, "chat", "completed", 0.0, 0.0)

    async def _events(self, request: jobs.JobEventsRequest, meta: Meta) -> jobs.JobEvents:
        self._check(meta)
        self._known(request.id)
        return jobs.JobEvents([event for event in self.events if event.n > request.after][: request.limit])

    async def _frames(self, request: jobs.JobTokensRequest, meta: Meta) -> jobs.JobTokens:
        self._check(meta)
        return jobs.JobTokens(
            [
                frame
                for frame in self.frames
                if (not request.step or frame.step == request.step) and frame.seq > request.after_seq
            ]
        )

    def _known(self, id: str) -> None:
        if id != JOB or not self.events:
            raise Failure(Code.NOT_FOUND, f"there is no job {id}")


@asynccontextmanager
async def jobs_desk(url: str) -> AsyncIterator[JobsDesk]:
    bus = await Bus.connect(BusConfig(url=url, principal="orchestrator"))
    desk = JobsDesk(bus)
    try:
        await desk.serve()
        yield desk
    finally:
        await asyncio.shield(bus.close())
