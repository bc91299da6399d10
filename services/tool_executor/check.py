"""Are these arguments what the tool wants? Pure: text in, checked values or a sentence for the model out."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
import re2  # type: ignore[import-untyped]  # it brings no types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry

from penstock.contracts.policy import Fact
from services.tool_executor.schema import Schema, defaults

_PROBLEMS_MAX = 5
_MESSAGE_MAX = 200

Arguments = dict[str, object]


class BadArguments(ValueError):
    """Arguments that the model must write anew; the text is for the model, `facts` for policy."""

    def __init__(self, text: str, facts: Mapping[str, Fact] | None = None) -> None:
        super().__init__(text)
        self.facts = dict(facts or {})


@dataclass(frozen=True, slots=True)
class ArgumentLimits:
    """`values_max` counts every value at every depth."""

    bytes_max: int = 256 * 1024
    depth_max: int = 32
    values_max: int = 10_000


def canonical(arguments: object) -> bytes:
    """JSON with sorted keys and no spaces: what the digest of arguments is made from."""
    return msgspec.json.encode(arguments, order="deterministic")


def digest(arguments: object) -> str:
    """sha256 of the canonical form, hex."""
    return hashlib.sha256(canonical(arguments)).hexdigest()


def decode_arguments(raw: bytes, limits: ArgumentLimits) -> Arguments:
    """The arguments as they were sent, within the limits. Raises BadArguments."""
    if len(raw) > limits.bytes_max:
        raise BadArguments(f"the arguments have {len(raw)} bytes; at most {limits.bytes_max} are allowed")
    try:
        arguments: object = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BadArguments("the arguments are not JSON") from None
    if not isinstance(arguments, dict):
        raise BadArguments("the arguments must be a JSON object")
    _measure(arguments, limits)
    return arguments


class ArgumentCheck:
    """One tool's schema, made ready once. Nothing is ever fetched for a reference."""

    def __init__(self, schema: Schema) -> None:
        self._validator: Validator = _LinearValidator(schema, registry=Registry())
        self._defaults = defaults(schema)

    def complete(self, arguments: Mapping[str, object]) -> Arguments:
        """The arguments with the schema's defaults for what was left out. Raises BadArguments."""
        whole = {**self._defaults, **arguments}
        problems: list[str] = []
        try:
            for error in self._validator.iter_errors(whole):  # type: ignore[arg-type]  # decoded JSON
                problems.append(_sentence(error))
                if len(problems) == _PROBLEMS_MAX:
                    break
        except RecursionError:
            problems.append("they are nested too deeply")
        if problems:
            raise BadArguments("the arguments do not fit the tool: " + "; ".join(problems))
        return whole


def _measure(arguments: Arguments, limits: ArgumentLimits) -> None:
    left: list[tuple[int, object]] = [(1, arguments)]
    seen = 0
    while left:
        depth, value = left.pop()
        seen += 1
        if depth > limits.depth_max:
            raise BadArguments(f"the arguments are nested deeper than {limits.depth_max}")
        if seen > limits.values_max:
            raise BadArguments(f"the arguments have more than {limits.values_max} values")
        if isinstance(value, dict):
            left.extend((depth + 1, inner) for inner in value.values())
        elif isinstance(value, list):
            left.extend((depth + 1, inner) for inner in value)


def _sentence(error: ValidationError) -> str:
    where = "/".join(str(step) for step in error.absolute_path)
    message = error.message if len(error.message) <= _MESSAGE_MAX else _rule(error)
    return f"{where}: {message}" if where else message


def _rule(error: ValidationError) -> str:
    """The message quotes the value, which may be long: then only the rule is named."""
    return f"{error.validator}: {str(error.validator_value)[:_MESSAGE_MAX]} is not met"


def _pattern(validator: Validator, pattern: str, value: object, schema: object) -> Iterator[ValidationError]:
    """RE2, since the value is hostile and Python's own engine may take exponential time."""
    if isinstance(value, str) and not re2.search(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _unique_items(validator: Validator, unique: bool, value: object, schema: object) -> Iterator[ValidationError]:
    """In linear time. 1 and 1.0 are one number, true and 1 are not (JSON Schema 2020-12, 4.2.2)."""
    if unique and isinstance(value, list) and len({canonical(_numbers(item)) for item in value}) < len(value):
        yield ValidationError("the items are not unique")


def _numbers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return value


_LinearValidator = extend(  # type: ignore[no-untyped-call]  # the stubs leave it untyped
    Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)
