"""Scopes: what is covered, and that narrowing never widens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.identity.scopes import InvalidScope, allows, covers, narrow, narrow_names, scope

SCOPES = st.sampled_from(["*", "tool.*", "tool.call", "model.*", "model.complete", "tools:destructive", "job.submit"])
ACTIONS = ["tool.call", "model.complete", "model.embed", "job.submit", "tools:destructive", "tools:dangerous"]
HELD = st.lists(SCOPES, max_size=5).map(tuple)


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        ("tool.call", "tool.call", True),
        ("tool.*", "tool.call", True),
        ("*", "tool.call", True),
        ("tool.call", "tool.*", False),
        ("tool.*", "tools.call", False),
        ("tool.*", "tool", False),
        ("*", "tools:destructive", False),
        ("tools:destructive", "tools:destructive", True),
    ],
)
def test_a_scope_covers_itself_and_by_a_trailing_star_its_family(held: str, wanted: str, covered: bool) -> None:
    assert covers(held, wanted) is covered


@given(HELD, HELD)
def test_what_a_child_may_do_its_parent_may_do_too(held: tuple[str, ...], asked: tuple[str, ...]) -> None:
    child = narrow(held, asked)

    assert all(allows(held, action) for action in ACTIONS if allows(child, action))


@given(HELD)
def test_asking_for_everything_gives_all_that_is_held_and_no_more(held: tuple[str, ...]) -> None:
    assert set(narrow(held, ("*",))) == set(held)


def test_asking_for_nothing_gives_nothing() -> None:
    assert narrow(("*",), ()) == ()
    assert narrow_names(("*",), ()) == ()


def test_a_family_meets_one_of_its_members_in_the_member() -> None:
    assert narrow(("tool.*",), ("tool.call", "model.complete")) == ("tool.call",)
    assert narrow(("tool.call",), ("tool.*",)) == ("tool.call",)


def test_tools_are_named_one_by_one_or_all_at_once() -> None:
    assert narrow_names(("http_get", "sql"), ("sql", "shell")) == ("sql",)
    assert narrow_names(("*",), ("sql",)) == ("sql",)
    assert narrow_names(("sql",), ("*",)) == ("sql",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tool.call",
        "tool..call",
        "tool.call ",
        "tool.*.x",
        "t\u03bfol.call",
        "tool\u200b.call",
        "a" * 65,
        "**",
        ":x",
        "x:",
    ],
)
def test_a_text_that_only_looks_like_a_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidScope):
        scope(text)
