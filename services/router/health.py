"""A circuit breaker for each deployment, as values: what is known and the time go in, what is known comes out. Pure."""

import msgspec

from services.router.fault import FaultKind


class BreakerRules(msgspec.Struct, frozen=True):
    """`failures_max` in a row open it for `rest_s`, twice as long after each failed trial, up to `rest_max_s`. A dead
    key rests `key_rest_s`; a rate limit as long as the provider said, or `rate_rest_s`."""

    failures_max: int = 3
    rest_s: float = 10.0
    rest_max_s: float = 120.0
    key_rest_s: float = 60.0
    rate_rest_s: float = 1.0


class Breaker(msgspec.Struct, frozen=True):
    """One deployment's. `resting_until` in the caller's clock, 0 when it never rested; `trial`: one call is trying
    whether it is well again. `why` is the fault that opened it."""

    failures: int = 0
    rests: int = 0
    resting_until: float = 0.0
    trial: bool = False
    why: FaultKind | None = None


WELL = Breaker()


def resting(breaker: Breaker, now: float) -> bool:
    """Whether nobody may call it now."""
    return breaker.trial or now < breaker.resting_until


def started(breaker: Breaker) -> Breaker:
    """A call begins. After a rest for failures it is the one trial, and others wait until it is seen to go well; a rate
    limit is over when its time is."""
    if not breaker.resting_until or breaker.why is FaultKind.RATE:
        return breaker
    return msgspec.structs.replace(breaker, trial=True)


def succeeded(breaker: Breaker) -> Breaker:
    """An answer came whole, or began to come."""
    return WELL if breaker is not WELL else breaker


def abandoned(breaker: Breaker) -> Breaker:
    """The call was given up by its caller, or refused for the caller's fault: nothing was learned."""
    return msgspec.structs.replace(breaker, trial=False) if breaker.trial else breaker


def failed(breaker: Breaker, kind: FaultKind, now: float, retry_after_s: float, rules: BreakerRules) -> Breaker:
    """The call failed. A rest is never made shorter; faults of the caller's making or of our settings count nothing."""
    if kind in (FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.MISSING, FaultKind.UNFIT):
        return abandoned(breaker)
    if kind is FaultKind.KEY:
        return _rest(breaker, kind, now + rules.key_rest_s)
    if kind is FaultKind.RATE:
        pause = min(retry_after_s or rules.rate_rest_s, rules.rest_max_s)
        return _rest(breaker, kind, now + pause)
    if breaker.trial or breaker.failures + 1 >= rules.failures_max:
        pause = min(rules.rest_s * 2.0 ** min(breaker.rests, 10), rules.rest_max_s)
        return _rest(breaker, kind, now + pause)
    return msgspec.structs.replace(breaker, failures=breaker.failures + 1)


def _rest(breaker: Breaker, kind: FaultKind, until: float) -> Breaker:
    until = max(until, breaker.resting_until)
    return Breaker(breaker.failures + 1, breaker.rests + 1, until, False, kind)
