"""What a chat-completions answer says, read off its bytes without writing them anew. Pure."""

import re

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.openai_chat.chunk import (
    DONE,
    DONE_EVENT,
    Chunk,
    check_text,
    read_chunk,
    weight,
)
from services.router.protocols.openai_chat.fields import NOT_JSON
from services.router.protocols.openai_chat.usage import Reported, counted
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent

ARTEFACTS_MAX = 64
"""Signatures that are kept of one answer."""
_ARTEFACT = re.compile(rb'"(?:thought_signature|signature)"\s*:\s*"([^"\\]+)"')


class _WholeChoice(msgspec.Struct):
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice] | None = None
    usage: Reported | None = None
    error: msgspec.Raw = NOTHING
    object: msgspec.Raw = NOTHING
    model: str | None = None
    id: str | None = None


_WHOLE = msgspec.json.Decoder(_Whole)


def read_told(body: bytes) -> Told:
    """A plain answer. Raises Fault for an error inside it, and for what is no chat completion."""
    try:
        check_text(body)
        whole = _WHOLE.decode(body)
    except NOT_JSON:
        raise Fault(FaultKind.GARBAGE, "the provider's answer is not a chat completion", sent=True) from None
    if not is_nothing(whole.error):
        raise told(read_error(whole.error))
    if bytes(whole.object) == b'"error"':
        raise told(read_error(body))
    if not whole.choices:
        raise Fault(FaultKind.GARBAGE, "the provider's answer holds no choice", sent=True)
    usage = None if whole.usage is None else counted(whole.usage)
    said = Told(usage, whole.choices[0].finish_reason or "", whole.model or "", len(body), whole.id or "")
    keep_artefacts(said, body)
    return said


class ChatTap:
    """One streamed answer. `strip_usage`: the caller did not ask for usage and must not see any."""

    __slots__ = ("_strip", "done", "told")

    def __init__(self, *, strip_usage: bool) -> None:
        self._strip = strip_usage
        self.told = Told()
        self.done = False

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        """What the event is, and its bytes as the caller sees them (empty: not at all).

        Raises Fault for an error event and for what is not JSON.
        """
        data = event.data
        if data is None or not data.strip():
            return Sort.NOISE, event.raw
        if data == DONE:
            self.done = True
            return Sort.DONE, event.raw
        chunk = read_chunk(event, data)
        if chunk is None:
            return Sort.CONTENT, event.raw
        sort = note(self.told, chunk, data)
        return sort, self._shown(chunk, event)

    def end(self) -> bytes:
        """Some providers leave `[DONE]` out, and clients wait for it."""
        return b"" if self.done else DONE_EVENT

    @property
    def whole(self) -> bool:
        """Whether a reason to stop was given, or an end was put to content."""
        return is_whole(self.told, self.done)

    def _shown(self, chunk: Chunk, event: SseEvent) -> bytes:
        if not self._strip or chunk.usage is msgspec.UNSET:
            return event.raw
        return b"" if chunk.usage is not None and not chunk.choices else without_usage(event)


def note(said: Told, chunk: Chunk, data: bytes) -> Sort:
    """What the chunk is; what it says is added to `said`."""
    if chunk.usage:
        said.usage = counted(chunk.usage)
    said.model = said.model or chunk.model or ""
    said.id = said.id or chunk.id or ""
    if not chunk.choices:
        return Sort.USAGE if chunk.usage else Sort.START
    content = False
    for choice in chunk.choices:
        found = weight(choice)
        said.output_bytes += found
        said.finish = choice.finish_reason or said.finish
        content = content or bool(found or choice.finish_reason)
    if b"signature" in data:
        keep_artefacts(said, data)
    return Sort.CONTENT if content else Sort.START


def is_whole(said: Told, done: bool) -> bool:
    """A reason to stop was given, or an end was put to content."""
    return bool(said.finish) or bool(done and said.output_bytes)


def keep_artefacts(said: Told, data: bytes) -> None:
    """The signatures in the bytes of an answer. Inside of texts the quotes of the name would be escaped."""
    for found in _ARTEFACT.finditer(data):
        if len(said.artefacts) >= ARTEFACTS_MAX:
            return
        said.artefacts.append(found[1].decode(errors="replace"))


def without_usage(event: SseEvent) -> bytes:
    """The event with the `usage` of its data cut out, its other values untouched."""
    fields = msgspec.json.decode(event.data or b"{}", type=dict[str, msgspec.Raw])
    fields.pop("usage", None)
    name = b"event: " + event.name + b"\n" if event.name else b""
    return name + b"data: " + msgspec.json.encode(fields) + b"\n\n"
