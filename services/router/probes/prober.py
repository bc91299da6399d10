"""When which deployment is probed: on its own schedule, and as the one trial after a rest.

Probes are paid for by an API key of their own, and decided by policy as any request. Without that key there are none.
"""

import asyncio
import random

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate, Identity
from penstock.kit.clock import Clock
from penstock.kit.config import Secret
from penstock.kit.log import Log
from services.router.attempts.board import Board
from services.router.choosing import health
from services.router.choosing.standing import UNSEEN
from services.router.models.current import Models
from services.router.models.deployment import Deployment, Probing
from services.router.probes.probe import OK, Probes
from services.router.probes.turn import ProbeTurns

LOOK_EVERY_S = 0.25
AT_ONCE_MAX = 16
JITTER = (0.9, 1.1)
HOLD_MARGIN_S = 10.0
FRESH_S = 30.0
"""A token that ends sooner is exchanged for a new one."""
AUTHENTICATE_TIMEOUT_S = 5.0
TRIALS_APART_S = 10.0


class Payer:
    """Who pays for probes: an API key, exchanged for a token as long as that is good."""

    def __init__(self, bus: Bus, key: Secret, clock: Clock) -> None:
        self._bus = bus
        self._key = key
        self._clock = clock
        self._identity: Identity | None = None

    async def identity(self) -> Identity:
        """Raises Failure."""
        if self._identity is None or self._identity.expires < self._clock.now() + FRESH_S:
            asked = Authenticate(self._key.reveal())
            self._identity = await self._bus.call(POLICY_AUTHENTICATE, asked, Meta(), timeout_s=AUTHENTICATE_TIMEOUT_S)
        return self._identity

    def forget(self) -> None:
        """Its token was refused."""
        self._identity = None


class Prober:
    """`run` is in the background for as long as the router is."""

    def __init__(
        self, models: Models, probes: Probes, payer: Payer, turns: ProbeTurns, board: Board, clock: Clock, log: Log
    ) -> None:
        self._models = models
        self._probes = probes
        self._payer = payer
        self._turns = turns
        self._board = board
        self._clock = clock
        self._log = log
        self._due: dict[str, float] = {}
        self._no_trial_before: dict[str, float] = {}
        self._under_way: set[str] = set()

    async def run(self) -> None:
        """For ever. Stopped, it stops what is under way, which is recorded as cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for deployment, settings, alias in self._now_due():
                    self._under_way.add(deployment.id)
                    group.create_task(self._probe(deployment, settings, alias))
                await self._clock.sleep(LOOK_EVERY_S)

    def _now_due(self) -> list[tuple[Deployment, Probing, str]]:
        """With the first alias that lists each: it is what policy is asked about."""
        probed: dict[str, tuple[Deployment, Probing, str]] = {}
        for alias in self._models.current.aliases.values():
            for each in alias.everyone():
                if each.probe is not None:
                    probed.setdefault(each.id, (each, each.probe, alias.name))
        self._due = {id: due for id, due in self._due.items() if id in probed}
        self._no_trial_before = {id: at for id, at in self._no_trial_before.items() if id in probed}
        ready = [found for found in probed.values() if self._is_due(found[0], found[1])]
        return ready[: max(AT_ONCE_MAX - len(self._under_way), 0)]

    def _is_due(self, deployment: Deployment, settings: Probing) -> bool:
        now = self._board.now()
        due = self._due.setdefault(deployment.id, now + random.uniform(0.0, settings.every_s))
        standing = self._board.standings.get(deployment.id, UNSEEN)
        busy = standing.in_flight >= deployment.concurrency_max
        if busy or deployment.id in self._under_way or health.resting(standing.breaker, now):
            return False
        tries = self._untried(deployment) and now >= self._no_trial_before.get(deployment.id, 0.0)
        return (now >= due or tries) and self._probes.key(deployment) is not None

    def _untried(self, deployment: Deployment) -> bool:
        standing = self._board.standings.get(deployment.id, UNSEEN)
        return standing.untried_s(deployment, self._board.now()) > 0

    async def _probe(self, deployment: Deployment, settings: Probing, alias: str) -> None:
        try:
            trial = self._untried(deployment)
            # each router has to try by itself after a rest, and all together probe once in an interval
            what = f"{deployment.id}:trial" if trial else deployment.id
            looks = 2 if settings.streamed else 1
            ours = await self._turns.take(what, looks * settings.within_s + HOLD_MARGIN_S)
            if ours:
                try:
                    await self._ask(deployment, alias, looks)
                finally:
                    await self._turns.done(what, 0.0 if trial else settings.every_s * JITTER[0])
            if ours or not trial:
                self._due[deployment.id] = self._board.now() + settings.every_s * random.uniform(*JITTER)
            if ours and self._untried(deployment):  # nothing was learned: whom policy refuses does not ask without end
                self._no_trial_before[deployment.id] = self._board.now() + TRIALS_APART_S
        finally:
            self._under_way.discard(deployment.id)

    async def _ask(self, deployment: Deployment, alias: str, looks: int) -> None:
        try:
            who = await self._payer.identity()
        except Failure as failure:
            self._probes.metrics.probes.add(deployment.name, "no_token")
            self._log.warning("probe", deployment=deployment.name, result="no_token", why=str(failure))
            return
        well = True
        for number in range(looks):
            look = await self._probes.ask(deployment, alias, who, streamed=number > 0)
            well = well and look.result == OK
            if look.learned and (not well or number == looks - 1):
                self._probes.metrics.probe_well.set(float(well), deployment.name)
            if look.failure is not None and look.failure.code is Code.UNAUTHENTICATED:
                self._payer.forget()
            if look.failure is not None:
                return
