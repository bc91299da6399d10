"""Values out of raw JSON, or a Failure that names the field at fault. Null is the same as missing. Pure."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure

T = TypeVar("T")
Fields = Mapping[str, msgspec.Raw]
Json = dict[str, object]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
TEXT = msgspec.json.Decoder(str)
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
RAWS = msgspec.json.Decoder(list[msgspec.Raw])
TEXTS = msgspec.json.Decoder(list[str])
NAMED_TEXTS = msgspec.json.Decoder(dict[str, str])
_NUMBER = msgspec.json.Decoder(float)
_FLAG = msgspec.json.Decoder(bool)
_WHOLE = msgspec.json.Decoder(int)


def invalid(path: str, why: str) -> Failure:
    """`path` as in `input.3.content`."""
    return Failure(Code.INVALID, f"{path} {why}", param=path)


def raw_of(value: object) -> msgspec.Raw:
    """The value as raw JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def is_null(raw: msgspec.Raw | None) -> bool:
    """Missing, or null."""
    return raw is None or (len(memoryview(raw)) == 4 and bytes(raw) == b"null")


def present(fields: Fields, name: str) -> msgspec.Raw | None:
    """None when it is missing or null."""
    raw = fields.get(name)
    return None if is_null(raw) else raw


def decoded(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T], path: str, what: str) -> T:
    """Raises INVALID: `path` must be `what`."""
    try:
        return decoder.decode(raw)
    except UNREADABLE:
        raise invalid(path, f"must be {what}") from None


def text(fields: Fields, name: str) -> str:
    """Empty when it is missing."""
    raw = present(fields, name)
    return "" if raw is None else decoded(raw, TEXT, name, "a string")


def number(fields: Fields, name: str) -> float | None:
    """Any number."""
    raw = present(fields, name)
    return None if raw is None else decoded(raw, _NUMBER, name, "a number")


def flag(fields: Fields, name: str) -> bool | None:
    """True or false."""
    raw = present(fields, name)
    return None if raw is None else decoded(raw, _FLAG, name, "true or false")


def whole(fields: Fields, name: str, at_least: int = 1) -> int | None:
    """A whole number that is not too small."""
    raw = present(fields, name)
    if raw is None:
        return None
    found = decoded(raw, _WHOLE, name, f"a whole number of at least {at_least}")
    if found < at_least:
        raise invalid(name, f"must be a whole number of at least {at_least}")
    return found


def fields_of(fields: Fields, name: str) -> dict[str, msgspec.Raw]:
    """The object's values, still raw; empty when it is missing."""
    raw = present(fields, name)
    return {} if raw is None else decoded(raw, FIELDS, name, "an object")


def without_nulls(fields: Fields) -> dict[str, msgspec.Raw]:
    """Only what was said."""
    return {name: raw for name, raw in fields.items() if not is_null(raw)}
