"""How many messages a minute each may hand in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bus import pace
from penstock.bus.pace import Pace


def test_so_many_at_once_and_then_as_time_passes() -> None:
    six = Pace(6)
    assert [six.wait_s("acme", 0.0) for _ in range(6)] == [0.0] * 6
    assert six.wait_s("acme", 0.0) == pytest.approx(10.0)
    assert six.wait_s("acme", 5.0) == pytest.approx(5.0)
    assert six.wait_s("acme", 10.0) == 0.0
    assert six.wait_s("acme", 10.0) == pytest.approx(10.0)


def test_nobody_waits_for_another() -> None:
    one = Pace(1)
    assert (one.wait_s("acme", 0.0), one.wait_s("evil", 0.0)) == (0.0, 0.0)
    assert one.wait_s("evil", 0.0) == pytest.approx(60.0)


def test_none_is_no_bound() -> None:
    assert [Pace(0).wait_s("acme", 0.0) for _ in range(10)] == [0.0] * 10


def test_who_is_quiet_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SENDERS_MAX", 3)
    one = Pace(1)
    for number in range(9):
        one.wait_s(f"t{number}", number * 30.0)
    assert len(one._left) <= 4


@given(st.lists(st.floats(0, 20), max_size=60), st.integers(1, 20))
def test_in_no_minute_more_than_twice_so_many(gaps: list[float], most: int) -> None:
    held, now, taken = Pace(most), 0.0, []
    for gap in gaps:
        now += gap
        if not held.wait_s("acme", now):
            taken.append(now)
    for start in taken:
        assert sum(start <= when < start + 60 for when in taken) <= 2 * most
