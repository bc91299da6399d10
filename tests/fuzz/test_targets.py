"""A short look for crashes, the same each time (`make fuzz` looks elsewhere, led by coverage): bytes that
are nearly right, and JSON with a few things in it exchanged."""

import copy
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import Json, documents, encoded, seeds
from tests.fuzz.targets import TARGETS

unhurried = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
JUNK = st.one_of(
    st.sampled_from([None, True, "", "\x00", "é\U0001f600", "{", "data:;base64,", 0, -1, 1.5, 1e308, 2**70, [], {}]),
    st.sampled_from([[None], [1], [[]], [{}], {"": {}}, {"type": "x"}, {"type": None}, "null", "x" * 300]),
)
Place = tuple[list[object] | dict[str, object], int | str]


def places(value: object) -> Iterator[Place]:
    """Every place in a document that holds a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from places(inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield value, index
            yield from places(inner)


@st.composite
def exchanged(draw: st.DrawFn, target: str) -> bytes:
    """Documents in which a few values are others, missing, or there twice."""
    found: list[Json] = copy.deepcopy(documents(target) or [])
    for _ in range(draw(st.integers(1, 3))):
        held, key = draw(st.sampled_from(list(places(found))))
        junk = copy.deepcopy(draw(st.one_of(JUNK, st.just(found))))
        if isinstance(held, dict):
            held[str(key)] = junk
        elif isinstance(key, int) and (held is not found or isinstance(junk, dict)):
            held[key] = junk
    return encoded(target, found)


@st.composite
def cut(draw: st.DrawFn, target: str) -> bytes:
    """A seed with a stretch of it missing, doubled or replaced."""
    seed = draw(st.sampled_from(list(seeds(target))))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(start + 40, len(seed))))
    return seed[:start] + draw(st.one_of(st.just(seed[start:end] * 2), st.binary(max_size=20))) + seed[end:]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_taken_without_a_crash(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_bytes_that_are_nearly_right_do_not_crash(target: str) -> None:
    @unhurried
    @given(cut(target))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()


@pytest.mark.parametrize("target", [target for target in TARGETS if documents(target)])
def test_values_of_any_kind_in_any_place_do_not_crash(target: str) -> None:
    @unhurried
    @given(exchanged(target))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b"data: " + b"[" * 50_000 + b"\n\n", b"\xff" * 99]
)
def test_what_has_no_bottom_does_not_crash(target: str, data: bytes) -> None:
    TARGETS[target](data)
