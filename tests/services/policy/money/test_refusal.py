"""Which code a shortage has, what it says, and when asking again makes sense."""

import pytest

from penstock.contracts.errors import Code
from services.policy.money.limits import NO_LIMIT, Pot
from services.policy.money.refusal import Shortage, shortage

NOW = 1_795_522_025.5  # 2026-11-24 12:07:05.5 UTC


def pot(window: str, nano: int = NO_LIMIT, tokens: int = NO_LIMIT, requests: int = NO_LIMIT, slots: int = -1) -> Pot:
    return Pot("user:alice", window, nano, tokens, 0, requests, slots)


@pytest.mark.parametrize(
    ("window", "retry_after_s"),
    [("2026-11-24T12:07", 54.5), ("2026-11-24T12", 3174.5), ("2026-11-24", 42_774.5), ("2026-W48", 474_774.5)],
)
def test_requests_of_a_window_are_rate_limited_until_it_ends(window: str, retry_after_s: float) -> None:
    assert shortage(pot(window, requests=60), "requests", 0, 1, NOW) == Shortage(
        Code.RATE_LIMITED, f"user:alice@{window} has used its 60 requests", retry_after_s
    )


def test_requests_for_good_are_exhausted() -> None:
    assert shortage(pot("", requests=60), "requests", 0, 1, NOW) == Shortage(
        Code.BUDGET_EXHAUSTED, "user:alice has used its 60 requests"
    )


def test_tokens_and_dollars_of_a_minute_come_back_with_the_next() -> None:
    minute = pot("2026-11-24T12:07", nano=5_000_000, tokens=1000)

    assert shortage(minute, "tokens", 10, 500, NOW).code is Code.RATE_LIMITED
    assert shortage(minute, "nano", 10, 500, NOW).retry_after_s == 54.5


def test_what_no_minute_could_ever_pay_is_not_worth_waiting_for() -> None:
    minute = pot("2026-11-24T12:07", tokens=1000)

    assert shortage(minute, "tokens", 1000, 1001, NOW) == Shortage(
        Code.BUDGET_EXHAUSTED, "user:alice@2026-11-24T12:07 has 1000 tokens left, this may take 1001"
    )


@pytest.mark.parametrize("window", ["", "2026-11-24", "2026-W48", "2026-11"])
def test_dollars_of_a_day_and_more_are_exhausted(window: str) -> None:
    short = shortage(pot(window, nano=5_000_000), "nano", -7, 500, NOW)

    name = f"user:alice@{window}" if window else "user:alice"
    assert short == Shortage(Code.BUDGET_EXHAUSTED, f"{name} has $0.00 left, this may cost $0.0000005")


def test_actions_under_way_pass_at_any_time() -> None:
    assert shortage(pot("", slots=4), "slots", 0, 1, NOW) == Shortage(
        Code.RATE_LIMITED, "user:alice may have 4 actions under way at once, and has them", 1.0
    )


def test_at_the_very_end_of_a_window_the_wait_is_short_and_never_nothing() -> None:
    ends = 1_795_522_080.0

    assert shortage(pot("2026-11-24T12:07", requests=1), "requests", 0, 1, ends - 0.0001).retry_after_s == 0.001
