"""A circuit breaker for each deployment, as values: what is known and the time go in, what is known comes out. Pure."""

from math import inf

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
    whether it is well again. `why` is the fault that opened it; `heard`: another router's, not our own."""

    failures: int = 0
    rests: int = 0
    resting_until: float = 0.0
    trial: bool = False
    why: FaultKind | None = None
    heard: bool = False


WELL = Breaker()
OF_KEYS = frozenset({FaultKind.KEY, FaultKind.RATE})
"""Faults of one key (or its account): another one may do."""
OF_NOBODY = frozenset({FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.MISSING, FaultKind.UNFIT, FaultKind.PINNED})
"""Faults of the caller's making, or of our settings."""


def resting(breaker: Breaker, now: float) -> bool:
    """Whether nobody may call it now."""
    return breaker.trial or now < breaker.resting_until


def untried(breaker: Breaker, now: float) -> bool:
    """Whether a rest for failures is over and nobody has tried yet whether it is well."""
    return not breaker.trial and 0 < breaker.resting_until <= now and breaker.why is not FaultKind.RATE


def started(breaker: Breaker) -> Breaker:
    """A call begins. After a rest for failures it is the one trial, and others wait until it is seen to go well; a rate
    limit is over when its time is."""
    if not breaker.resting_until or breaker.why is FaultKind.RATE:
        return breaker
    return msgspec.structs.replace(breaker, trial=True)


def succeeded(breaker: Breaker, now: float = inf, *, trial: bool = True) -> Breaker:
    """An answer came whole, or began to come. `trial`: the call was the one trying (or there was none). An answer to a
    call from before the rest says nothing of after it."""
    if breaker is WELL or now < breaker.resting_until or (breaker.trial and not trial):
        return breaker
    return WELL


def abandoned(breaker: Breaker, *, trial: bool = True) -> Breaker:
    """The call was given up by its caller, or refused for the caller's fault: nothing was learned."""
    return msgspec.structs.replace(breaker, trial=False) if breaker.trial and trial else breaker


def failed(
    breaker: Breaker, kind: FaultKind, now: float, retry_after_s: float, rules: BreakerRules, *, trial: bool = True
) -> Breaker:
    """The call failed. A rest is never made shorter; faults of nobody count nothing, nor does a call from before the
    rest while another one is trying."""
    if kind in OF_NOBODY:
        return abandoned(breaker, trial=trial)
    ours = trial or not breaker.trial
    if kind is FaultKind.KEY:
        return _rest(breaker, kind, now + rules.key_rest_s, ours)
    if kind is FaultKind.RATE:
        pause = min(retry_after_s or rules.rate_rest_s, rules.rest_max_s)
        return _rest(breaker, kind, now + pause, ours)
    if not ours or now < breaker.resting_until:
        return breaker
    if breaker.trial or breaker.failures + 1 >= rules.failures_max:
        pause = min(rules.rest_s * 2.0 ** min(breaker.rests, 10), rules.rest_max_s)
        return _rest(breaker, kind, now + pause, ours)
    return msgspec.structs.replace(breaker, failures=breaker.failures + 1)


def heard(breaker: Breaker, kind: FaultKind, now: float, until: float) -> Breaker:
    """Another router has opened it until then. Ours stays as it is when it rests longer, or tries."""
    if breaker.trial or until <= max(now, breaker.resting_until):
        return breaker
    return Breaker(breaker.failures, max(breaker.rests, 1), until, False, kind, True)


def _rest(breaker: Breaker, kind: FaultKind, until: float, ours: bool) -> Breaker:
    """What opened it for longest is why it rests."""
    why = kind if until >= breaker.resting_until or breaker.why is None else breaker.why
    until = max(until, breaker.resting_until)
    return Breaker(breaker.failures + 1, breaker.rests + 1, until, breaker.trial and not ours, why)
