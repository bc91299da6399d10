"""What a chat-completions answer says, read off its bytes without writing them anew. Pure."""

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent
from services.router.usage import Reported, counted

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"


class _Choice(msgspec.Struct):
    delta: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Reported | msgspec.UnsetType | None = msgspec.UNSET
    error: msgspec.Raw = NOTHING
    model: str = ""


class _WholeChoice(msgspec.Struct):
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice] | None = None
    usage: Reported | None = None
    error: msgspec.Raw = NOTHING
    model: str = ""


_CHUNK = msgspec.json.Decoder(_Chunk)
_WHOLE = msgspec.json.Decoder(_Whole)
_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})


def read_whole(body: bytes) -> Told:
    """A plain answer. Raises Fault for an error inside it, and for what is no chat completion."""
    try:
        _check_text(body)
        whole = _WHOLE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(FaultKind.GARBAGE, "the provider's answer is not a chat completion", sent=True) from None
    if not is_nothing(whole.error):
        raise told(read_error(whole.error))
    if not whole.choices:
        raise Fault(FaultKind.GARBAGE, "the provider's answer holds no choice", sent=True)
    usage = None if whole.usage is None else counted(whole.usage)
    return Told(usage, whole.choices[0].finish_reason or "", whole.model, len(body))


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
        chunk = _decode(data)
        if chunk is None:
            return Sort.CONTENT, event.raw
        if not is_nothing(chunk.error):
            raise told(read_error(chunk.error))
        if event.name == b"error":
            raise told(read_error(msgspec.Raw(data)))
        return self._sort(chunk, event)

    def end(self) -> bytes:
        """Some providers leave `[DONE]` out, and clients wait for it."""
        return b"" if self.done else DONE_EVENT

    @property
    def whole(self) -> bool:
        """Whether a reason to stop was given, or an end was put to content."""
        return bool(self.told.finish) or bool(self.done and self.told.output_bytes)

    def _sort(self, chunk: _Chunk, event: SseEvent) -> tuple[Sort, bytes]:
        raw = event.raw
        if chunk.usage is not msgspec.UNSET:
            if chunk.usage is not None:
                self.told.usage = counted(chunk.usage)
            if self._strip:
                raw = b"" if chunk.usage is not None and not chunk.choices else without_usage(event)
        if not self.told.model:
            self.told.model = chunk.model
        if not chunk.choices:
            return (Sort.USAGE if chunk.usage else Sort.START), raw
        content = False
        for choice in chunk.choices:
            content = self._content(choice) or content
        return (Sort.CONTENT if content else Sort.START), raw

    def _content(self, choice: _Choice) -> bool:
        found = False
        for name, value in (choice.delta or {}).items():
            if name != "role" and bytes(value) not in _EMPTY:
                found = True
                self.told.output_bytes += len(memoryview(value))
        if choice.finish_reason:
            self.told.finish = choice.finish_reason
            found = True
        return found


def without_usage(event: SseEvent) -> bytes:
    """The event with the `usage` of its data cut out, its other values untouched."""
    fields = msgspec.json.decode(event.data or b"{}", type=dict[str, msgspec.Raw])
    fields.pop("usage", None)
    name = b"event: " + event.name + b"\n" if event.name else b""
    return name + b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _check_text(data: bytes) -> None:
    """Raises UnicodeDecodeError: what is only passed on is read by somebody who expects UTF-8."""
    if not data.isascii():
        data.decode()


def _decode(data: bytes) -> _Chunk | None:
    """None for JSON of another shape: it is passed on as it is, and counts as content."""
    try:
        _check_text(data)
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(FaultKind.GARBAGE, "the provider's stream is not JSON", sent=True) from None
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(FaultKind.GARBAGE, "the provider's stream is not JSON", sent=True) from None
    return None
