"""What happens by the clock: files are looked at, leases end, the public key is published."""

from collections.abc import Awaitable, Callable

from penstock.contracts.errors import Failure
from penstock.kit.clock import Clock
from penstock.kit.log import Log


class Every:
    """A background loop: `work` again and again; a failure is logged once until it works again."""

    def __init__(self, what: str, seconds: float, work: Callable[[], Awaitable[None]], clock: Clock, log: Log) -> None:
        self._what = what
        self._seconds = seconds
        self._work = work
        self._clock = clock
        self._log = log
        self._failing = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.once()
            await self._clock.sleep(self._seconds)

    async def once(self) -> None:
        """One turn."""
        try:
            await self._work()
        except Failure as failure:
            if str(failure) != self._failing:
                self._log.warning(f"{self._what} failed", why=str(failure))
            self._failing = str(failure)
        else:
            self._failing = ""
