"""Why a pot did not pay: the code, the sentence, and when asking again makes sense. Pure.

A rate limit (requests of a window, anything of a minute or an hour, actions under way) is `rate_limited`, since it
passes by itself; what is spent of a day, a week, a month or for good is `budget_exhausted`.
"""

import math

import msgspec

from penstock.contracts.errors import Code
from services.policy.money.limits import Pot, dollars
from services.policy.money.periods import bounds, period_of

SLOT_RETRY_S = 1.0
"""A place is free as soon as one of those who hold it ends, which nobody can foretell."""


class Shortage(msgspec.Struct, frozen=True):
    """`retry_after_s` 0: asking again is no use, or not soon."""

    code: Code
    text: str
    retry_after_s: float = 0.0


def shortage(pot: Pot, what: str, left: int, wanted: int, now: float) -> Shortage:
    """`what` (one of MEASURES) is short: `left` of it, and `wanted` is more."""
    left = max(0, left)
    if what == "slots":
        text = f"{pot.account} may have {pot.limit_slots} actions under way at once, and has them"
        return Shortage(Code.RATE_LIMITED, text, SLOT_RETRY_S)
    text = _text(pot, what, left, wanted)
    period = period_of(pot.window)
    passes = period in ("minute", "hour") or (what == "requests" and period != "total")
    limit = {"nano": pot.limit_nano, "tokens": pot.limit_tokens, "requests": pot.limit_requests}[what]
    if not passes or wanted > limit:
        return Shortage(Code.BUDGET_EXHAUSTED, text)
    return Shortage(Code.RATE_LIMITED, text, _until_end(pot, now))


def _text(pot: Pot, what: str, left: int, wanted: int) -> str:
    if what == "nano":
        return f"{pot.name} has {dollars(left)} left, this may cost {dollars(wanted)}"
    if what == "tokens":
        return f"{pot.name} has {left} tokens left, this may take {wanted}"
    return f"{pot.name} has used its {pot.limit_requests} requests"


def _until_end(pot: Pot, now: float) -> float:
    """To the millisecond, and never too early."""
    return max(0.001, math.ceil((bounds(pot.window)[1] - now) * 1000) / 1000)
