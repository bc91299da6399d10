"""`messages` of a chat-completions request, read into turns. Pure."""

from collections import deque

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.openai_chat.fields import Fields, invalid, is_empty, is_text
from services.router.protocols.openai_chat.plain import PlainMessage, plain_message
from services.router.protocols.openai_chat.read_parts import Extras, read_cache, read_content
from services.router.protocols.part import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Role, Turn

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user"}
THOUGHTS = ("reasoning_content", "reasoning")
"""The fields of a message in which compatible providers (DeepSeek, vLLM; OpenRouter) show thoughts."""
OPAQUE = ("reasoning_details", "audio", "annotations")
"""Fields of an assistant's message that only this protocol has."""


def read_turns(messages: list[msgspec.Raw], extras: Extras) -> tuple[Turn, ...]:
    """Raises Failure(INVALID). A result that answers no call is refused: no other protocol could say it."""
    history = _History(extras)
    for number, raw in enumerate(messages):
        plain = plain_message(raw)
        if plain is None:
            history.read(Fields.of(raw, f"messages.{number}"), number)
        else:
            history.take(plain, f"messages.{number}")
    return history.whole()


class _History:
    """Turns so far. Consecutive results become one turn; an id that an earlier call had is made unique with its
    results, since some models count from the start in each answer. `_open`: for an id as it stands in the request, the
    unique ids of the calls that still wait for their result; `_again`: how often an id was made unique."""

    def __init__(self, extras: Extras) -> None:
        self._extras = extras
        self._turns: list[Turn] = []
        self._results: list[ToolResult] = []
        self._open: dict[str, deque[str]] = {}
        self._again: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def whole(self) -> tuple[Turn, ...]:
        self._close_results()
        return tuple(self._turns)

    def read(self, message: Fields, number: int) -> None:
        role = message.text("role")
        if role in ("tool", "function"):
            self._results.append(self._result(message, role))
        else:
            self._close_results()
            if role == "assistant":
                parts = self._assistant(message, number)
            elif role in _ROLES:
                parts = read_content(message, self._extras)
            else:
                raise message.wrong("role", "must be system, developer, user, assistant or tool")
            self._turns.append(Turn(_ROLES.get(role, "assistant"), parts, message.text("name")))
        self._extras.update(message.rest())

    def take(self, message: PlainMessage, at: str) -> None:
        """The same for a message of the usual shape."""
        parts: list[Part] = [Text(message.content)] if message.content else []
        if message.role == "tool":
            unique = self._answered(message.tool_call_id or "", f"{at}.tool_call_id")
            shown = [part for part in parts if isinstance(part, Text)]
            self._results.append(ToolResult(unique, tuple(shown), self._names[unique]))
            return
        self._close_results()
        for call in message.tool_calls or ():
            parts.append(self._began(call.id, call.id, call.function.name, call.function.arguments))
        self._turns.append(Turn(_ROLES.get(message.role, "assistant"), tuple(parts), message.name or ""))

    def _close_results(self) -> None:
        if self._results:
            self._turns.append(Turn("tool", tuple(self._results)))
            self._results = []

    def _assistant(self, message: Fields, number: int) -> tuple[Part, ...]:
        parts: list[Part] = []
        if thoughts := _thoughts(message):
            parts.append(Thinking(thoughts))
        parts += read_content(message, self._extras)
        if refusal := message.text("refusal"):
            parts.append(Refusal(refusal))
        parts += [self._call(call) for call in message.listed("tool_calls")]
        old = message.fields("function_call")
        if old is not None:
            parts.append(self._began("", f"call_{number}", old.text("name"), old.text("arguments")))
        for name in OPAQUE:
            raw = message.raw(name)
            if raw is not None and not is_empty(raw):
                parts.append(Opaque(OPENAI_CHAT, name, raw))
        return tuple(parts)

    def _call(self, fields: Fields) -> ToolCall:
        raw_id = fields.text("id")
        fields.text("type")
        fields.raw("index")
        custom = fields.fields("custom")
        called = custom or fields.fields("function")
        if called is None:
            raise fields.wrong("function", "must be an object with a name")
        name = called.text("name")
        if not name:
            raise called.wrong("name", "must not be empty")
        call = self._began(
            raw_id, raw_id, name, called.text("arguments" if custom is None else "input"), custom is not None
        )
        signature = read_signature(fields)
        self._extras.update(fields.rest())
        self._extras.update(called.rest())
        return msgspec.structs.replace(call, signature=signature) if signature else call

    def _began(self, raw_id: str, wish: str, name: str, arguments: str, custom: bool = False) -> ToolCall:
        unique = wish = wish or "call"
        while unique in self._names:
            self._again[wish] = self._again.get(wish, 1) + 1
            unique = f"{wish}_{self._again[wish]}"
        self._names[unique] = name
        self._open.setdefault(raw_id or name, deque()).append(unique)
        return ToolCall(unique, name, arguments, custom)

    def _result(self, message: Fields, role: str) -> ToolResult:
        """The legacy role `function` answers the last call of its name."""
        said = "tool_call_id" if role == "tool" else "name"
        raw_id = message.text(said)
        unique = self._answered(raw_id, message.path(said))
        message.text("name")
        parts = [_shown(part) for part in read_content(message, self._extras)]
        return ToolResult(unique, tuple(parts), self._names[unique], cache=read_cache(message))

    def _answered(self, raw_id: str, at: str) -> str:
        """The unique id of the call that this result is of."""
        waiting = self._open.get(raw_id)
        if not waiting:
            raise invalid(at, "must name a call of an assistant's message before it that has no result yet")
        return waiting.popleft()


def read_signature(call: Fields) -> str:
    """Gemini's thought signature, as its OpenAI-compatible endpoint puts it on a tool call."""
    extra = call.fields("extra_content")
    google = None if extra is None else extra.fields("google")
    return "" if google is None else google.text("thought_signature")


def _thoughts(message: Fields) -> str:
    """Both fields hold the same where both are given. What is no text is left as not understood."""
    found = ""
    for name in THOUGHTS:
        raw = message.peek(name)
        if raw is not None and is_text(raw):
            found = found or message.text(name)
            message.raw(name)
    return found


def _shown(part: Part) -> Text | Media:
    """A tool gives texts and media; a part of another kind is shown as it stands."""
    if isinstance(part, Text | Media):
        return part
    if isinstance(part, Opaque):
        return Text(bytes(part.raw).decode(errors="replace"))
    return Text(part.text if isinstance(part, Refusal) else "")
