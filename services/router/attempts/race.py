"""A second attempt beside a first that is slow: who has content first answers, the other one is stopped."""

import asyncio
from collections.abc import Coroutine
from typing import Generic, TypeVar

from penstock.contracts.errors import Code, Failure

Result = TypeVar("Result")

STOP_S = 1.0
"""How long those who lost may take to hang up."""


class Lost(Failure):
    """Another attempt had content first: what this one has goes nowhere."""

    def __init__(self) -> None:
        super().__init__(Code.CANCELLED, "another deployment was faster")


class Race(Generic[Result]):
    """Legs of one request, by number; each is a task that ends with a result, or None when it came to nothing."""

    def __init__(self) -> None:
        self._legs: list[asyncio.Task[Result | None]] = []
        self._winner: int | None = None
        self._moved = asyncio.Event()

    @property
    def decided(self) -> bool:
        """Whether somebody had content, or the first has ended."""
        return self._winner is not None or self._legs[0].done()

    def start(self, leg: Coroutine[object, object, Result | None]) -> None:
        """One more leg."""
        task = asyncio.ensure_future(leg)
        task.add_done_callback(lambda _: self._moved.set())
        self._legs.append(task)

    def claim(self, leg: int) -> None:
        """This leg has content: all others are stopped. Raises Lost when one of them was first."""
        if self._winner is None:
            self._winner = leg
            for number, task in enumerate(self._legs):
                if number != leg:
                    task.cancel()
            self._moved.set()
        elif self._winner != leg:
            raise Lost

    async def wait(self, seconds: float) -> None:
        """Until it is decided, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                while not self.decided:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    async def result(self) -> Result | None:
        """Of whoever has one first. What a leg raises holds when it had content, or when no other leg comes to more."""
        waiting = set(self._legs)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for leg in done:
                error = None if leg.cancelled() else leg.exception()
                if error is not None and self._legs.index(leg) == self._winner:
                    raise error
                if not leg.cancelled() and error is None and (result := leg.result()) is not None:
                    return result
        errors = [leg.exception() for leg in self._legs if not leg.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, Lost):
                raise error
        return None

    async def stop(self) -> None:
        """Nobody runs on; what they raise is nobody's any more."""
        running = [leg for leg in self._legs if not leg.done()]
        for leg in running:
            leg.cancel()
        if running:
            await asyncio.wait(running, timeout=STOP_S)
        for leg in self._legs:
            if leg.done() and not leg.cancelled():
                leg.exception()
