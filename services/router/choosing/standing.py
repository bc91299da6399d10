"""What is known of a deployment now. Values only."""

import msgspec

from services.router.choosing import health
from services.router.choosing.latency import UNKNOWN, Latency, cost_s
from services.router.choosing.minute import EMPTY, Minute, used
from services.router.choosing.request import Need
from services.router.models.deployment import Deployment


class Elsewhere(msgspec.Struct, frozen=True):
    """What other routers say of it: their use in the last minute, their calls under way, their latencies (0: none)."""

    requests: float = 0.0
    tokens: float = 0.0
    in_flight: int = 0
    first_s: float = 0.0
    whole_s: float = 0.0


NOBODY = Elsewhere()


class Standing(msgspec.Struct, frozen=True):
    """`breaker` is for what fails whatever key is shown, `keys`, by number, for what depends on it (refused, rate
    limited). `first`: until content of streamed answers; `whole`: of plain ones."""

    breaker: health.Breaker = health.WELL
    in_flight: int = 0
    keys: tuple[health.Breaker, ...] = ()
    first: Latency = UNKNOWN
    whole: Latency = UNKNOWN
    minute: Minute = EMPTY
    elsewhere: Elsewhere = NOBODY

    def key(self, number: int) -> health.Breaker:
        """The breaker of one key."""
        return self.keys[number] if number < len(self.keys) else health.WELL

    def used(self, now: float) -> tuple[float, float]:
        """Requests and tokens of the last minute, of all routers."""
        requests, tokens = used(self.minute, now)
        return requests + self.elsewhere.requests, tokens + self.elsewhere.tokens

    def untried_s(self, deployment: Deployment, now: float) -> float:
        """For how long it, or every key of it, has been waiting for somebody to try whether it is well; 0 for one that
        is not."""
        if health.untried(self.breaker, now):
            return now - self.breaker.resting_until
        keys = [self.key(number) for number in usable_keys(deployment, self, now)]
        if keys and all(health.untried(key, now) for key in keys):
            return now - min(key.resting_until for key in keys)
        return 0.0

    def wait_s(self, need: Need, now: float) -> float:
        """For comparing: how long such a request would take here. What this router has not seen others may have."""
        own = (self.first, self.whole) if need.streamed else (self.whole, self.first)
        told = (self.elsewhere.first_s, self.elsewhere.whole_s)
        heard = told if need.streamed else told[::-1]
        for latency, told_s in zip(own, heard, strict=True):
            if latency.value_s:
                return cost_s(latency, self.in_flight, now)
            if told_s:
                return told_s * (self.in_flight + 1)
        return cost_s(UNKNOWN, self.in_flight, now)


UNSEEN = Standing()


def usable_keys(deployment: Deployment, standing: Standing, now: float) -> tuple[int, ...]:
    """Numbers of the keys that may be shown now; a deployment without keys shows number 0, which is none."""
    return tuple(
        number for number in range(max(len(deployment.keys), 1)) if not health.resting(standing.key(number), now)
    )
