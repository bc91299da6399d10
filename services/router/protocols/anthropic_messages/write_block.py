"""Parts of a prompt as the blocks that Anthropic takes. Pure."""

import base64
import binascii

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.block import as_input, wrapped
from services.router.protocols.anthropic_messages.legal import legal, wire_name
from services.router.protocols.loss import Losses
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult

Block = dict[str, object]

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MAGIC = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How base64 of each kind of image begins."""
NO_RESULT = "(There is no result.)"
"""Anthropic refuses a call that is not answered."""
NOTHING_SAID = "(no output)"
"""A failed tool's result may not be empty."""


class Blocks:
    """Writes parts; notes what cannot be carried. `own`: the prompt was written in this protocol, so ids of files are
    of Anthropic's."""

    def __init__(self, losses: Losses, *, own: bool) -> None:
        self._losses = losses
        self._own = own

    def of(self, at: str, part: Part, *, assistant: bool = False) -> Block | None:
        """None for what is not written."""
        match part:
            case Text() | Refusal():
                return self._text(at, part)
            case Media() if assistant:
                self._losses.grave(at, "an image or a file of the assistant's cannot be shown to Anthropic's models")
                return None
            case Media():
                return self._media(at, part)
            case Thinking():
                return self._thinking(at, part)
            case ToolCall():
                return self.call(at, part, legal(part.id))
            case ToolResult():
                return self.result(at, part, legal(part.call))
            case Opaque():
                return self._opaque(at, part, assistant=assistant)

    def result(self, at: str, part: ToolResult, id: str) -> Block:
        """Texts and media; only empty texts are left out."""
        content: list[Block] = []
        for number, shown in enumerate(part.parts):
            made = text(shown.text, shown.cache) if isinstance(shown, Text) else self._media(f"{at}.{number}", shown)
            if made is not None and not (isinstance(shown, Text) and not shown.text):
                content.append(made)
        made_block: Block = {"type": "tool_result", "tool_use_id": id}
        if not content and part.failed:
            content = [text(NOTHING_SAID)]
        if content:
            made_block["content"] = content
        if part.failed:
            made_block["is_error"] = True
        return marked(made_block, part.cache)

    def call(self, at: str, part: ToolCall, id: str) -> Block:
        """Under this id."""
        made: object = None if part.custom else as_input(part.arguments)
        if made is None:
            self._losses.note(f"{at}.arguments", "no JSON object, and shown as the text of one")
            made = wrapped(part.arguments)
        return {"type": "tool_use", "id": id, "name": wire_name(part.name, part.namespace), "input": made}

    def _text(self, at: str, part: Text | Refusal) -> Block | None:
        if not part.text.strip():
            if part.text:
                self._losses.note(at, "a text of white space alone is not written: Anthropic refuses it")
            return None
        return text(part.text, part.cache if isinstance(part, Text) else None)

    def _media(self, at: str, part: Media) -> Block | None:
        if part.kind not in ("image", "document"):
            self._losses.grave(at, f"{part.kind} cannot be shown to Anthropic's models")
            return None
        source = self._source(at, part)
        if source is None:
            return None
        if part.detail not in ("", "auto"):
            self._losses.note(f"{at}.detail", "Anthropic has no choice of detail")
        made: Block = {"type": part.kind, "source": source}
        if part.kind == "document" and part.name:
            made["title"] = part.name
        return marked(made, part.cache)

    def _source(self, at: str, part: Media) -> Block | None:
        if part.file:
            if self._own:
                return {"type": "file", "file_id": part.file}
            self._losses.grave(at, "a file kept at another provider cannot be shown to Anthropic's models")
            return None
        if part.url:
            return {"type": "url", "url": part.url}
        if part.kind == "image":
            kind = part.type if part.type in _IMAGES else _sniffed(part)
            if kind:
                return {"type": "base64", "media_type": kind, "data": part.data}
        elif part.type == "application/pdf" or (not part.type and part.data.startswith("JVBERi")):
            return {"type": "base64", "media_type": "application/pdf", "data": part.data}
        elif part.type.startswith("text/") and (words := _plain(part.data)) is not None:
            return {"type": "text", "media_type": "text/plain", "data": words}
        self._losses.grave(
            at, f"{part.kind}s of type {part.type[:60] or 'unknown'} cannot be shown to Anthropic's models"
        )
        return None

    def _thinking(self, at: str, part: Thinking) -> Block | None:
        if part.signature and not part.sealed:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        if part.sealed and not part.text and not part.id:
            return {"type": "redacted_thinking", "data": part.sealed}
        self._losses.note(at, "reasoning that Anthropic did not sign is not shown to its models")
        return None

    def _opaque(self, at: str, part: Opaque, *, assistant: bool) -> Block | None:
        if part.origin == ANTHROPIC_MESSAGES:
            return {name: raw for name, raw in msgspec.json.decode(part.raw, type=dict[str, msgspec.Raw]).items()}
        note = self._losses.note if assistant else self._losses.grave
        note(at, f"a part of type {part.type[:60]} is known to another provider alone")
        return None


def text(words: str, cache: CacheMark | None = None) -> Block:
    """A text block."""
    return marked({"type": "text", "text": words}, cache)


def marked(block: Block, cache: CacheMark | None) -> Block:
    """The block with its cache mark."""
    if cache is not None:
        block["cache_control"] = cache_control(cache)
    return block


def cache_control(cache: CacheMark) -> Block:
    """A cache mark; absent stays absent."""
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}


def _sniffed(part: Media) -> str:
    if part.type not in ("", "image/*", "image/jpg", "application/octet-stream"):
        return ""
    return next((kind for magic, kind in _MAGIC.items() if part.data.startswith(magic)), "")


def _plain(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
