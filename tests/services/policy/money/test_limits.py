"""Limits files, periods and pots."""

import pytest

from services.policy.money.limits import (
    NO_LIMIT,
    Limit,
    Limits,
    LimitsRefused,
    Pot,
    dollars,
    parse_limits,
    pots,
    to_nano,
)
from services.policy.money.periods import kept_until, split_pot, window_at

NOON = 1_795_521_600.0  # 2026-11-24 12:00 UTC


def test_dollars_become_nano_dollars_exactly() -> None:
    assert to_nano(12.5) == 12_500_000_000
    assert to_nano("0.000000001") == 1
    assert to_nano(0.1) == 100_000_000


def test_nano_dollars_are_shown_as_dollars_exactly() -> None:
    assert dollars(0) == "$0.00"
    assert dollars(12_500_000_000) == "$12.50"
    assert dollars(1_000_000_001) == "$1.000000001"
    assert dollars(123_000_000) == "$0.123"


@pytest.mark.parametrize("usd", [0, -1, "nan", "inf", "1e30", "ten", 0.0000000001])
def test_an_amount_that_is_no_amount_is_refused(usd: float | str) -> None:
    with pytest.raises(LimitsRefused, match=r"Write (a number|more than 0)"):
        to_nano(usd)


def test_periods_are_days_and_months_in_utc() -> None:
    assert window_at("total", NOON) == ""
    assert window_at("day", NOON) == "2026-11-24"
    assert window_at("month", NOON) == "2026-11"


def test_the_narrowest_entry_holds() -> None:
    limits = parse_limits("""
acme:
  "user:alice": { usd: 5, period: day }
  "user:*": { usd: 1, period: day }
"*":
  "tenant:*": { usd: 100, period: month }
  "user:*": { tokens: 10 }
""")

    assert limits.of("acme", "user:alice") == (Limit(5, None, "day"),)
    assert limits.of("acme", "user:bob") == (Limit(1, None, "day"),)
    assert limits.of("globex", "user:bob") == (Limit(None, 10, "total"),)
    assert limits.of("globex", "tenant:globex") == (Limit(100, None, "month"),)
    assert limits.of("globex", "key:abcd") == ()


def test_an_account_may_have_a_limit_for_each_period() -> None:
    standing = {"user:alice": (Limit(5, None, "day"), Limit(50, 1000, "month"))}

    found = pots([("tenant:acme", 0, 0), ("user:alice", 0, 0), ("run:r1", 7, 0)], standing, NOON)

    assert found == [
        Pot("user:alice", "2026-11-24", 5_000_000_000, NO_LIMIT, 1_796_256_000),
        Pot("user:alice", "2026-11", 50_000_000_000, 1000, 1_796_774_400),
        Pot("run:r1", "", 7, NO_LIMIT, 1_798_113_600),
    ]
    assert [pot.name for pot in found] == ["user:alice@2026-11-24", "user:alice@2026-11", "run:r1"]


def test_a_pot_is_kept_until_late_outcomes_have_come() -> None:
    assert kept_until("tenant:acme", "", NOON) == 0
    assert kept_until("tenant:acme", "2026-11-24", NOON) == 1_796_256_000
    assert kept_until("tenant:acme", "2026-12", NOON) == 1_799_452_800


def test_a_pots_name_gives_account_and_period_back() -> None:
    assert split_pot("user:alice@2026-11-24") == ("user:alice", "2026-11-24")
    assert split_pot("user:alice@example.com") == ("user:alice@example.com", "")
    assert split_pot("user:alice@example.com@2026-11") == ("user:alice@example.com", "2026-11")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("acme: [", "cannot be read"),
        ('acme: {"user:a": {usd: 1, priod: day}}', "unknown field `priod`"),
        ('acme: {"user:a": {}}', "limits nothing. Write usd, tokens, requests or concurrency"),
        ('acme: {"user:a": {usd: 0}}', "acme: user:a: usd: 0.0 is out of range"),
        ('acme: {"user:a": {tokens: -5}}', "out of range"),
        ('acme: {"alice": {usd: 1}}', "is not an account"),
        ('acme: {"robot:bot": {usd: 1}}', "is not an account"),
        ('"*": {"user:alice": {usd: 1}}', "can match nothing. Write user:* here, or user:alice under its tenant"),
        ('acme: {"tenant:globex": {usd: 1}}', "acme: tenant:globex can match nothing. Write it under globex"),
        ('acme: {"user:a": [{usd: 1}, {usd: 2}]}', "two limits for the period total"),
    ],
)
def test_a_limits_file_that_could_be_misread_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(LimitsRefused) as refused:
        parse_limits(text)
    assert sentence in str(refused.value)


def test_an_empty_file_limits_nothing() -> None:
    assert parse_limits("").of("acme", "user:alice") == ()
    assert Limits().of("acme", "user:alice") == ()


def test_requests_and_concurrency_are_limits_like_others() -> None:
    limits = parse_limits("""
acme:
  "user:*":
    - { requests: 60, tokens: 1000, period: minute }
    - { concurrency: 4 }
  "agent:bot": { requests: 5, period: week }
  "run:*": { usd: 1, requests: 20 }
""")
    standing = {name: limits.of("acme", name) for name in ("user:alice", "agent:bot", "run:r1")}
    found = pots([(name, 0, 0) for name in standing], standing, NOON)

    assert [(pot.name, pot.limits) for pot in found] == [
        ("user:alice@2026-11-24T12:00", (-1, 1000, 60, -1)),
        ("user:alice", (-1, -1, -1, 4)),
        ("agent:bot@2026-W48", (-1, -1, 5, -1)),
        ("run:r1", (1_000_000_000, -1, 20, -1)),
    ]


def test_of_two_limits_of_one_run_the_lower_holds() -> None:
    (pot,) = pots([("run:r1", 700, 0)], {"run:r1": (Limit("0.000000500", 90, requests=3),)}, NOON)
    (other,) = pots([("run:r1", 300, 40)], {"run:r1": (Limit("0.000000500", 90, requests=3),)}, NOON)

    assert pot.limits == (500, 90, 3, -1)
    assert other.limits == (300, 40, 3, -1)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ('"user:a": {requests: 0}', "requests: 0 is out of range"),
        ('"user:a": {concurrency: -1}', "concurrency: -1 is out of range"),
        ('"user:a": {concurrency: 3, period: minute}', "concurrency is at any time, not in a minute"),
        ('"run:*": {requests: 3, period: hour}', "run:* is limited as a whole. Write no period"),
        ('"user:a": {requests: 3, period: fortnight}', "cannot be read"),
    ],
)
def test_a_limit_that_nobody_could_keep_is_refused(entry: str, sentence: str) -> None:
    with pytest.raises(LimitsRefused) as refused:
        parse_limits(f"acme: {{{entry}}}")
    assert sentence in str(refused.value)
