"""Whether a step that failed is tried again, and after how long. Pure: the time and the dice are passed in."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.tools import Effect
from penstock.kit.retry import Backoff

UNSURE = frozenset({Code.UNKNOWN_OUTCOME, Code.UPSTREAM})
"""Codes after which the step may have had its effect: only what may be run again is tried again."""


class Patience(msgspec.Struct, frozen=True):
    """`tries_max` tries in all for a code that is surely without effect, `unsure_tries_max` for one that is not."""

    tries_max: int
    unsure_tries_max: int
    backoff: Backoff


def again_after_s(
    failure: Failure, effect: Effect, tries: int, now: float, deadline: float, roll: float, patience: Patience
) -> float | None:
    """Seconds until the next try, or None when there is none. `tries` were made; `deadline` is the run's."""
    unsure = failure.code in UNSURE
    if not failure.retryable and not (unsure and effect != "once"):
        return None
    if tries >= (patience.unsure_tries_max if unsure else patience.tries_max):
        return None
    delay = max(patience.backoff.delay_s(tries, roll), failure.retry_after_s)
    return delay if now + delay < deadline else None
