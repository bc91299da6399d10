"""Proto JSON as it is read: names in camelCase or snake_case, null for absent, numbers that may be strings. Pure.

Values stay raw until somebody asks for them, so that base64 and tool arguments are not copied on the way.
"""

import re

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.fault import Fault, FaultKind

Fields = dict[str, msgspec.Raw]
"""The fields of one message that are there, under their camelCase names, in the order they came in."""

_NULL = b"null"
_SNAKE = re.compile(r"(?<=.)_([a-z0-9])")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(Exception):
    """Something is not what the protocol says. `path` in the sender's terms (`contents.0.parts.1.text`)."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(f"{path} {what}")

    def invalid(self) -> Failure:
        """As a surface tells it."""
        return Failure(Code.INVALID, str(self)[:500], param=self.path[:200])

    def garbage(self) -> Fault:
        """As a provider's answer is judged. Says nothing of what stood there."""
        return Fault(FaultKind.GARBAGE, f"the provider's answer is broken: {str(self)[:200]}", sent=True)


def camel(name: str) -> str:
    """`max_output_tokens` as `maxOutputTokens`; other names as they are."""
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def checked(body: bytes) -> bytes:
    """The body. Raises Malformed when it is not UTF-8: nobody looks at raw values again before they are passed on."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise Malformed("the body", "is not UTF-8") from None
    return body


def fields(raw: msgspec.Raw | bytes, path: str) -> Fields:
    """The fields of the message `raw`. Raises Malformed."""
    return {
        camel(name) if "_" in name else name: value
        for name, value in entries(raw, path).items()
        if len(value) != len(_NULL) or bytes(value) != _NULL
    }


def entries(raw: msgspec.Raw | bytes, path: str) -> dict[str, msgspec.Raw]:
    """The entries of an object whose names are the sender's own. Raises Malformed."""
    try:
        return _OBJECT.decode(raw)
    except _BROKEN:
        raise Malformed(path, "must be a JSON object") from None


def items(raw: msgspec.Raw | None, path: str) -> list[msgspec.Raw]:
    """The values of a list; none for an absent one. Raises Malformed."""
    if raw is None:
        return []
    try:
        return _LIST.decode(raw)
    except _BROKEN:
        raise Malformed(path, "must be a list") from None


def text(found: Fields, name: str, path: str) -> str:
    """The text of a field, "" when it is absent. Raises Malformed."""
    raw = found.get(name)
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except _BROKEN:
        raise Malformed(f"{path}.{name}".lstrip("."), "must be a string") from None


def texts(found: Fields, name: str, path: str) -> tuple[str, ...]:
    """The texts of a list. Raises Malformed."""
    raw = found.get(name)
    if raw is None:
        return ()
    try:
        return msgspec.json.decode(raw, type=tuple[str, ...])
    except _BROKEN:
        raise Malformed(f"{path}.{name}".lstrip("."), "must be a list of strings") from None


def flag(found: Fields, name: str, path: str) -> bool | None:
    """A boolean; None when it is absent. Raises Malformed."""
    raw = found.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=bool)
    except _BROKEN:
        raise Malformed(f"{path}.{name}".lstrip("."), "must be true or false") from None


def number(found: Fields, name: str, path: str) -> float | None:
    """A number, or one in a string; None when it is absent. Raises Malformed."""
    raw = found.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=float, strict=False)
    except _BROKEN:
        raise Malformed(f"{path}.{name}".lstrip("."), "must be a number") from None


def whole(found: Fields, name: str, path: str) -> int | None:
    """A whole number, also as `40.0` or `"40"`; None when it is absent. Raises Malformed."""
    raw = found.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=int, strict=False)
    except _BROKEN:
        raise Malformed(f"{path}.{name}".lstrip("."), "must be a whole number") from None


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a value says that the field is absent."""
    return len(raw) == len(_NULL) and bytes(raw) == _NULL


def on_one_line(raw: msgspec.Raw) -> msgspec.Raw:
    """The same JSON without line ends, which would end a line of server-sent events; untouched where it has none."""
    held = bytes(raw)
    if b"\n" in held or b"\r" in held:
        return msgspec.Raw(msgspec.json.format(held, indent=-1))
    return raw


def json_object(text: str) -> dict[str, msgspec.Raw] | None:
    """The entries of a text that is a JSON object; None for any other."""
    try:
        return _OBJECT.decode(text)
    except (*_BROKEN, UnicodeEncodeError):
        return None
