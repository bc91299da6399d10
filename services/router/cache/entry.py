"""An answer as it is kept: what it was, byte for byte, and what it took. Pure."""

from typing import Literal

import msgspec

from penstock.contracts.llm import Usage

Form = Literal["whole", "events"]


class Entry(msgspec.Struct, frozen=True):
    """`form`: a whole answer, or the events of a stream, in the caller's protocol. `cost_nano`, `usage`: what is saved
    each time it is used again; -1 when the price was unknown. `obliged`: the obligations that it was made under."""

    form: Form
    body: bytes
    deployment: str
    model: str
    finish: str
    usage: Usage
    cost_nano: int
    created: float
    obliged: tuple[str, ...] = ()


def pack(entry: Entry) -> bytes:
    """For the store: a line that says what it is, and the bytes."""
    head = msgspec.structs.replace(entry, body=b"")
    return msgspec.json.encode(head) + b"\n" + entry.body


def unpack(packed: bytes) -> Entry | None:
    """None for what another version wrote."""
    head, newline, body = packed.partition(b"\n")
    try:
        entry = msgspec.json.decode(head, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.structs.replace(entry, body=body) if newline else None
