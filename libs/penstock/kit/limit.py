"""Bounded concurrency: so many at once, so many that wait, and a plain `overloaded` for the rest."""

import asyncio
from types import TracebackType

from penstock.contracts.errors import Code, Failure


class Limit:
    """`async with limit:` holds one of `in_flight_max` places.

    Up to `waiting_max` more wait for a place, in order, at most `wait_s` each; all others get Failure(OVERLOADED).
    """

    def __init__(self, what: str, in_flight_max: int, *, waiting_max: int = 0, wait_s: float = 5.0) -> None:
        self._what = what
        self._places = asyncio.Semaphore(in_flight_max)
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self.in_flight = 0
        self.waiting = 0

    async def __aenter__(self) -> "Limit":
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        self.in_flight += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
        self._places.release()

    async def _wait(self) -> None:
        if self.waiting >= self._waiting_max:
            raise self._refusal()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self.waiting -= 1

    def _refusal(self) -> Failure:
        return Failure(Code.OVERLOADED, f"too many at once: {self._what}", retry_after_s=1.0)
