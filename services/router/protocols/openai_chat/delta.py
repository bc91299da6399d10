"""What a message, or a piece of one, says: the fields that providers of this wire put there. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.fault import Fault, FaultKind
from services.router.protocols.openai_chat.fields import NOT_JSON, is_empty, is_list, is_text
from services.router.protocols.openai_chat.read_messages import THOUGHTS
from services.router.protocols.part import Opaque, Refusal, Text, Thinking

_TEXT = msgspec.json.Decoder(str)
_NOTED = frozenset({"role", "content", "refusal", "tool_calls", "function_call", *THOUGHTS})


class Called(NamedTuple):
    """A tool call or a piece of one. `at`: its index, None where the provider gave none."""

    at: int | None
    id: str
    name: str
    arguments: str
    custom: bool
    signature: str


class _Function(msgspec.Struct):
    """Some providers write the arguments as an object instead of as its text."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b'""')
    input: str | None = None


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class _Extra(msgspec.Struct):
    google: _Google | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None
    extra_content: _Extra | None = None


_CALLS = msgspec.json.Decoder(list[_Call])
_OLD_CALL = msgspec.json.Decoder(_Function)


class _Listed(msgspec.Struct):
    """A part of a list of content (Mistral)."""

    type: str = "text"
    text: str | None = None
    thinking: msgspec.Raw = msgspec.Raw(b"null")


_LISTED = msgspec.json.Decoder(list[_Listed])


def words(fields: dict[str, msgspec.Raw]) -> Iterator[Thinking | Text | Refusal]:
    """In the order thoughts, content, refusal; none is empty. Raises Fault."""
    thoughts = next((raw for name in THOUGHTS if (raw := fields.get(name)) is not None and not is_empty(raw)), None)
    if thoughts is not None and is_text(thoughts):
        yield Thinking(_text(thoughts))
    content = fields.get("content")
    if content is not None and not is_empty(content):
        yield from _content(content)
    refusal = fields.get("refusal")
    if refusal is not None and not is_empty(refusal):
        yield Refusal(_text(refusal))


def calls(fields: dict[str, msgspec.Raw]) -> list[Called]:
    """Raises Fault."""
    found: list[Called] = []
    raw = fields.get("tool_calls")
    old = fields.get("function_call")
    try:
        if raw is not None and not is_empty(raw):
            found += [_called(call) for call in _CALLS.decode(raw)]
        if old is not None and not is_empty(old):
            function = _OLD_CALL.decode(old)
            found.append(Called(None, "", function.name or "", _arguments(function), False, ""))
    except NOT_JSON:
        raise _garbage() from None
    return found


def others(fields: dict[str, msgspec.Raw]) -> Iterator[Opaque]:
    """What only this wire can say: reasoning_details, audio, annotations, content that is neither text nor
    thoughts, and whatever comes to be."""
    content = fields.get("content")
    if content is not None and is_list(content) and not all(_is_said(part) for part in _listed(content)):
        yield Opaque(OPENAI_CHAT, "content_parts", content)
    for name, raw in fields.items():
        if name not in _NOTED and not is_empty(raw):
            yield Opaque(OPENAI_CHAT, name, raw)


def _called(call: _Call) -> Called:
    function = call.custom or call.function or _Function()
    google = None if call.extra_content is None else call.extra_content.google
    signature = "" if google is None else google.thought_signature or ""
    arguments = function.input or "" if call.custom is not None else _arguments(function)
    return Called(call.index, call.id or "", function.name or "", arguments, call.custom is not None, signature)


def _arguments(function: _Function) -> str:
    raw = function.arguments
    if is_text(raw):
        return _text(raw)
    return "" if is_empty(raw) and bytes(raw) != b"{}" else bytes(raw).decode()


def _content(raw: msgspec.Raw) -> Iterator[Thinking | Text]:
    if is_text(raw):
        yield Text(_text(raw))
        return
    if not is_list(raw):
        raise _garbage()
    for part in _listed(raw):
        if part.text:
            yield Text(part.text)
        elif not is_empty(part.thinking):
            if is_text(part.thinking):
                yield Thinking(_text(part.thinking))
            else:
                yield from (Thinking(each.text) for each in _content(part.thinking))


def _listed(raw: msgspec.Raw) -> list[_Listed]:
    try:
        return _LISTED.decode(raw)
    except NOT_JSON:
        raise _garbage() from None


def _is_said(part: _Listed) -> bool:
    return part.type == "text" or not is_empty(part.thinking)


def _text(raw: msgspec.Raw) -> str:
    try:
        return _TEXT.decode(raw)
    except NOT_JSON:
        raise _garbage() from None


def _garbage() -> Fault:
    return Fault(FaultKind.GARBAGE, "the provider's message is not of chat completions", sent=True)
