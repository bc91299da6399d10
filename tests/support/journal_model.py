"""A run's journal in memory, with the broker's rule (fenced by the last sequence), and a crash where one is wanted."""

from penstock.bus import Fenced
from penstock.contracts.runs import AnyRunEvent


class Crash(BaseException):
    """The process is gone. Not an Exception: nothing may handle it."""


class MemoryJournal:
    """`events` outlive every writer. Sequences have gaps, as on a stream that many runs share."""

    def __init__(self, events: list[tuple[int, AnyRunEvent]] | None = None) -> None:
        self.events = events or []

    @property
    def last(self) -> int:
        return self.events[-1][0] if self.events else 0

    def writer(self, crash_after: int = -1, *, stored: bool = True) -> "MemoryWriter":
        """One that appends after what stands now, and crashes at its append number `crash_after` (from 0), which is
        `stored` or not."""
        return MemoryWriter(self, crash_after, stored)


class MemoryWriter:
    """What RunLog appends through."""

    def __init__(self, journal: MemoryJournal, crash_after: int, stored: bool) -> None:
        self._journal = journal
        self._expected = journal.last
        self._crash_after = crash_after
        self._stored = stored
        self.appends = 0

    async def append(self, event: AnyRunEvent) -> int:
        number, self.appends = self.appends, self.appends + 1
        crash = number == self._crash_after
        if (crash and not self._stored) or 0 <= self._crash_after < number:
            raise Crash
        if self._journal.last != self._expected:
            raise Fenced("penstock.run.00.run.j", self._journal.last)
        self._expected += 3
        self._journal.events.append((self._expected, event))
        if crash:
            raise Crash
        return self._expected


class FastClock:
    """Time passes only by sleeping, and sleeping takes no time."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
