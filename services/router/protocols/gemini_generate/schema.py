"""Gemini's Schema (OpenAPI-like, enums in capitals) as JSON Schema, for those who speak nothing else. Pure."""

import msgspec

from services.router.protocols.gemini_generate.fields import Malformed, camel

SCHEMA_DEPTH_MAX = 100
_NUMBERS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minimum", "maximum"}
)
_ONE = frozenset({"items", "additionalProperties", "not"})
_MANY = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "$defs", "defs", "patternProperties"})
_OURS_ALONE = frozenset({"propertyOrdering", "nullable"})
_RENAMED = {"ref": "$ref", "defs": "$defs", "example": "examples"}
_KEPT_SPELLING = frozenset({"$defs", "$ref"})


def json_schema(raw: msgspec.Raw, path: str) -> msgspec.Raw:
    """The JSON Schema that says the same. What is one already comes back as it was, in meaning. Raises Malformed."""
    try:
        found: object = msgspec.json.decode(raw)
        return msgspec.Raw(msgspec.json.encode(_schema(found, path, 0)))
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        raise Malformed(path, "must be a schema") from None


def _schema(found: object, path: str, depth: int) -> object:
    if depth > SCHEMA_DEPTH_MAX:
        raise Malformed(path, f"must not be nested deeper than {SCHEMA_DEPTH_MAX} levels")
    if not isinstance(found, dict):
        return found
    made: dict[str, object] = {}
    for spelled, value in found.items():
        name = spelled if spelled in _KEPT_SPELLING else camel(str(spelled))
        if value is not None and name not in _OURS_ALONE:
            made[_RENAMED.get(name, name)] = _value(name, value, path, depth + 1)
    if found.get("nullable") is True:
        _allow_null(made)
    return made


def _value(name: str, value: object, path: str, depth: int) -> object:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _ONE:
        return _schema(value, path, depth)
    if name in _MANY and isinstance(value, list):
        return [_schema(one, path, depth) for one in value]
    if name in _NAMED and isinstance(value, dict):
        return {key: _schema(one, path, depth) for key, one in value.items()}
    if name in _NUMBERS and isinstance(value, str):
        return _number(value)
    if name == "example":
        return [value]
    return value


def _allow_null(made: dict[str, object]) -> None:
    kind = made.get("type")
    if isinstance(kind, str):
        made["type"] = [kind, "null"]
    values = made.get("enum")
    if isinstance(values, list) and None not in values:
        made["enum"] = [*values, None]


def _number(value: str) -> object:
    """64-bit numbers stand in strings in proto JSON."""
    try:
        return int(value)
    except ValueError:
        return value
