"""A job's events, and if asked its tokens, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec

from penstock.bus import Bus, Stored
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import JobEvent, TokenFrame
from penstock.contracts.subjects import JOB_EVENT, JOB_TOKEN

LAST = frozenset({"completed", "failed", "denied", "cancelled", "refused"})
WAITING_MAX = 256
"""Events that may wait for a slow client; then reading from the bus pauses."""


async def job_frames(bus: Bus, tenant: str, job: str, *, after: int, tokens: bool) -> AsyncGenerator[bytes, None]:
    """Events numbered above `after`, in order, without repeats, to the job's last; tokens in between, as they come."""
    sources: list[AsyncIterator[Stored[JobEvent]] | AsyncIterator[Stored[TokenFrame]]]
    sources = [bus.follow(JOB_EVENT, tenant=tenant, job=job)]
    if tokens:
        sources.append(bus.follow(JOB_TOKEN, tenant=tenant, job=job))
    async with aclosing(_merged(sources)) as bodies:
        async for body in bodies:
            if isinstance(body, TokenFrame):
                yield _token(body)
            elif body.n > after:
                after = body.n
                yield _event(body)
                if body.type in LAST:
                    return


async def _merged(
    sources: list[AsyncIterator[Stored[JobEvent]] | AsyncIterator[Stored[TokenFrame]]],
) -> AsyncGenerator[JobEvent | TokenFrame, None]:
    """What any source has, as it comes; raises what ends one."""
    waiting: asyncio.Queue[JobEvent | TokenFrame | Failure] = asyncio.Queue(WAITING_MAX)

    async def forward(source: AsyncIterator[Stored[JobEvent]] | AsyncIterator[Stored[TokenFrame]]) -> None:
        try:
            async for stored in source:
                await waiting.put(stored.body)
        except Failure as failure:
            await waiting.put(failure)

    forwards = [asyncio.create_task(forward(source)) for source in sources]
    try:
        while True:
            body = await waiting.get()
            if isinstance(body, Failure):
                raise body
            yield body
    finally:
        for task in forwards:
            task.cancel()
        await asyncio.gather(*forwards, return_exceptions=True)


def _event(body: JobEvent) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (body.n, body.type.encode(), msgspec.json.encode(body))


def _token(body: TokenFrame) -> bytes:
    return b"event: token\ndata: %b\n\n" % msgspec.json.encode(body)
