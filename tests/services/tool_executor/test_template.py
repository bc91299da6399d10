"""Texts with places."""

import pytest

from services.tool_executor.template import BadTemplate, Template


def test_places_are_filled_in_order() -> None:
    template = Template.parse("/orders/{id}/lines/{line}")
    assert template.places == ("id", "line")
    assert template.fill({"id": "7", "line": "2"}) == "/orders/7/lines/2"


def test_doubled_braces_are_braces() -> None:
    assert Template.parse("{{{name}}}").fill({"name": "x"}) == "{x}"


def test_what_was_filled_in_is_not_filled_again() -> None:
    assert Template.parse("{a}{b}").fill({"a": "{b}", "b": "2"}) == "{b}2"


@pytest.mark.parametrize("source", ["{", "}", "{}", "{a b}", "{0}", "x{a", "{a.b}", "{a!r}"])
def test_a_brace_that_is_no_place_is_refused(source: str) -> None:
    with pytest.raises(BadTemplate):
        Template.parse(source)


@pytest.mark.parametrize(("source", "only"), [("{a}", "a"), ("{a} ", ""), ("{a}{a}", ""), ("a", "")])
def test_a_template_knows_when_it_is_one_place_alone(source: str, only: str) -> None:
    assert Template.parse(source).only == only
