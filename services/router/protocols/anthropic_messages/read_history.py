"""`system` and `messages` of a request as turns. Pure.

What a block says beyond what the neutral form holds (citations, a cache mark on a call) is kept as an extra under its
path, so that no translation drops it silently.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.fault import is_nothing
from services.router.protocols.anthropic_messages import block, carried
from services.router.protocols.anthropic_messages.legal import original
from services.router.protocols.anthropic_messages.refuse import Reading, invalid
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Turn

BILLING_EXTRA = "x-anthropic-billing-header"
"""Claude Code's first system block is a line for Anthropic's books: no other model is to read it."""
_ASSISTANT_ONLY = frozenset({"tool_use", "thinking", "redacted_thinking"})


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[msgspec.Raw] | None = None
    output_config: msgspec.Raw = msgspec.Raw(b"null")
    clear_at: str | None = None


class History:
    """Reads one message after the other. `turns` and `extras` grow."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.extras: dict[str, msgspec.Raw] = {}
        self._names: dict[str, str] = {}
        self._answered: set[str] = set()

    def system(self, raw: msgspec.Raw) -> None:
        """The top-level `system`: a text, or text blocks."""
        with Reading("system"):
            content = msgspec.json.decode(raw, type=str | list[msgspec.Raw])
        parts = [part for part in self._parts("system", content) if not self._is_billing(part)]
        if parts:
            self.turns.append(Turn("system", tuple(parts)))

    def messages(self, raw: msgspec.Raw) -> None:
        """All of them. Raises Failure(INVALID)."""
        with Reading("messages"):
            messages = msgspec.json.decode(raw, type=list[msgspec.Raw])
        for at, message in enumerate(messages):
            self._message(f"messages.{at}", message)

    def _message(self, at: str, raw: msgspec.Raw) -> None:
        with Reading(at):
            message = msgspec.json.decode(raw, type=_Message)
        if not is_nothing(message.output_config):
            self.extras[f"{at}.output_config"] = message.output_config
        if message.clear_at is not None:
            self.extras[f"{at}.clear_at"] = msgspec.Raw(msgspec.json.encode(message.clear_at))
        content: str | list[msgspec.Raw] = message.content if message.content is not None else []
        if message.role == "assistant":
            self._assistant(at, content)
        elif message.role == "user":
            self._user(at, content)
        else:
            self.turns.append(Turn("system", tuple(self._parts(f"{at}.content", content))))

    def _user(self, at: str, content: str | list[msgspec.Raw]) -> None:
        parts = self._parts(f"{at}.content", content)
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        if results:
            self.turns.append(Turn("tool", results))
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        if others or not results:
            self.turns.append(Turn("user", others))

    def _assistant(self, at: str, content: str | list[msgspec.Raw]) -> None:
        parts: list[Part] = []
        signature = ""
        for part in self._parts(f"{at}.content", content, assistant=True):
            if isinstance(part, Thinking) and (found := carried.signed_call(part)):
                signature = found
            elif isinstance(part, ToolCall) and signature:
                parts.append(msgspec.structs.replace(part, signature=signature))
                signature = ""
            else:
                parts.append(part)
        self.turns.append(Turn("assistant", tuple(parts)))

    def _parts(self, at: str, content: str | list[msgspec.Raw], *, assistant: bool = False) -> list[Part]:
        if isinstance(content, str):
            return [Text(content)]
        parts: list[Part] = []
        for number, raw in enumerate(content):
            parts += self._block(f"{at}.{number}", raw, assistant=assistant)
        return parts

    def _block(self, at: str, raw: msgspec.Raw, *, assistant: bool) -> Sequence[Part]:
        with Reading(at):
            kind = block.kind.decode(raw).type
        if (kind in _ASSISTANT_ONLY) is not assistant and (kind in _ASSISTANT_ONLY or kind == "tool_result"):
            raise invalid(f"{at}.type", f"{kind[:40]} may not stand in this message")
        with Reading(at):
            return self._known(at, kind, raw)

    def _known(self, at: str, kind: str, raw: msgspec.Raw) -> Sequence[Part]:
        if kind == "text":
            return [self._text(at, raw)]
        if kind in ("image", "document"):
            return self._media(at, raw)
        if kind == "tool_use":
            return [self._call(at, raw)]
        if kind == "tool_result":
            return [self._result(at, raw)]
        if kind == "thinking":
            thought = block.thinking.decode(raw)
            return [carried.thinking(thought.thinking, thought.signature or "")]
        if kind == "redacted_thinking":
            return [Thinking(sealed=block.redacted.decode(raw).data)]
        return [Opaque(ANTHROPIC_MESSAGES, kind, raw)]

    def _text(self, at: str, raw: msgspec.Raw) -> Text:
        found = block.text.decode(raw)
        self._extra(f"{at}.citations", found.citations)
        return Text(found.text, mark(found.cache_control))

    def _media(self, at: str, raw: msgspec.Raw) -> Sequence[Text | Media]:
        found = block.media.decode(raw)
        cache = mark(found.cache_control)
        self._extra(f"{at}.citations", found.citations)
        title = found.title or ""
        before = [Text(found.context)] if found.context else []
        source = found.source
        match source.type:
            case "base64":
                made = Media(found.type, source.media_type, data=source.data, name=title, cache=cache)
            case "url":
                made = Media(found.type, source.media_type, url=source.url, name=title, cache=cache)
            case "file":
                made = Media(found.type, source.media_type, file=source.file_id, name=title, cache=cache)
            case "text":
                return [*before, Text(f"{title}\n\n{source.data}" if title else source.data, cache)]
            case "content":
                named = [Text(title)] if title else []
                return _marked([*before, *named, *self._shown(f"{at}.source.content", source.content)], cache)
            case _:
                raise invalid(f"{at}.source.type", "must be base64, url, file, text or content")
        if not (made.data or made.url or made.file):
            raise invalid(f"{at}.source", "holds nothing")
        return [*before, made]

    def _call(self, at: str, raw: msgspec.Raw) -> ToolCall:
        found = block.tool_use.decode(raw)
        call = original(found.id)
        if not found.id or call in self._names:
            raise invalid(f"{at}.id", "must be there, and unique among the tool calls")
        self._names[call] = found.name
        if found.cache_control is not None:
            self.extras[f"{at}.cache_control"] = msgspec.Raw(b"{}")
        arguments = "{}" if is_nothing(found.input) else bytes(found.input).decode()
        return ToolCall(call, found.name, arguments)

    def _result(self, at: str, raw: msgspec.Raw) -> ToolResult:
        found = block.tool_result.decode(raw)
        call = original(found.tool_use_id)
        if call not in self._names:
            raise invalid(f"{at}.tool_use_id", "answers no tool call of an earlier message")
        if call in self._answered:
            raise invalid(f"{at}.tool_use_id", "is answered twice")
        self._answered.add(call)
        parts = tuple(self._shown(f"{at}.content", found.content or []))
        return ToolResult(call, parts, self._names[call], found.is_error is True, mark(found.cache_control))

    def _shown(self, at: str, content: str | list[msgspec.Raw]) -> list[Text | Media]:
        """What may stand in a result: texts and media; other blocks (search results …) as the JSON they are."""
        if isinstance(content, str):
            return [Text(content)] if content else []
        parts: list[Text | Media] = []
        for number, raw in enumerate(content):
            with Reading(f"{at}.{number}"):
                kind = block.kind.decode(raw).type
                if kind == "text":
                    parts.append(self._text(f"{at}.{number}", raw))
                elif kind in ("image", "document"):
                    parts += self._media(f"{at}.{number}", raw)
                else:
                    parts.append(Text(bytes(raw).decode()))
        return parts

    def _extra(self, at: str, raw: msgspec.Raw) -> None:
        if not is_nothing(raw):
            self.extras[at] = raw

    def _is_billing(self, part: Part) -> bool:
        if not isinstance(part, Text) or not part.text.startswith(f"{BILLING_EXTRA}:"):
            return False
        self.extras[BILLING_EXTRA] = msgspec.Raw(msgspec.json.encode(part.text))
        return True


def mark(control: block.CacheControl | None) -> CacheMark | None:
    """A cache mark."""
    return None if control is None else CacheMark(control.ttl or "")


def _marked(parts: list[Text | Media], cache: CacheMark | None) -> list[Text | Media]:
    if parts and cache is not None:
        parts[-1] = msgspec.structs.replace(parts[-1], cache=cache)
    return parts
