"""An argument can only ever be a value."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.tool_executor.check import BadArguments
from services.tool_executor.request import Outgoing, RequestPlan
from services.tool_executor.toolsfile import BadToolsFile, HttpSettings

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"id": {}, "q": {}, "n": {}, "tags": {}},
    "required": ["id"],
}


def plan(**settings: object) -> RequestPlan:
    return RequestPlan.of(
        msgspec.convert({"url": "https://api.example.com/v1/{id}", **settings}, HttpSettings), PARAMETERS
    )


def compose(arguments: Mapping[str, object], **settings: object) -> Outgoing:
    return plan(**settings).compose(arguments)


def test_a_value_in_the_path_is_encoded_whole() -> None:
    assert compose({"id": "a/b?c#d&é%2f x"}).url == "https://api.example.com/v1/a%2Fb%3Fc%23d%26%C3%A9%252f%20x"


@pytest.mark.parametrize(
    "value", ["..", ".", "../admin", "a/../b", "..\\x", "%2e%2e/x", "%252e%252e%252fx", "x/..", ""]
)
def test_a_value_cannot_climb_in_the_path(value: str) -> None:
    with pytest.raises(BadArguments, match="id may not"):
        compose({"id": value})


def test_two_values_cannot_climb_together() -> None:
    settings = {"url": "https://api.example.com/{id}{q}/x"}
    schema: dict[str, object] = {"type": "object", "properties": {"id": {}, "q": {}}, "required": ["id", "q"]}
    joined = RequestPlan.of(msgspec.convert(settings, HttpSettings), schema)
    with pytest.raises(BadArguments):
        joined.compose({"id": ".", "q": "."})


def test_a_value_in_the_query_adds_no_parameter() -> None:
    url = compose({"id": 1, "q": "a&admin=true#x"}, query={"q": "{q}", "fixed": "yes"}).url
    assert url == "https://api.example.com/v1/1?q=a%26admin%3Dtrue%23x&fixed=yes"


def test_an_argument_left_out_leaves_its_parameter_out() -> None:
    assert compose({"id": 1}, query={"q": "{q}", "n": "{n}"}).url == "https://api.example.com/v1/1"
    assert compose({"id": 1, "q": None}, query={"q": "{q}"}).url == "https://api.example.com/v1/1"


def test_a_list_in_the_query_is_one_parameter_several_times() -> None:
    url = compose({"id": 1, "tags": ["a", "b c"]}, query={"tag": "{tags}"}).url
    assert url == "https://api.example.com/v1/1?tag=a&tag=b%20c"


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\0b", "café", "\x7f"])
def test_a_value_in_a_header_cannot_make_another_header(value: str) -> None:
    with pytest.raises(BadArguments, match="must be printable ASCII"):
        compose({"id": 1, "q": value}, headers={"X-Q": "{q}"})


def test_json_gets_values_of_their_own_type_and_texts_as_texts() -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": PARAMETERS["properties"],
        "required": ["id", "q", "n", "tags"],
    }
    settings = {
        "url": "https://api.example.com/x",
        "method": "POST",
        "json": {"n": "{n}", "tags": "{tags}", "note": "about {id}: {q}", "fixed": {"x": [True, "{q}"]}},
    }
    outgoing = RequestPlan.of(msgspec.convert(settings, HttpSettings), schema).compose(
        {"id": 1, "n": 5, "tags": ["a"], "q": '"},{"admin":true'}
    )
    assert outgoing.body is not None
    assert msgspec.json.decode(outgoing.body) == {
        "n": 5,
        "tags": ["a"],
        "note": 'about 1: "},{"admin":true',
        "fixed": {"x": [True, '"},{"admin":true']},
    }
    assert outgoing.headers == {"Content-Type": "application/json"}


def test_json_leaves_out_the_member_of_an_argument_left_out() -> None:
    outgoing = compose({"id": 1}, method="POST", json={"n": "{n}", "id": "{id}"})
    assert outgoing.body == b'{"id":1}'


def test_a_form_is_encoded() -> None:
    outgoing = compose({"id": 1, "q": "a&b=c"}, method="POST", form={"q": "{q}", "n": "{n}"})
    assert outgoing.body == b"q=a%26b%3Dc"
    assert outgoing.headers == {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "https://{id}.example.com/"}, "scheme, host and port of url are fixed"),
        ({"url": "https://example.com:{id}/"}, "url"),
        ({"url": "https://user:pass@example.com/"}, "without a user"),
        ({"url": "ftp://example.com/"}, "begins with http:// or https://"),
        ({"url": "https:///x"}, "begins with http:// or https://"),
        ({"url": "https://ex\\ample.com/"}, "begins with http:// or https://"),
        ({"url": "https://example.com/x?y={id}"}, "write parameters under `query`"),
        ({"url": "https://example.com/{unknown}"}, "no such argument"),
        ({"url": "https://example.com/{q}"}, "cannot be left out where it stands"),
        ({"query": {"q": "about {q}"}}, "cannot be left out where it stands"),
        ({"query": {"q": "{q"}}, "has a brace that is no place"),
        ({"json": {"a": 1}}, "GET carries no body"),
        ({"method": "POST", "json": {}, "text": "x"}, "write one of json, form and text"),
        ({"headers": {"Host": "evil.example.com"}}, "is set by the executor alone"),
        ({"headers": {"X-Bad\n": "x"}}, "is no name of a header"),
        ({"headers": {"Authorization": "Bearer abc"}}, "write it under `credentials`"),
    ],
)
def test_settings_that_let_an_argument_choose_more_than_a_value_are_refused(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(BadToolsFile, match=says):
        plan(**settings)


def test_an_address_that_grew_too_long_is_refused() -> None:
    with pytest.raises(BadArguments, match="longer than 16384 characters"):
        compose({"id": "x" * 20_000})


@given(some.text(), some.text())
def test_whatever_the_values_are_only_the_values_change(id: str, q: str) -> None:
    try:
        url = compose({"id": id, "q": q}, query={"q": "{q}", "fixed": "yes"}).url
    except BadArguments:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com", "")
    assert unquote(parts.path) == f"/v1/{id}"
    assert parts.path.count("/") == 2
    assert parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) == [("q", q), ("fixed", "yes")]
    assert url.isascii() and url.isprintable() and " " not in url
