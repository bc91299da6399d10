"""W3C Trace Context."""

import pytest

from penstock.kit.trace import Trace, child, parse, trace_id

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_example_of_the_specification_is_read() -> None:
    assert parse(PARENT) == Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


def test_a_child_keeps_the_trace_and_has_a_span_of_its_own() -> None:
    assert child(PARENT, "a" * 32, "b" * 16) == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'b' * 16}-01"


def test_a_child_of_an_unsampled_parent_is_unsampled() -> None:
    assert child(PARENT[:-2] + "00", "a" * 32, "b" * 16).endswith("-00")


@pytest.mark.parametrize("header", ["", "nonsense", PARENT.upper(), PARENT.replace("00f067aa0ba902b7", "0" * 16)])
def test_without_a_usable_parent_a_new_trace_begins(header: str) -> None:
    assert child(header, "a" * 32, "b" * 16) == f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    "header",
    ["ff" + PARENT[2:], PARENT + "-extra", PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), PARENT + "\n"],
)
def test_headers_that_the_specification_forbids_are_not_read(header: str) -> None:
    assert parse(header) is None


def test_a_later_version_is_read_as_far_as_version_00_goes() -> None:
    assert parse("01" + PARENT[2:] + "-what-comes-later") == parse(PARENT)


def test_the_trace_id_is_empty_without_a_trace() -> None:
    assert (trace_id(PARENT), trace_id("")) == ("4bf92f3577b34da6a3ce929d0e0e4736", "")
