"""What other protocols' models sign, carried through a client that speaks this one, in the `signature` of a thinking
block: clients give those back byte for byte. No endpoint of Anthropic's may ever see one. Pure.
"""

import msgspec

from services.router.protocols.anthropic_messages import block
from services.router.protocols.part import Thinking

_MARK = "penstock."
_SIGNED = f"{_MARK}signed."
_SEALED = f"{_MARK}sealed."
_CALL = f"{_MARK}call."
SEEN = b'"penstock.'
"""Stands in every request that carries such a block."""
_LENGTH_MAX_DIGITS = 4


def signature_of(part: Thinking) -> str:
    """The thinking block's signature. A seal (Responses' encrypted reasoning) goes with the id of its item."""
    if part.sealed or part.id:
        return f"{_SEALED}{len(part.id)}.{part.id}{part.sealed}"
    return _SIGNED + part.signature


def call_signature(signature: str) -> str:
    """The signature of a tool call (Gemini's): of a thinking block of its own, before the call."""
    return _CALL + signature


def thinking(text: str, signature: str) -> Thinking:
    """What `signature_of` was given; any other signature is Anthropic's own."""
    if signature.startswith(_SIGNED):
        return Thinking(text, signature.removeprefix(_SIGNED))
    if not signature.startswith(_SEALED):
        return Thinking(text, signature)
    length, dot, rest = signature.removeprefix(_SEALED).partition(".")
    if not dot or len(length) > _LENGTH_MAX_DIGITS or not (length.isascii() and length.isdigit()):
        return Thinking(text, signature)
    return Thinking(text, sealed=rest[int(length) :], id=rest[: int(length)])


def signed_call(part: Thinking) -> str:
    """The signature of the call that follows, when the block is there for that alone; else empty."""
    return part.signature.removeprefix(_CALL) if part.signature.startswith(_CALL) and not part.text else ""


def without(messages: msgspec.Raw) -> msgspec.Raw:
    """The messages without such blocks; as they are where they cannot be read, which is the provider's to say."""
    try:
        kept = [_cleared(raw) for raw in msgspec.json.decode(messages, type=list[msgspec.Raw])]
    except block.BROKEN:
        return messages
    return msgspec.Raw(msgspec.json.encode([raw for raw in kept if raw is not None]))


def _cleared(raw: msgspec.Raw) -> msgspec.Raw | None:
    """A message; None when nothing is left of it."""
    if SEEN not in bytes(raw):
        return raw
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    content = msgspec.json.decode(fields["content"], type=str | list[msgspec.Raw]) if "content" in fields else ""
    if isinstance(content, str):
        return raw
    kept = [found for found in content if not _is_ours(found)]
    if len(kept) == len(content):
        return raw
    return (
        msgspec.Raw(msgspec.json.encode(fields | {"content": msgspec.Raw(msgspec.json.encode(kept))})) if kept else None
    )


def _is_ours(raw: msgspec.Raw) -> bool:
    if block.kind.decode(raw).type != "thinking":
        return False
    return (block.thinking.decode(raw).signature or "").startswith(_MARK)
