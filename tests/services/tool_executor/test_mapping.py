"""A tool's own facts."""

import pytest

from services.tool_executor.check import BadArguments
from services.tool_executor.mapping import FactMapping
from services.tool_executor.request import normalised
from services.tool_executor.toolsfile import BadToolsFile


def test_facts_are_told_of_the_arguments() -> None:
    mapping = FactMapping({"amount": "args.total", "big": "args.total > 100", "names": "args.people.map(p, p.name)"})
    told = mapping.told({"total": 300, "people": [{"name": "ada"}, {"name": "bob"}]})
    assert told == {"amount": 300, "big": True, "names": ["ada", "bob"]}


@pytest.mark.parametrize("arguments", [{}, {"total": "many"}, {"total": [1]}, {"total": None}])
def test_arguments_that_a_fact_cannot_be_told_of_are_no_call(arguments: dict[str, object]) -> None:
    with pytest.raises(BadArguments, match="the fact big that policy wants cannot be told"):
        FactMapping({"big": "args.total > 100"}).told(arguments)


def test_what_policy_could_not_compare_is_no_fact() -> None:
    for arguments in ({"x": {"y": 1}}, {"x": [1, 2]}, {"x": "a" * 3000}):
        with pytest.raises(BadArguments):
            FactMapping({"x": "args.x"}).told(arguments)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"writes": "false"}, "is told by the plane itself"),
        ({"tainted": "false"}, "is told by the plane itself"),
        ({"Amount": "args.x"}, "a name has 1 to 64"),
        ({"x": ""}, "an expression has 1 to"),
        ({"x": "args."}, "is no CEL expression"),
        ({"x": "other.y"}, "asks for 'other'"),
        ({"x": "now(args)"}, "calls 'now'"),
        ({f"x{n}": "args.y" for n in range(17)}, "at most 16"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_with_the_file(facts: dict[str, str], why: str) -> None:
    with pytest.raises(BadToolsFile, match=why):
        FactMapping(facts)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://x.org/a/b?c=d", "/a/b"),
        ("https://x.org", "/"),
        ("https://x.org/a//b/./c/../d/", "/a/b/d/"),
        ("https://x.org/%61/%2561", "/a/a"),
        ("https://x.org/..%2f..%5cetc", "/etc"),
    ],
)
def test_two_spellings_of_a_path_are_one(url: str, path: str) -> None:
    assert normalised(url) == path
