"""Every protocol, by the name that requests and deployments use."""

from collections.abc import Mapping

from services.router.protocols import anthropic_messages, gemini_generate, openai_chat, openai_responses
from services.router.protocols.protocol import Protocol

_ALL: tuple[Protocol, ...] = (
    openai_chat.PROTOCOL,
    openai_responses.PROTOCOL,
    anthropic_messages.PROTOCOL,
    gemini_generate.PROTOCOL,
)
PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
