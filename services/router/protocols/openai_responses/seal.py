"""What only its endpoint honours, as the one opaque text that this protocol has for it: encrypted_content.

Its own seals stand there as they are. Signatures and seals of other protocols stand there in an envelope of ours, which
clients send back like any other, and which no OpenAI endpoint may ever see. Pure.
"""

import base64
import binascii

import msgspec

from services.router.protocols.part import Thinking, ToolCall

_MARK = "penstock."
NAMELESS = "rs_"
"""The id of a sealed part whose item had none: it tells that the seal is this protocol's own."""
MADE_UP = "rs_ps"
"""How ids of reasoning items start that the router made up: they say nothing to anybody."""
SEEN = rb'"penstock\.'
"""A pattern that finds an envelope in the bytes of a request."""


class Sealed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an envelope holds. `call`: the id of the tool call that the signature belongs to."""

    signature: str = ""
    sealed: str = ""
    call: str = ""


def seal(thinking: Thinking) -> str:
    """Empty when there is nothing to seal. Only a part with an item id comes from this protocol."""
    if thinking.id and not thinking.signature:
        return thinking.sealed
    if not thinking.signature and not thinking.sealed:
        return ""
    return _envelope(Sealed(thinking.signature, thinking.sealed))


def seal_of_call(call: ToolCall) -> str:
    """The signature of a tool call, which has no place on the call itself; empty when it has none."""
    return _envelope(Sealed(call.signature, call=call.id)) if call.signature else ""


def is_ours(text: str) -> bool:
    """Whether it is an envelope, and so none of OpenAI's seals."""
    return text.startswith(_MARK)


def unseal(text: str) -> Sealed:
    """What does not read as an envelope is a seal of this protocol's own."""
    if not is_ours(text):
        return Sealed(sealed=text)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text[len(_MARK) :]), type=Sealed)
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
        return Sealed(sealed=text)


def thinking_of(text: str, encrypted: str, item_id: str) -> Thinking:
    """A reasoning item as a part. One in an envelope was never this protocol's: its item id says nothing."""
    found = unseal(encrypted)
    own = own_id(item_id) or (NAMELESS if encrypted else "")
    return Thinking(text, found.signature, found.sealed, "" if is_ours(encrypted) else own)


def id_for(part: Thinking, made_up: str) -> str:
    """The id of its item: its own, or one that says nothing."""
    return part.id if part.id and part.id != NAMELESS else made_up


def own_id(item_id: str) -> str:
    """The id of a reasoning item, unless the router made it up."""
    return "" if item_id.startswith(MADE_UP) else item_id


def _envelope(content: Sealed) -> str:
    return _MARK + base64.urlsafe_b64encode(msgspec.json.encode(content)).decode()
