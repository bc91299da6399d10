"""The breaker of a deployment, with the time put in by hand."""

import pytest

from services.router.choosing.health import (
    WELL,
    Breaker,
    BreakerRules,
    abandoned,
    failed,
    resting,
    started,
    succeeded,
    untried,
)
from services.router.fault import FaultKind

RULES = BreakerRules(failures_max=3, rest_s=10.0, rest_max_s=60.0, key_rest_s=30.0, rate_rest_s=1.0)


def after(*kinds: FaultKind, now: float = 100.0, retry_after_s: float = 0.0) -> Breaker:
    breaker = WELL
    for kind in kinds:
        breaker = failed(breaker, kind, now, retry_after_s, RULES)
    return breaker


def test_it_opens_at_the_third_failure_in_a_row_and_rests_ten_seconds() -> None:
    two = after(FaultKind.TRANSIENT, FaultKind.TIMEOUT)
    assert not resting(two, 100.0)
    three = failed(two, FaultKind.GARBAGE, 100.0, 0.0, RULES)
    assert resting(three, 109.9)
    assert not resting(three, 110.0)


def test_a_success_forgets_earlier_failures() -> None:
    two = after(FaultKind.TRANSIENT, FaultKind.TRANSIENT)
    assert succeeded(two) == WELL


@pytest.mark.parametrize("kind", [FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.MISSING])
def test_what_is_not_the_provider_s_fault_never_trips_it(kind: FaultKind) -> None:
    assert after(*[kind] * 50) == WELL


def test_a_rate_limit_rests_as_long_as_the_provider_said() -> None:
    breaker = after(FaultKind.RATE, retry_after_s=7.0)
    assert resting(breaker, 106.9)
    assert not resting(breaker, 107.0)
    assert breaker.why is FaultKind.RATE


def test_a_rate_limit_without_a_time_rests_a_second_and_one_with_an_absurd_time_a_minute() -> None:
    assert after(FaultKind.RATE).resting_until == 101.0
    assert after(FaultKind.RATE, retry_after_s=86_400.0).resting_until == 160.0


def test_a_dead_key_rests_at_once() -> None:
    assert after(FaultKind.KEY).resting_until == 130.0


def test_a_rest_is_never_made_shorter() -> None:
    long = after(FaultKind.RATE, retry_after_s=50.0)
    assert failed(long, FaultKind.RATE, 101.0, 1.0, RULES).resting_until == 150.0


def test_after_the_rest_one_call_tries_and_others_wait_for_it() -> None:
    breaker = after(*[FaultKind.TRANSIENT] * 3)
    trial = started(breaker)
    assert resting(trial, 111.0)
    assert succeeded(trial) == WELL


def test_a_rate_limit_needs_no_trial() -> None:
    breaker = after(FaultKind.RATE, retry_after_s=7.0)
    assert not resting(started(breaker), 107.0)


def test_a_failed_trial_rests_twice_as_long_up_to_the_limit() -> None:
    breaker = after(*[FaultKind.TRANSIENT] * 3)
    rests = []
    now = 110.0
    for _ in range(4):
        breaker = failed(started(breaker), FaultKind.TRANSIENT, now, 0.0, RULES)
        rests.append(breaker.resting_until - now)
        now = breaker.resting_until
    assert rests == [20.0, 40.0, 60.0, 60.0]


def test_a_trial_that_was_given_up_lets_the_next_one_try() -> None:
    trial = started(after(*[FaultKind.TRANSIENT] * 3))
    assert not resting(abandoned(trial), 110.0)


def test_a_trial_that_the_caller_spoilt_lets_the_next_one_try() -> None:
    trial = started(after(*[FaultKind.TRANSIENT] * 3))
    assert not resting(failed(trial, FaultKind.CALLER, 111.0, 0.0, RULES), 111.0)


def test_a_rest_that_is_over_waits_for_somebody_to_try() -> None:
    breaker = after(FaultKind.TRANSIENT, FaultKind.TRANSIENT, FaultKind.TRANSIENT)
    assert [untried(breaker, now) for now in (100.0, 109.9, 110.0, 500.0)] == [False, False, True, True]
    assert not untried(started(breaker), 110.0)
    assert not untried(succeeded(started(breaker), 110.0), 110.0)
    assert not untried(WELL, 110.0)
    assert not untried(after(FaultKind.RATE), 500.0)
