"""A response as it is kept, and what can be told of it. Pure."""

import zlib

import msgspec

from services.router.protocols.openai_responses.history import id_of

_LEVEL = 1
"""Fast: conversations are mostly text, which this makes four times smaller all the same."""


class _Object(msgspec.Struct):
    id: str | None = None
    output: list[msgspec.Raw] | None = None


class Record(msgspec.Struct, frozen=True):
    """`response`: the Response object; `input`: the items that it answers; `before`: ids of the responses before it,
    the oldest first; `endpoint`: where it was minted."""

    response: msgspec.Raw
    input: list[msgspec.Raw]
    before: list[str]
    endpoint: str = ""

    @property
    def identity(self) -> str:
        """The response's id; empty when it has none."""
        return _object(self).id or ""


def _object(record: Record) -> _Object:
    try:
        return msgspec.json.decode(record.response, type=_Object)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Object()


def output_of(record: Record) -> tuple[msgspec.Raw, ...]:
    """The items of the answer."""
    return tuple(_object(record).output or ())


def item_ids(record: Record) -> list[tuple[str, msgspec.Raw]]:
    """The items of the answer that have an id, with it."""
    return [(name, item) for item in output_of(record) if (name := id_of(item))]


def pack(record: Record) -> bytes:
    """For the store."""
    return zlib.compress(msgspec.json.encode(record), _LEVEL)


def unpack(packed: bytes) -> Record | None:
    """None for what another version wrote."""
    try:
        return msgspec.json.decode(zlib.decompress(packed), type=Record)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
