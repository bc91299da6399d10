"""Windows of limits: their names, when they begin and end, and how long a pot is kept."""

import pytest

from services.policy.money.periods import Period, bounds, kept_until, period_of, split_pot, window_at

AT = 1_795_522_025.5  # 2026-11-24 12:07:05.5 UTC, a Tuesday


@pytest.mark.parametrize(
    ("period", "window", "begins", "ends"),
    [
        ("total", "", 0, float("inf")),
        ("minute", "2026-11-24T12:07", 1_795_522_020, 1_795_522_080),
        ("hour", "2026-11-24T12", 1_795_521_600, 1_795_525_200),
        ("day", "2026-11-24", 1_795_478_400, 1_795_564_800),
        ("week", "2026-W48", 1_795_392_000, 1_795_996_800),
        ("month", "2026-11", 1_793_491_200, 1_796_083_200),
    ],
)
def test_a_window_has_a_name_and_bounds_in_utc(period: Period, window: str, begins: float, ends: float) -> None:
    assert window_at(period, AT) == window
    assert bounds(window) == (begins, ends)
    assert period_of(window) == period


def test_a_week_at_the_turn_of_the_year_is_one_week() -> None:
    silvester, newyear = 1_798_675_200 + 3600, 1_798_761_600 + 3600  # 2026-12-31 and 2027-01-01

    assert window_at("week", silvester) == window_at("week", newyear) == "2026-W53"
    assert bounds("2026-W53") == (1_798_416_000, 1_799_020_800)


def test_the_last_instant_of_a_window_is_in_it_and_the_next_is_not() -> None:
    _, ends = bounds("2026-11-24T12:07")

    assert window_at("minute", ends - 0.001) == "2026-11-24T12:07"
    assert window_at("minute", ends) == "2026-11-24T12:08"


def test_a_short_window_is_forgotten_sooner_than_a_long_one() -> None:
    assert kept_until("user:a", "2026-11-24T12:07", AT) == 1_795_522_080 + 2 * 3600
    assert kept_until("user:a", "2026-11-24T12", AT) == 1_795_525_200 + 24 * 3600
    assert kept_until("user:a", "2026-W48", AT) == 1_795_996_800 + 8 * 24 * 3600
    assert kept_until("run:r", "", AT) == int(AT) + 30 * 24 * 3600
    assert kept_until("user:a", "", AT) == 0


def test_what_only_looks_like_a_window_belongs_to_the_account() -> None:
    assert split_pot("user:alice@2026-11-24T12:07") == ("user:alice", "2026-11-24T12:07")
    assert split_pot("user:alice@2026-W48") == ("user:alice", "2026-W48")
    assert split_pot("user:alice@1000-friends") == ("user:alice@1000-friends", "")
