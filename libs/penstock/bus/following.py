"""Following a stream: a live subscription wakes, what is handed on is read from the stream by sequence."""

import asyncio
from collections.abc import AsyncGenerator

from penstock.bus.jetstream import JetStream, Record
from penstock.bus.message import Message


class _Bell:
    """Counts live messages, so that a follower knows how many stored ones it still has to find."""

    def __init__(self) -> None:
        self.rung = 0
        self._wake = asyncio.Event()

    def ring(self, _: Message) -> None:
        self.rung += 1
        self._wake.set()

    def reconnected(self) -> None:
        self._wake.set()

    async def wait(self, timeout_s: float) -> None:
        """Until somebody rings; at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()


class _Search:
    """What was heard live and not yet found: it is not stored yet, or not on the replica that answered."""

    def __init__(self, first_pause_s: float, last_pause_s: float) -> None:
        self._first_pause_s = first_pause_s
        self._last_pause_s = last_pause_s
        self._pause_s = first_pause_s
        self._heard = 0
        self._owed = 0
        self._replayed = False

    def heard(self, rung: int) -> None:
        self._owed += rung - self._heard
        self._heard = rung

    def found(self, count: int) -> None:
        # what the first read finds is history: it says nothing of what was heard since
        if self._replayed:
            self._owed = max(0, self._owed - count)
        self._replayed = True
        if count:
            self._pause_s = self._first_pause_s

    def pause_s(self) -> float:
        """How soon to look again; 0 when nothing is owed, or it was refused by the stream and never comes."""
        if not self._owed or self._pause_s > self._last_pause_s:
            self._owed, self._pause_s = 0, self._first_pause_s
            return 0.0
        pause_s, self._pause_s = self._pause_s, self._pause_s * 2
        return pause_s


async def pages(
    jetstream: JetStream, stream: str, filter: str, after: int = 0, poll_s: float = 0.0
) -> AsyncGenerator[list[Record], None]:
    """What is stored after `after`, then what comes: in order, each once, across reconnects. Never ends by itself.

    An empty page says that there was nothing new: it comes at least every `poll_s` (0: the limits' `follow_poll_s`).
    Waits for a broker that is away as long as a read is tried (`budget_s`), then raises Failure(UNAVAILABLE).
    """
    limits = jetstream.limits
    bell = _Bell()
    connection = jetstream.connection
    subscription = await connection.subscribe(filter, bell.ring)
    remove = connection.on_reconnect(bell.reconnected)
    search = _Search(limits.pause_first_s / 10, limits.pause_last_s)
    try:
        while True:
            search.heard(bell.rung)
            records = await jetstream.read(stream, filter, after=after, limit=limits.page_max_messages)
            if records:
                after = records[-1].sequence
            yield records
            search.found(len(records))
            if len(records) < limits.page_max_messages:
                await bell.wait(search.pause_s() or poll_s or limits.follow_poll_s)
    finally:
        remove()
        await subscription.close()
