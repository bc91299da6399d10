"""Which parameters a tool may declare."""

import pytest

from services.tool_executor.schema import BadSchema, Schema, check_schema, defaults, required


def test_a_schema_may_refer_into_itself() -> None:
    check_schema(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/tree"}},
            "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        }
    )


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}, "reaches outside"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "reaches outside"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, "is not https://json-schema.org"),
        ({"type": "string"}, "must be of type object"),
        ({}, "must be of type object"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "not JSON Schema 2020-12: at properties/a/type"),
        ({"type": "object", "properties": {"a": {"pattern": "(a)\\1"}}}, "is not RE2"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "patternProperties is not supported"),
    ],
)
def test_what_reaches_outside_or_costs_too_much_is_refused(schema: Schema, says: str) -> None:
    with pytest.raises(BadSchema, match=says):
        check_schema(schema)


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: Schema = {"type": "object"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(BadSchema, match="nested deeper than 32"):
        check_schema(schema)


def test_an_argument_with_a_default_is_always_there() -> None:
    schema: Schema = {"properties": {"a": {}, "b": {"default": 5}, "c": {}}, "required": ["a"]}
    assert required(schema) == {"a", "b"}
    assert defaults(schema) == {"b": 5}
