"""What a tool's parameters may say: JSON Schema 2020-12 that reaches nowhere and costs little. Pure."""

from collections.abc import Iterator

import re2  # type: ignore[import-untyped]  # it brings no types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_DEPTH_MAX = 32
SCHEMA_VALUES_MAX = 10_000

Schema = dict[str, object]


class BadSchema(ValueError):
    """Parameters that cannot be used; the text says why and what to write."""


def check_schema(schema: Schema) -> None:
    """Raises BadSchema. A schema that passes has an object on top, refers only into itself, and its patterns
    take linear time."""
    for depth, value in walk(schema):
        if depth > SCHEMA_DEPTH_MAX:
            raise BadSchema(f"parameters are nested deeper than {SCHEMA_DEPTH_MAX}")
        if isinstance(value, dict):
            _check_object(value)
    if schema.get("type") != "object":
        raise BadSchema(
            "parameters must be of type object; write `type: object` and name the arguments under properties"
        )
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(step) for step in error.absolute_path) or "the top"
        raise BadSchema(f"parameters are not JSON Schema 2020-12: at {where}: {error.message[:200]}") from None


def properties(schema: Schema) -> dict[str, Schema]:
    """The arguments by name."""
    named = schema.get("properties")
    if not isinstance(named, dict):
        return {}
    return {str(name): value if isinstance(value, dict) else {} for name, value in named.items()}


def required(schema: Schema) -> set[str]:
    """The arguments that are always there: required, or with a default."""
    names = schema.get("required")
    given = {str(name) for name in names} if isinstance(names, list) else set()
    return given | set(defaults(schema))


def defaults(schema: Schema) -> dict[str, object]:
    """What the arguments that were left out are taken to be."""
    return {name: value["default"] for name, value in properties(schema).items() if "default" in value}


def walk(value: object) -> Iterator[tuple[int, object]]:
    """Every value below, with its depth. Raises BadSchema when they are too many."""
    left: list[tuple[int, object]] = [(1, value)]
    seen = 0
    while left:
        depth, item = left.pop()
        seen += 1
        if seen > SCHEMA_VALUES_MAX:
            raise BadSchema(f"parameters have more than {SCHEMA_VALUES_MAX} values")
        yield depth, item
        if isinstance(item, dict):
            left.extend((depth + 1, inner) for inner in item.values())
        elif isinstance(item, list):
            left.extend((depth + 1, inner) for inner in item)


def _check_object(part: dict[str, object]) -> None:
    for word in ("$ref", "$dynamicRef"):
        reference = part.get(word)
        if isinstance(reference, str) and not reference.startswith("#"):
            raise BadSchema(
                f"{word} {reference!r} reaches outside; write the definition under $defs, and #/$defs/ here"
            )
    dialect = part.get("$schema")
    if isinstance(dialect, str) and dialect.rstrip("#") != DIALECT:
        raise BadSchema(f"$schema {dialect!r} is not {DIALECT}")
    if isinstance(part.get("patternProperties"), dict):
        raise BadSchema("patternProperties is not supported; use additionalProperties or propertyNames")
    pattern = part.get("pattern")
    if isinstance(pattern, str):
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(pattern, options)
        except re2.error:
            raise BadSchema(f"pattern {pattern!r} is not RE2 (no look-around, no back-references)") from None
