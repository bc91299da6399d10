"""Arguments as models send them, and as attackers do."""

import pytest

from services.tool_executor.check import ArgumentCheck, ArgumentLimits, BadArguments, decode_arguments, digest
from services.tool_executor.schema import Schema

LIMITS = ArgumentLimits(bytes_max=1000, depth_max=5, values_max=20)


def test_arguments_are_a_json_object() -> None:
    assert decode_arguments(b'{"city": "Oslo"}', LIMITS) == {"city": "Oslo"}
    assert decode_arguments(b"", LIMITS) == {}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"[1]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"{", "are not JSON"),
        (b'{"a": "\xff"}', "are not JSON"),
        (b'{"a": NaN}', "are not JSON"),
        (b'{"a": "' + b"x" * 1000 + b'"}', "have 1009 bytes; at most 1000 are allowed"),
        (b'{"a": ' + b"[" * 5 + b"]" * 5 + b"}", "nested deeper than 5"),
        (b'{"a": [' + b"1," * 30 + b"1]}", "more than 20 values"),
    ],
)
def test_what_is_not_within_the_limits_is_refused_with_a_sentence(raw: bytes, says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        decode_arguments(raw, LIMITS)


def test_a_depth_bomb_is_refused() -> None:
    raw = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(BadArguments):
        decode_arguments(raw, ArgumentLimits())


def test_the_digest_does_not_depend_on_the_order_of_members() -> None:
    assert digest({"a": 1, "b": {"x": 1, "y": 2}}) == digest({"b": {"y": 2, "x": 1}, "a": 1})
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def check(schema: Schema, arguments: dict[str, object]) -> dict[str, object]:
    return ArgumentCheck({"type": "object", **schema}).complete(arguments)


def test_defaults_stand_for_what_was_left_out() -> None:
    schema: Schema = {"properties": {"n": {"type": "integer", "default": 3}, "q": {"type": "string"}}}
    assert check(schema, {"q": "x"}) == {"n": 3, "q": "x"}
    assert check(schema, {"q": "x", "n": 4}) == {"n": 4, "q": "x"}


def test_the_sentence_says_where_and_what() -> None:
    schema: Schema = {"properties": {"n": {"type": "integer"}}, "required": ["q"], "additionalProperties": False}
    with pytest.raises(BadArguments) as caught:
        check(schema, {"n": "three", "z": 1})
    assert "n: 'three' is not of type 'integer'" in str(caught.value)
    assert "'q' is a required property" in str(caught.value)
    assert "('z' was unexpected)" in str(caught.value)


def test_a_long_value_is_not_quoted_back() -> None:
    with pytest.raises(BadArguments) as caught:
        check({"properties": {"n": {"type": "integer"}}}, {"n": "x" * 5000})
    assert len(str(caught.value)) < 300


def test_a_pattern_takes_linear_time() -> None:
    schema: Schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    with pytest.raises(BadArguments, match="pattern"):
        check(schema, {"a": "a" * 50_000 + "!"})


def test_unique_items_takes_linear_time() -> None:
    schema: Schema = {"properties": {"a": {"uniqueItems": True}}}
    items: list[object] = [{"n": number} for number in range(9000)]
    assert check(schema, {"a": items}) == {"a": items}
    with pytest.raises(BadArguments, match="not unique"):
        check(schema, {"a": [*items, {"n": 5.0}]})


def test_true_and_one_are_two_items() -> None:
    schema: Schema = {"properties": {"a": {"uniqueItems": True}}}
    assert check(schema, {"a": [True, 1]}) == {"a": [True, 1]}


def test_a_reference_that_turns_in_a_circle_is_refused_and_not_followed_for_ever() -> None:
    schema: Schema = {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}}
    with pytest.raises(BadArguments, match="nested too deeply"):
        check(schema, {"a": 1})
