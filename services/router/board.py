"""What this process knows of each deployment now: its breaker, and how many calls it has under way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.kit.metrics import Metrics
from services.router import health
from services.router.choose import UNSEEN, Standing
from services.router.deployment import Deployment
from services.router.fault import Fault


class Board:
    """`now` in seconds that never go back. Reading `standings` needs no lock: one event loop owns it."""

    def __init__(self, rules: health.BreakerRules, now: Callable[[], float], metrics: Metrics) -> None:
        self._rules = rules
        self._now = now
        self._metrics = metrics
        self.standings: dict[str, Standing] = {}

    @contextmanager
    def calling(self, deployment: Deployment) -> Iterator[None]:
        """One call under way. A Fault that leaves the block is learned from, any other exception is not."""
        standing = self.standings.get(deployment.id, UNSEEN)
        self._set(deployment, health.started(standing.breaker), standing.in_flight + 1)
        learned: health.Breaker | None = None
        try:
            yield
            learned = health.succeeded(self.standings[deployment.id].breaker)
        except Fault as fault:
            now = self.standings[deployment.id].breaker
            learned = health.failed(now, fault.kind, self._now(), fault.retry_after_s, self._rules)
            raise
        finally:
            standing = self.standings[deployment.id]
            breaker = health.abandoned(standing.breaker) if learned is None else learned
            self._set(deployment, breaker, standing.in_flight - 1)

    def well(self, deployment: Deployment) -> None:
        """It answers: whoever waits for a trial need not wait for the whole answer."""
        standing = self.standings.get(deployment.id, UNSEEN)
        self._set(deployment, health.succeeded(standing.breaker), standing.in_flight)

    def keep(self, ids: set[str]) -> None:
        """Forgets deployments that are in no models file any more, once they have nothing under way."""
        for id in [id for id, standing in self.standings.items() if id not in ids and not standing.in_flight]:
            del self.standings[id]

    def _set(self, deployment: Deployment, breaker: health.Breaker, in_flight: int) -> None:
        before = self.standings.get(deployment.id)
        self.standings[deployment.id] = Standing(breaker, in_flight)
        if before is None or before.breaker.resting_until != breaker.resting_until:
            self._metrics.deployment_usable.set(0.0 if breaker.resting_until else 1.0, deployment.name)
