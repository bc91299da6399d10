"""When to try again. Pure: the time and the dice (`random.random()`) are passed in."""

import msgspec

from penstock.contracts.errors import Failure


class Backoff(msgspec.Struct, frozen=True):
    """Exponential delays with jitter: from half of `first_s * factor ** (tries - 1)` to all of it, `most_s` at most."""

    first_s: float = 0.1
    most_s: float = 5.0
    factor: float = 2.0

    def delay_s(self, tries: int, roll: float) -> float:
        """How long to wait after so many tries (1 and more); `roll` is from 0 to 1."""
        grown = self.first_s * self.factor ** min(max(tries, 1) - 1, 64)
        return min(grown, self.most_s) * (0.5 + 0.5 * roll)


def again_after_s(
    failure: Failure,
    tries: int,
    *,
    tries_max: int,
    now: float,
    deadline: float,
    roll: float,
    backoff: Backoff,
) -> float | None:
    """Seconds to wait before the same request is sent again, or None when it must not be.

    Never for a code that is not retryable, never more than `tries_max` tries, never past `deadline` (Unix seconds,
    0: none), and never sooner than the failure itself asks for.
    """
    if not failure.retryable or tries >= tries_max:
        return None
    delay = max(backoff.delay_s(tries, roll), failure.retry_after_s)
    if deadline and now + delay >= deadline:
        return None
    return delay
