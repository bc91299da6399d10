"""A clock that stands still until the test moves it."""

import asyncio


class HandClock:
    """`move(seconds)` lets time pass: whoever sleeps until then wakes."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now + self._passed

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._passed + seconds, sleeper))
        await sleeper

    @property
    def sleeping(self) -> int:
        return sum(not sleeper.done() for _, sleeper in self._sleepers)

    def move(self, seconds: float) -> None:
        self._passed += seconds
        due = [sleeper for at, sleeper in self._sleepers if at <= self._passed]
        self._sleepers = [(at, sleeper) for at, sleeper in self._sleepers if at > self._passed]
        for sleeper in due:
            if not sleeper.done():
                sleeper.set_result(None)
