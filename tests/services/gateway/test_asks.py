"""What callers may ask in headers, and what is refused."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Template
from services.gateway.asks import asks


def test_nothing_asked_is_the_default() -> None:
    found = asks({"authorization": ["Bearer x"], "cookie": ["a=b"]})
    assert (found.headers, found.session, found.labels) == ({}, "", {})
    assert (found.losses, found.cache, found.prompt, found.summary) == ("report", "", None, False)


def test_of_the_callers_headers_only_those_of_the_protocol_reach_a_provider() -> None:
    fields = {
        "anthropic-beta": ["one", "two"],
        "openai-beta": ["x=1"],
        "openai-organization": ["org"],
        "x-api-key": ["k"],
    }
    assert asks(fields).headers == {"anthropic-beta": "one,two", "openai-beta": "x=1"}


def test_our_name_for_a_session_wins_over_those_of_others() -> None:
    assert asks({"session-id": ["a"], "x-claude-code-session-id": ["b"]}).session == "b"
    assert asks({"session-id": ["a"], "x-penstock-session": ["c"]}).session == "c"
    assert asks({"session-id": ["a" * 257]}).session == ""
    assert asks({"x-session-id": ["é"], "session-id": ["a"]}).session == "a"


def test_labels_may_come_in_several_headers() -> None:
    assert asks({"x-penstock-labels": ["a=1, b=x/y:z", "c=3"]}).labels == {"a": "1", "b": "x/y:z", "c": "3"}


def test_a_template_may_name_its_version() -> None:
    assert asks({"x-penstock-prompt": ["greeting"]}).prompt == Template("greeting")
    found = asks({"x-penstock-prompt": ["greeting@v2"], "x-penstock-variables": ['{"who": "Ad\xc3\xa9"}']}).prompt
    assert found == Template("greeting", "v2", {"who": msgspec.Raw('"Adé"'.encode())})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x-penstock-losses", ["some"]),
        ("x-penstock-losses", ["refuse", "accept"]),
        ("x-penstock-cache", ["no-cache"]),
        ("x-penstock-summary", ["1"]),
        ("x-penstock-session", ["a" * 257]),
        ("x-penstock-session", ["a\x00b"]),
        ("x-penstock-labels", ["team"]),
        ("x-penstock-labels", ["=north"]),
        ("x-penstock-labels", ["team=" + "x" * 129]),
        ("x-penstock-labels", [",".join(f"l{n}=x" for n in range(33))]),
        ("x-penstock-prompt", ["../etc/passwd"]),
        ("x-penstock-prompt", ["a@b@c"]),
        ("x-penstock-variables", ["{}"]),
        ("anthropic-beta", ["x" * 4097]),
        ("anthropic-version", ["2026\x7f"]),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(name: str, values: list[str]) -> None:
    with pytest.raises(Failure) as raised:
        asks({name: values} if name != "x-penstock-variables" else {name: ["{}"]})
    assert (raised.value.code, raised.value.param) == (Code.INVALID, name)


@pytest.mark.parametrize("variables", ["[]", "{", '{"a":}', "1", "[" * 5000, "\xff"])
def test_variables_are_a_json_object(variables: str) -> None:
    with pytest.raises(Failure) as raised:
        asks({"x-penstock-prompt": ["greeting"], "x-penstock-variables": [variables]})
    assert raised.value.param == "x-penstock-variables"
