"""Whether this service can do its work, asked of the broker itself every few seconds; and what it says when not."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from penstock.contracts.errors import Failure
from penstock.kit.clock import Clock
from penstock.kit.health import State
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics

CHECK_TIMEOUT_S = 2.0
STALE_CHECKS = 4
"""A check older than so many intervals is no knowledge any more."""
LAG_EVERY_S = 0.5

Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises Failure, whose detail says what is not."""


class Readiness:
    """Ready is: started, not stopping, every check passed lately, nothing crashed."""

    def __init__(self, service: str, clock: Clock, metrics: Metrics, log: Log, every_s: float) -> None:
        self._service = service
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._every_s = every_s
        self._checks: dict[str, Check] = {}
        self._facts: dict[str, Callable[[], str]] = {}
        self._notes: dict[str, Callable[[], str]] = {}
        self._failing: dict[str, str] = {}
        self._checked_at: float | None = None
        self._was_ready = False
        self.phase = "starting"
        """"starting: …", "stopping" and so on: why not ready whatever the checks say; "" when they decide."""
        self.crashed = ""
        """Which part has ended that should not have: the process is not live any more."""

    def add(self, name: str, check: Check) -> None:
        """`check` is asked in every round, for CHECK_TIMEOUT_S at most."""
        self._checks[name] = check

    def fact(self, name: str, why_not: Callable[[], str]) -> None:
        """`why_not` is read whenever somebody asks; "" is well."""
        self._facts[name] = why_not

    def note(self, name: str, read: Callable[[], str]) -> None:
        """`read` is said whenever somebody asks, unless it is "": the service is ready all the same."""
        self._notes[name] = read

    def live(self) -> State:
        """Answering at all shows that the loop runs; a crashed part is said."""
        return State(not self.crashed, self._service, [self.crashed] if self.crashed else [])

    def ready(self) -> State:
        """What is known now, with its age."""
        reasons = [text for text in (self.crashed, self.phase) if text]
        reasons += [f"{name}: {why}" for name, read in self._facts.items() if (why := read())]
        reasons += [f"{name}: {why}" for name, why in self._failing.items()]
        age = -1.0 if self._checked_at is None else self._clock.monotonic() - self._checked_at
        if not reasons and not 0 <= age <= self._every_s * STALE_CHECKS + CHECK_TIMEOUT_S * max(len(self._checks), 1):
            reasons.append("nothing is known: the checks have stopped")
        notes = [f"{name}: {text}" for name, read in self._notes.items() if (text := read())]
        return State(not reasons, self._service, reasons, round(age, 1), notes or msgspec.UNSET)

    async def check(self) -> None:
        """One round, all checks at once; what changed is logged once."""
        results = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        found = {name: why for name, why in results if why}
        if found != self._failing:
            for name in self._failing.keys() - found.keys():
                self._log.info("check passes again", check=name)
            for name in found.keys() - self._failing.keys():
                self._log.warning("check fails", check=name, why=found[name])
        self._failing = found
        self._checked_at = self._clock.monotonic()
        self._metrics.ready.set(1.0 if self.ready().ok else 0.0)

    async def watch(self) -> None:
        """Checks for ever."""
        while True:
            await self.check()
            await self._clock.sleep(self._every_s)

    async def _ask(self, name: str, check: Check) -> tuple[str, str]:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Failure as failure:
            return name, failure.detail or str(failure.code)
        except TimeoutError:
            return name, f"no answer within {CHECK_TIMEOUT_S:g} s"
        return name, ""


async def watch_loop_lag(metrics: Metrics) -> None:
    """How late the loop wakes us is how long others waited for it."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        metrics.loop_lag_seconds.set(max(0.0, loop.time() - due))
