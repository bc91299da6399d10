"""The blocks of a message as they stand on Anthropic's wire, each decoded as little as can be. Pure.

Fields that a struct does not name are not looked at. What kind a block is decides which struct reads it.
"""

from typing import Literal

import msgspec

from services.router.fault import NOTHING


class Kind(msgspec.Struct):
    """All that every block has."""

    type: str


class CacheControl(msgspec.Struct):
    """`cache_control`."""

    ttl: str | None = None


class TextBlock(msgspec.Struct):
    """text"""

    text: str
    cache_control: CacheControl | None = None
    citations: msgspec.Raw = NOTHING


class Source(msgspec.Struct):
    """`source` of an image or a document."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    content: str | list[msgspec.Raw] = ""


class MediaBlock(msgspec.Struct):
    """image, document"""

    type: Literal["image", "document"]
    source: Source
    cache_control: CacheControl | None = None
    title: str | None = None
    context: str | None = None
    citations: msgspec.Raw = NOTHING


class ToolUseBlock(msgspec.Struct):
    """tool_use"""

    id: str
    name: str
    input: msgspec.Raw = NOTHING
    cache_control: CacheControl | None = None


class ToolResultBlock(msgspec.Struct):
    """tool_result"""

    tool_use_id: str
    content: str | list[msgspec.Raw] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(msgspec.Struct):
    """thinking"""

    thinking: str = ""
    signature: str | None = None


class RedactedBlock(msgspec.Struct):
    """redacted_thinking"""

    data: str


kind = msgspec.json.Decoder(Kind)
text = msgspec.json.Decoder(TextBlock)
media = msgspec.json.Decoder(MediaBlock)
tool_use = msgspec.json.Decoder(ToolUseBlock)
tool_result = msgspec.json.Decoder(ToolResultBlock)
thinking = msgspec.json.Decoder(ThinkingBlock)
redacted = msgspec.json.Decoder(RedactedBlock)

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding hostile bytes may raise."""


def as_input(arguments: str) -> msgspec.Raw | None:
    """The arguments of a call as `input`, byte for byte; None when they are no JSON object."""
    if not arguments.strip():
        return msgspec.Raw(b"{}")
    raw = arguments.encode()
    try:
        msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except BROKEN:
        return None
    return msgspec.Raw(raw)


def wrapped(arguments: str) -> dict[str, str]:
    """Arguments that are no JSON object, as one."""
    return {"arguments": arguments}
