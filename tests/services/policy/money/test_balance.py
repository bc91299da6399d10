"""What a balance shows, and when an account will be empty."""

from penstock.contracts.policy import Balance as Shown
from services.policy.delegation.grants import Remaining
from services.policy.money.balance import balance, empty_at, remaining
from services.policy.money.holds import Standing
from services.policy.money.ledger import Balance
from services.policy.money.limits import NO_LIMIT, Pot

DAY = Pot("user:alice", "2026-11-24", 1000, 500, 0, 60)
SIX = 1_795_500_000.0  # 06:00 UTC of that day, a quarter of it


def test_a_balance_shows_limits_what_is_used_and_the_window() -> None:
    standing = Standing(Balance(200, 50, 30, 5, 7, 1, 1), 1.0)

    assert balance(Pot("user:alice", "2026-11-24", 1000, -1, 0, -1, 4), standing, SIX) == Shown(
        account="user:alice@2026-11-24",
        committed_nano=200,
        reserved_nano=50,
        limit_nano=1000,
        tokens=35,
        period="day",
        begins=1_795_478_400,
        ends=1_795_564_800,
        reserved_tokens=5,
        requests=8,
        under_way=1,
        limit_concurrency=4,
        empty_at=0.0,
    )


def test_at_the_rate_so_far_a_day_is_empty_before_it_ends() -> None:
    assert empty_at(DAY, Standing(Balance(nano=500)), SIX) == SIX + 6 * 3600


def test_what_lasts_until_the_end_of_the_window_has_no_end() -> None:
    assert empty_at(DAY, Standing(Balance(nano=249)), SIX) == 0
    assert empty_at(DAY, Standing(Balance()), SIX) == 0


def test_the_limit_that_is_reached_first_counts() -> None:
    assert empty_at(DAY, Standing(Balance(nano=500, tokens=400)), SIX) == SIX + 1.5 * 3600
    assert empty_at(DAY, Standing(Balance(requests=60)), SIX) == SIX


def test_without_a_window_the_rate_counts_from_the_first_use() -> None:
    total = Pot("key:k", "", 1000, NO_LIMIT)

    assert empty_at(total, Standing(Balance(nano=100), SIX - 100), SIX) == SIX + 900
    assert empty_at(total, Standing(Balance(nano=100), 0.0), SIX) == 0
    assert empty_at(Pot("key:k", "", NO_LIMIT, NO_LIMIT), Standing(Balance(nano=100), 1.0), SIX) == 0


def test_a_clock_that_was_turned_back_foretells_nothing() -> None:
    assert empty_at(DAY, Standing(Balance(nano=500)), SIX - 24 * 3600) == 0


def test_the_narrowest_pot_says_what_remains() -> None:
    pots = (Pot("tenant:acme", "", 1000, NO_LIMIT), Pot("user:alice", "", 300, 50))
    standings = (Standing(Balance(nano=900, held_nano=50)), Standing(Balance(nano=10, tokens=60)))

    assert remaining(pots, standings) == Remaining(50, 0)
    assert remaining((), ()) == Remaining(-1, -1)
