"""Follows one job: live messages, and calls that fetch whatever they lack, as one sequence without gap or repeat."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from penstock.client.feed import Feed
from penstock.client.order import FINAL_EVENTS, EventOrder, FrameOrder, woven
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import JobEvent, TokenFrame

Result = TypeVar("Result")

TRANSIENT = frozenset({Code.UNAVAILABLE, Code.OVERLOADED, Code.RATE_LIMITED, Code.DEADLINE, Code.UNKNOWN_OUTCOME})
"""What passes while a service or the broker is restarted."""


class Limits(Struct, frozen=True):
    """silence_s: after so long without news the follower asks by itself. patience_s: how long services may be away.

    held_max: live messages that may wait for a slow reader (what is beyond is fetched again later); page_max: events
    or frames in one answer. pause_s: between two tries.
    """

    silence_s: float = 5.0
    patience_s: float = 60.0
    held_max: int = 10_000
    page_max: int = 500
    pause_s: float = 0.25


FetchEvents = Callable[[int, int], Awaitable[Sequence[JobEvent]]]
"""(after, limit) to the events after that number."""
FetchFrames = Callable[[str, int], Awaitable[Sequence[TokenFrame]]]
"""(step or "" for all, after seq) to the frames."""


class Follower:
    """One reader of one job. `appears_within_s`: how long the job may be unknown (it was published a moment ago)."""

    def __init__(
        self,
        feed: Feed,
        events: FetchEvents,
        frames: FetchFrames | None,
        limits: Limits,
        *,
        after: int = -1,
        appears_within_s: float = 0.0,
    ) -> None:
        self._feed = feed
        self._fetch_events = events
        self._fetch_frames = frames
        self._limits = limits
        self._order = EventOrder(after)
        self._frames = FrameOrder()
        self._appears_within_s = appears_within_s

    async def items(self) -> AsyncGenerator[JobEvent | TokenFrame, None]:
        """Ends after a final event. Raises Failure NOT_FOUND for an unknown job, and what outlasts the patience."""
        while True:
            arrived = None if self._feed.disturbed else await self._feed.next(self._limits.silence_s)
            for ready in await (self._catch_up() if arrived is None else self._arrived(arrived)):
                yield ready
                if _final(ready):
                    return

    async def _arrived(self, item: JobEvent | TokenFrame) -> list[JobEvent | TokenFrame]:
        if isinstance(item, TokenFrame):
            return [*await self._arrived_frame(item)]
        place = self._order.take(item)
        if place == "next" and _final(item):
            return [*await self._missing_frames(""), item]
        if place == "gap":
            self._feed.disturb()
        return [item] if place == "next" else []

    async def _arrived_frame(self, frame: TokenFrame) -> list[TokenFrame]:
        place = self._frames.take(frame)
        if place != "gap":
            return [frame] if place == "next" else []
        fetched = await self._missing_frames(frame.step)
        # what the stream no longer has is lost: go on with what there is
        return [*fetched, frame] if self._frames.take(frame, over_gap=True) == "next" else fetched

    async def _catch_up(self) -> list[JobEvent | TokenFrame]:
        """What happened since the last event taken, when something may be missing or it was silent for long."""
        disturbed, self._feed.disturbed = self._feed.disturbed, False
        events: list[JobEvent] = []
        while True:
            page = await self._patiently(lambda: self._fetch_events(self._order.last, self._limits.page_max))
            # they are stored in order: a number that is not among them has expired
            events += [event for event in page if self._order.take(event, over_gap=True) == "next"]
            if len(page) < self._limits.page_max:
                break
        self._appears_within_s = 0.0
        steps = [""] if disturbed or events else self._frames.open
        frames = [frame for step in steps for frame in await self._missing_frames(step)]
        return woven(events, frames)

    async def _missing_frames(self, step: str) -> list[TokenFrame]:
        fetch = self._fetch_frames
        if fetch is None:
            return []
        after = self._frames.after(step) if step else -1
        found = await self._patiently(lambda: fetch(step, after))
        return [frame for frame in found if self._frames.take(frame, over_gap=True) == "next"]

    async def _patiently(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        return await patiently(ask, self._limits, self._appears_within_s)


async def patiently(ask: Callable[[], Awaitable[Result]], limits: Limits, appears_within_s: float = 0.0) -> Result:
    """The answer, asked for again while services are away, for as long as the limits say; and for `appears_within_s`
    while the job is not known."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        try:
            return await ask()
        except Failure as failure:
            bound_s = limits.patience_s if failure.code in TRANSIENT else 0.0
            if failure.code is Code.NOT_FOUND:
                bound_s = appears_within_s
            if clock() - began >= bound_s:
                raise
            await asyncio.sleep(max(limits.pause_s, min(failure.retry_after_s, 5.0)))


def _final(item: JobEvent | TokenFrame) -> bool:
    return isinstance(item, JobEvent) and item.type in FINAL_EVENTS
