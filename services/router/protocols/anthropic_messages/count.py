"""count_tokens where the provider is not Anthropic: an estimate, in the shape that its callers expect. Pure."""

import msgspec

from services.router.protocols.anthropic_messages.body import MessagesBody


class _Count(msgspec.Struct):
    input_tokens: int


def estimated(body: MessagesBody) -> bytes:
    """The answer: what the prompt likely comes to, at least one token."""
    return msgspec.json.encode(_Count(max(body.size.likely, 1)))


def read_count(body: bytes) -> int:
    """The tokens that Anthropic counted. Raises msgspec.DecodeError for another answer."""
    return msgspec.json.decode(body, type=_Count).input_tokens
