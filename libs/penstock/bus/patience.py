"""Time in which a write or a read may be tried again: exponential pauses with jitter, and an end."""

import asyncio
import random

from penstock.bus.connection import Connection
from penstock.bus.limits import JetStreamLimits
from penstock.contracts.errors import Code, Failure

TRANSIENT = frozenset({Code.UNAVAILABLE, Code.DEADLINE, Code.OVERLOADED})


class Patience:
    """One budget of tries. `attempt_s` is what the next try may take."""

    def __init__(self, connection: Connection, limits: JetStreamLimits, budget_s: float) -> None:
        self._connection = connection
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + budget_s
        self._pause_s = limits.pause_first_s
        self._unknown = False

    @property
    def attempt_s(self) -> float:
        """Never zero, so that a try whose budget is just over still says what is wrong."""
        return max(0.05, min(self._limits.attempt_s, self._ends - self._loop.time()))

    async def after(self, failure: Failure) -> None:
        """Waits until the next try. Raises `failure` when it is not of the passing kind, and when time is up.

        After a try whose answer never came the last word is DEADLINE: it may have taken effect.
        """
        if failure.code not in TRANSIENT:
            raise failure
        if failure.code is Code.DEADLINE:
            self._unknown = True
        left_s = self._ends - self._loop.time()
        if left_s <= 0:
            raise self._last_word(failure) from failure
        if not await self._connection.wait_connected(left_s):
            raise self._last_word(failure) from failure
        left_s = max(0.0, self._ends - self._loop.time())
        await asyncio.sleep(min(left_s, self._pause_s * random.uniform(0.5, 1.5)))
        self._pause_s = min(self._pause_s * 2, self._limits.pause_last_s)

    def _last_word(self, failure: Failure) -> Failure:
        if self._unknown:
            return Failure(Code.DEADLINE, "the broker did not acknowledge in time; it may have taken effect")
        return failure
