"""A tool's JSON Schema as a Cedar type, and its arguments as a value of that type. Pure.

String, integer, boolean, number (as decimal, four digits), arrays (as sets) and objects (as records) are carried. What
Cedar has no type for, such as a choice between types, is left out of the type: a policy that names it is refused.
"""

from collections.abc import Mapping
from typing import Union

import msgspec

from penstock.contracts.policy import INPUT_MAX_BYTES

TOOLS_MAX = 1000
ATTRIBUTES_MAX = 200
DEPTH_MAX = 8
ITEMS_MAX = 256
_LONG_MAX = 2**63 - 1
_DECIMAL_MAX = 9 * 10**14
_PLAIN = {"string": "String", "integer": "Long", "boolean": "Bool", "number": "decimal"}

Schema = Mapping[str, object]


class Misfit(Exception):
    """Arguments that are not of the tool's type."""


class SetOf(msgspec.Struct, frozen=True):
    """An array, without its order."""

    inner: "InputType"


class RecordOf(msgspec.Struct, frozen=True):
    """An object: type and whether it is always there, by name."""

    fields: dict[str, tuple["InputType", bool]]


InputType = Union[str, SetOf, RecordOf]  # noqa: UP007  # a forward reference cannot stand beside |


def read_tools(text: str) -> dict[str, RecordOf]:
    """`tools.json`: each tool's JSON Schema by its name. Raises ValueError, whose text says what is wrong."""
    try:
        found = msgspec.json.decode(text.encode(), type=dict[str, dict[str, object]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"cannot be read: {error}") from error
    if len(found) > TOOLS_MAX:
        raise ValueError(f"has {len(found)} tools, at most {TOOLS_MAX} are allowed")
    tools: dict[str, RecordOf] = {}
    for name, schema in found.items():
        kind = _Reader(schema).type_of(schema, 0)
        if not isinstance(kind, RecordOf):
            raise ValueError(f"tool {name[:80]!r}: its parameters must be of type object, with properties")
        tools[name] = kind
    return tools


class _Reader:
    """Of one tool's schema, whose own definitions it may refer to."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = ATTRIBUTES_MAX

    def type_of(self, schema: object, depth: int) -> InputType | None:
        """None for what Cedar has no type for."""
        found = self._referred(schema)
        if found is None or depth > DEPTH_MAX:
            return None
        kinds = [kind for kind in _kinds(found) if kind != "null"]
        if len(kinds) != 1:
            return self._chosen(found, depth) if not kinds else None
        match kinds[0]:
            case "array":
                inner = self.type_of(found.get("items"), depth + 1)
                return None if inner is None else SetOf(inner)
            case "object":
                return self._record(found, depth)
            case kind:
                return _PLAIN.get(kind)

    def _record(self, schema: Schema, depth: int) -> RecordOf | None:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            return None
        required = schema.get("required")
        always = {str(name) for name in required} if isinstance(required, list) else set()
        fields: dict[str, tuple[InputType, bool]] = {}
        for name, inner in properties.items():
            kind = self.type_of(inner, depth + 1)
            self._left -= 1
            if kind is None or self._left < 0 or not str(name).isprintable():
                continue
            nullable = "null" in _kinds(self._referred(inner) or {}) or self._may_be_null(inner)
            defaulted = isinstance(inner, Mapping) and inner.get("default") is not None
            fields[str(name)] = (kind, not nullable and (name in always or defaulted))
        return RecordOf(fields)

    def _chosen(self, schema: Schema, depth: int) -> InputType | None:
        """anyOf and oneOf of one type and null; enum and const of texts."""
        options = _options(schema)
        if options:
            typed = [one for one in options if _kinds(self._referred(one) or {}) != ["null"]]
            return self.type_of(typed[0], depth + 1) if len(typed) == 1 else None
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        texts = isinstance(values, list) and values and all(isinstance(value, str) for value in values)
        return "String" if texts else None

    def _may_be_null(self, schema: object) -> bool:
        return any(_kinds(self._referred(one) or {}) == ["null"] for one in _options(self._referred(schema) or {}))

    def _referred(self, schema: object) -> Schema | None:
        for _ in range(DEPTH_MAX):
            if not isinstance(schema, Mapping):
                return None
            reference = schema.get("$ref")
            if reference is None:
                return schema
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return None
            schema = _at(self._root, reference[2:].split("/"))
        return None


def _at(root: object, path: list[str]) -> object:
    for step in path:
        if not isinstance(root, Mapping):
            return None
        root = root.get(step.replace("~1", "/").replace("~0", "~"))
    return root


def _kinds(schema: Schema) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    return [str(one) for one in kind] if isinstance(kind, list) else []


def _options(schema: Schema) -> list[object]:
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        if isinstance(options, list):
            return options
    return []


def cedar_type(kind: InputType) -> str:
    """In the words of a Cedar schema."""
    match kind:
        case SetOf(inner):
            return f"Set<{cedar_type(inner)}>"
        case RecordOf(fields):
            attributes = [
                f"{msgspec.json.encode(name).decode()}{'' if always else '?'}: {cedar_type(inner)}"
                for name, (inner, always) in fields.items()
            ]
            return "{" + ", ".join(attributes) + "}"
        case plain:
            return plain


def in_type(arguments: bytes, kind: RecordOf) -> object:
    """The arguments as Cedar takes them; what the type does not have is left out. Raises Misfit."""
    if not arguments:
        raise Misfit("the arguments are missing")
    if len(arguments) > INPUT_MAX_BYTES:
        raise Misfit(f"the arguments are larger than {INPUT_MAX_BYTES} bytes, which no policy looks at")
    try:
        value = msgspec.json.decode(arguments, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Misfit("the arguments are not a JSON object") from error
    return _value(value, kind, "input")


def _value(value: object, kind: InputType, name: str) -> object:
    match kind, value:
        case RecordOf(fields), dict():
            return {
                field: _value(value[field], inner, f"{name}.{field}"[:200])
                for field, (inner, always) in fields.items()
                if _given(value, field, always, name)
            }
        case SetOf(inner), list() if len(value) <= ITEMS_MAX:
            return [_value(item, inner, name) for item in value]
        case ("String", str()) | ("Bool", bool()):
            return value
        case "Long", int() | float() if _whole(value):
            return int(value)
        case "decimal", int() | float() if not isinstance(value, bool) and abs(value) < _DECIMAL_MAX:
            return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}
        case _:
            raise Misfit(f"{name} is not what the tool's schema says")


def _given(value: dict[str, object], field: str, always: bool, name: str) -> bool:
    if value.get(field) is not None:
        return True
    if always:
        raise Misfit(f"{name}.{field} is missing")
    return False


def _whole(value: int | float) -> bool:
    return not isinstance(value, bool) and abs(value) <= _LONG_MAX and value == int(value)
