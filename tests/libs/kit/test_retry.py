"""When to try again."""

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.kit.retry import Backoff, again_after_s

BACKOFF = Backoff(first_s=1.0, most_s=8.0)
BUSY = Failure(Code.UNAVAILABLE)


@pytest.mark.parametrize(("tries", "delay_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)])
def test_delays_double_up_to_the_most(tries: int, delay_s: float) -> None:
    assert BACKOFF.delay_s(tries, roll=1.0) == delay_s


def test_the_dice_take_away_half_at_most() -> None:
    assert (BACKOFF.delay_s(2, roll=0.0), BACKOFF.delay_s(2, roll=0.5)) == (1.0, 1.5)


def again(failure: Failure, tries: int = 1, now: float = 100.0, deadline: float = 0.0) -> float | None:
    return again_after_s(failure, tries, tries_max=3, now=now, deadline=deadline, roll=1.0, backoff=BACKOFF)


def test_a_retryable_failure_is_tried_again() -> None:
    assert again(BUSY) == 1.0


@pytest.mark.parametrize("code", [Code.DENIED, Code.INVALID, Code.UNKNOWN_OUTCOME, Code.DEADLINE, Code.INTERNAL])
def test_other_failures_are_not(code: Code) -> None:
    assert again(Failure(code)) is None


def test_tries_are_counted() -> None:
    assert (again(BUSY, tries=2), again(BUSY, tries=3)) == (2.0, None)


def test_nothing_is_tried_past_the_deadline() -> None:
    assert (again(BUSY, deadline=101.5), again(BUSY, deadline=101.0)) == (1.0, None)


def test_a_failure_may_ask_for_a_longer_pause() -> None:
    assert again(Failure(Code.RATE_LIMITED, retry_after_s=30.0)) == 30.0
