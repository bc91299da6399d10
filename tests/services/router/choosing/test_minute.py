"""Use of the last minute, with the time put in by hand."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.choosing.minute import EMPTY, Minute, counted, left_s, used


def test_what_was_counted_is_used() -> None:
    minute = counted(counted(EMPTY, 1, 500, 1000.0), 1, 250, 1010.0)
    assert used(minute, 1010.0) == (2.0, 750.0)
    assert left_s(minute, 1010.0) == 50.0


def test_the_minute_before_counts_for_its_share() -> None:
    minute = counted(EMPTY, 6, 600, 1000.0)
    assert used(minute, 1060.0) == (6.0, 600.0)
    assert used(minute, 1090.0) == (3.0, 300.0)
    assert used(minute, 1120.0) == (0.0, 0.0)


def test_an_estimate_that_was_too_high_is_taken_back_and_never_more() -> None:
    minute = counted(counted(EMPTY, 1, 500, 0.0), 0, -400, 1.0)
    assert used(minute, 1.0) == (1.0, 100.0)
    assert used(counted(minute, 0, -400, 2.0), 2.0) == (1.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1000)), max_size=60))
def test_it_is_never_below_nothing_nor_above_all_that_was_counted(steps: list[tuple[float, int]]) -> None:
    minute, now, tokens = Minute(100.0), 100.0, 0
    for pause_s, more in steps:
        now += pause_s
        tokens += more
        minute = counted(minute, 1, more, now)
        assert 0 <= used(minute, now)[1] <= tokens
    assert used(minute, now + 120) == (0.0, 0.0)
