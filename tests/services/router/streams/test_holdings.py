"""How much of its streams one tenant may have kept."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.streams.holdings import Holdings


def test_a_tenant_has_its_room_and_no_more() -> None:
    held = Holdings(100, 600.0)
    assert held.take("acme", 60, 0.0) and held.take("acme", 40, 0.5)
    assert held.full("acme", 0.5)
    assert not held.take("acme", 1, 0.5)
    assert held.take("other", 100, 0.5)


def test_what_is_no_longer_kept_makes_room() -> None:
    held = Holdings(100, 600.0)
    assert held.take("acme", 60, 0.0)
    assert held.take("acme", 40, 300.0)
    assert not held.take("acme", 60, 600.5)
    assert held.take("acme", 60, 601.0)
    assert not held.take("acme", 1, 601.0)
    assert not held.full("acme", 901.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=80))
def test_it_is_never_more_than_the_bound(given: list[tuple[float, int]]) -> None:
    held, now, taken = Holdings(100, 10.0), 0.0, []
    for gap, size in given:
        now += gap
        if held.take("acme", size, now):
            taken.append((now, size))
        assert sum(size for when, size in taken if now - when < 10.0) <= 100
