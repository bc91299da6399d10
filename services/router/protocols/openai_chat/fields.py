"""The values of one JSON object, taken out by name; what is left was not understood. Pure."""

from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure

Value = TypeVar("Value")

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_WHOLE = msgspec.json.Decoder(int)
_NUMBER = msgspec.json.Decoder(float)
_FLAG = msgspec.json.Decoder(bool)
_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def is_empty(raw: msgspec.Raw) -> bool:
    """Null, or a text, list or object without content."""
    return len(raw) <= 4 and bytes(raw) in _EMPTY


def is_text(raw: msgspec.Raw) -> bool:
    """A JSON string."""
    return memoryview(raw)[0] == ord('"')


def is_list(raw: msgspec.Raw) -> bool:
    """A JSON array."""
    return memoryview(raw)[0] == ord("[")


class Fields:
    """`at`: where the object stands in the request, for failures. Null is the same as absent. Each method takes the
    value away, and raises Failure(INVALID) that names the field when it is of the wrong kind."""

    __slots__ = ("_values", "at")

    def __init__(self, values: dict[str, msgspec.Raw], at: str = "") -> None:
        self._values = values
        self.at = at

    @classmethod
    def of(cls, raw: msgspec.Raw, at: str) -> "Fields":
        """Of the object's bytes."""
        return cls(_decoded(_OBJECT, raw, at, "an object"), at)

    def path(self, name: str) -> str:
        return f"{self.at}.{name}" if self.at else name

    def wrong(self, name: str, why: str) -> Failure:
        """The failure to raise for a field: `why` goes on from the field's name."""
        return invalid(self.path(name), why)

    def raw(self, name: str) -> msgspec.Raw | None:
        found = self._values.pop(name, None)
        return None if found is None or (len(found) == 4 and bytes(found) == b"null") else found

    def peek(self, name: str) -> msgspec.Raw | None:
        """As `raw`, and it stays."""
        found = self.raw(name)
        if found is not None:
            self._values[name] = found
        return found

    def text(self, name: str) -> str:
        return self._take(_TEXT, name, "a string") or ""

    def whole(self, name: str) -> int | None:
        return self._take(_WHOLE, name, "a whole number")

    def number(self, name: str) -> float | None:
        return self._take(_NUMBER, name, "a number")

    def flag(self, name: str) -> bool | None:
        return self._take(_FLAG, name, "true or false")

    def items(self, name: str) -> list[msgspec.Raw]:
        return self._take(_LIST, name, "a list") or []

    def fields(self, name: str) -> "Fields | None":
        raw = self.raw(name)
        return None if raw is None else Fields.of(raw, self.path(name))

    def listed(self, name: str) -> "list[Fields]":
        """A list of objects."""
        return [Fields.of(raw, f"{self.path(name)}.{at}") for at, raw in enumerate(self.items(name))]

    def rest(self) -> dict[str, msgspec.Raw]:
        """What nobody took, by its path; what says nothing is left out."""
        return {self.path(name): raw for name, raw in self._values.items() if not is_empty(raw)}

    def _take(self, decoder: "msgspec.json.Decoder[Value]", name: str, what: str) -> Value | None:
        raw = self.raw(name)
        return None if raw is None else _decoded(decoder, raw, self.path(name), what)


def invalid(path: str, why: str) -> Failure:
    """`path` as the caller would write it."""
    return Failure(Code.INVALID, f"{path[:200]} {why}", param=path[:100])


def _decoded(decoder: "msgspec.json.Decoder[Value]", raw: msgspec.Raw, path: str, what: str) -> Value:
    try:
        return decoder.decode(raw)
    except NOT_JSON:
        raise invalid(path, f"must be {what}") from None
