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


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[msgspec.Raw] | None = None


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


def artefacts(messages: msgspec.Raw) -> list[str]:
    """What the thoughts of a conversation are signed and sealed with, by whatever model; none where it cannot be
    read."""
    try:
        raws = msgspec.json.decode(messages, type=list[msgspec.Raw])
        found = [_artefact(raw) for message in raws if (content := _content(message)) for raw in content]
    except block.BROKEN:
        return []
    return [artefact for artefact in found if artefact]


def without(messages: msgspec.Raw, foreign: frozenset[str] = frozenset()) -> msgspec.Raw:
    """The messages without thoughts that other protocols' models signed, or that are signed or sealed with one of
    `foreign`; as they are where they cannot be read, which is the provider's to say."""
    try:
        raws = msgspec.json.decode(messages, type=list[msgspec.Raw])
        kept = [_cleared(raw, foreign) for raw in raws]
    except block.BROKEN:
        return messages
    if all(after is before for after, before in zip(kept, raws, strict=True)):
        return messages
    return msgspec.Raw(msgspec.json.encode([raw for raw in kept if raw is not None]))


def _content(message: msgspec.Raw) -> list[msgspec.Raw]:
    """The blocks of an assistant's message; none of any other."""
    found = msgspec.json.decode(message, type=_Message)
    return found.content if found.role == "assistant" and isinstance(found.content, list) else []


def _cleared(message: msgspec.Raw, foreign: frozenset[str]) -> msgspec.Raw | None:
    """A message; None when nothing is left of it."""
    content = _content(message)
    kept = [raw for raw in content if not _is_foreign(raw, foreign)]
    if len(kept) == len(content):
        return message
    if not kept:
        return None
    fields = msgspec.json.decode(message, type=dict[str, msgspec.Raw])
    return msgspec.Raw(msgspec.json.encode(fields | {"content": msgspec.Raw(msgspec.json.encode(kept))}))


def _is_foreign(raw: msgspec.Raw, foreign: frozenset[str]) -> bool:
    if block.kind.decode(raw).type == "thinking" and (block.thinking.decode(raw).signature or "").startswith(_MARK):
        return True
    return bool(foreign) and _artefact(raw) in foreign


def _artefact(raw: msgspec.Raw) -> str:
    kind = block.kind.decode(raw).type
    if kind == "redacted_thinking":
        return block.redacted.decode(raw).data
    if kind != "thinking":
        return ""
    found = block.thinking.decode(raw)
    part = thinking(found.thinking, found.signature or "")
    return signed_call(part) or part.sealed or part.signature
