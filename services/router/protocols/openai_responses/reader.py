"""A provider's stream read into pieces. Pure.

Parts begin with their first content, so that what turns out to hold nothing is no part, as in the whole answer. What a
provider left out of its deltas is made up for from the finished item, or from the whole response at the end.
"""

from collections.abc import Callable, Sequence

import msgspec

from services.router.fault import Fault, FaultKind, is_nothing
from services.router.protocols.answer import (
    AnswerPart,
    Begun,
    Counted,
    Ended,
    Finished,
    Grown,
    Opened,
    Piece,
)
from services.router.protocols.openai_responses.answer import read_whole
from services.router.protocols.openai_responses.event import (
    ITEM_ADDED,
    ITEM_DONE,
    LAST,
    STARTING,
    Event,
    read_event,
)
from services.router.protocols.openai_responses.output import read_item, signed_call_of
from services.router.protocols.openai_responses.read_items import CALLS, HEAD, PARAGRAPH, Head
from services.router.protocols.openai_responses.reading import UNREADABLE
from services.router.protocols.openai_responses.response import finish_of
from services.router.protocols.openai_responses.seal import own_id
from services.router.protocols.openai_responses.tap import note_end, note_seal, note_start, sort_of
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent


class _Part:
    """A part that has begun. `shown`: how many characters of its text or arguments were told."""

    __slots__ = ("number", "shown")

    def __init__(self, number: int, shown: int) -> None:
        self.number = number
        self.shown = shown


class _Item:
    """An output item. `parts`: by content index, or 0 where an item is one part."""

    __slots__ = ("done", "id", "parts", "place")

    def __init__(self, item_id: str) -> None:
        self.id = item_id
        self.parts: dict[int, _Part] = {}
        self.place = ("", 0)
        self.done = False


class ResponsesReader:
    """See Reader."""

    def __init__(self) -> None:
        self.told = Told()
        self.done = False
        self._items: dict[int, _Item] = {}
        self._calls: dict[str, int] = {}
        self._opened = False
        self._refused = False
        self._parts = 0
        self._takes: dict[str, Callable[[Event, list[Piece]], None]] = {
            ITEM_ADDED: self._added,
            ITEM_DONE: self._item_done,
            "response.output_text.delta": self._worded,
            "response.refusal.delta": self._worded,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.function_call_arguments.delta": self._argued,
            "response.custom_tool_call_input.delta": self._argued,
        }

    def read(self, event: SseEvent) -> tuple[Sort, Sequence[Piece]]:
        found = read_event(event)
        if found is None or found.noise or self.done:
            return Sort.NOISE, ()
        pieces: list[Piece] = []
        if found.type in STARTING:
            note_start(self.told, found.response)
            self._open(pieces)
            return Sort.START, pieces
        self._open(pieces)
        if found.type in LAST:
            self._last(found, pieces)
            return Sort.DONE, pieces
        if not is_nothing(found.delta):
            self.told.output_bytes += len(memoryview(found.delta))
        take = self._takes.get(found.type)
        if take is not None:
            take(found, pieces)
        return sort_of(found), pieces

    def end(self) -> Sequence[Piece]:
        if not self.done:
            raise Fault(FaultKind.TRANSIENT, "the provider's stream ended early", sent=True)
        return ()

    def _open(self, pieces: list[Piece]) -> None:
        if not self._opened:
            self._opened = True
            pieces.append(Opened(self.told.id, self.told.model))

    def _item(self, found: Event) -> _Item:
        return self._items.setdefault(found.output_index, _Item(""))

    def _begin(self, item: _Item, at: int, part: AnswerPart, pieces: list[Piece]) -> _Part:
        begun = item.parts[at] = _Part(self._parts, _length(part))
        self._parts += 1
        pieces.append(Begun(part, begun.number))
        if isinstance(part, ToolCall):
            self._calls[part.id] = begun.number
        self._refused = self._refused or isinstance(part, Refusal)
        return begun

    def _added(self, found: Event, pieces: list[Piece]) -> None:
        head = _head(found.item)
        item = self._items[found.output_index] = _Item(head.id or "")
        if head.type in CALLS and (call := _named(found.item)) is not None:
            self._begin(item, 0, call, pieces)

    def _worded(self, found: Event, pieces: list[Piece]) -> None:
        item, said = self._item(found), found.text
        if item.done:
            return  # the whole item has said it
        part = item.parts.get(found.content_index)
        if part is None:
            kind = Refusal if found.type == "response.refusal.delta" else Text
            part = self._begin(item, found.content_index, kind(""), pieces)
        _grow(part, said, pieces)

    def _thought(self, found: Event, pieces: list[Piece]) -> None:
        item, said = self._item(found), found.text
        if not said or item.done:
            return
        place = (found.type, found.summary_index or found.content_index)
        part = item.parts.get(0)
        if part is None:
            part = self._begin(item, 0, Thinking(id=own_id(item.id)), pieces)
        elif item.place != place:
            said = PARAGRAPH + said
        item.place = place
        _grow(part, said, pieces)

    def _argued(self, found: Event, pieces: list[Piece]) -> None:
        item = self._item(found)
        part = item.parts.get(0)
        if part is not None and found.text and not item.done:
            part.shown += len(found.text)
            pieces.append(Grown(part.number, arguments=found.text))

    def _item_done(self, found: Event, pieces: list[Piece]) -> None:
        note_seal(self.told, found.item)
        self._close(found.output_index, found.item, pieces)

    def _close(self, index: int, raw: msgspec.Raw, pieces: list[Piece]) -> None:
        """The item is whole: what was not told of it yet, and its end."""
        item = self._items.setdefault(index, _Item(""))
        if item.done:
            return
        item.done = True
        signed = signed_call_of(raw)
        if signed is not None:
            if signed[0] in self._calls:
                pieces.append(Grown(self._calls[signed[0]], signature=signed[1]))
            return
        parts = read_item(raw)
        for at, part in enumerate(parts):
            begun = item.parts.get(at)
            if begun is None:
                self._begin(item, at, part, pieces)
            else:
                _catch_up(begun, part, pieces)
        pieces.extend([Ended(item.parts[at].number) for at in sorted(item.parts)])

    def _last(self, found: Event, pieces: list[Piece]) -> None:
        whole = read_whole(found.response)
        note_end(self.told, whole)
        for index, raw in enumerate(whole.output or []):
            self._close(index, raw, pieces)
        for item in self._items.values():
            if not item.done:
                pieces.extend([Ended(part.number) for part in item.parts.values()])
        if self.told.usage is not None:
            pieces.append(Counted(self.told.usage))
        finish = finish_of(whole.finish_word, called=bool(self._calls), refused=self._refused)
        pieces.append(Finished(finish))
        self.done = True


def _head(item: msgspec.Raw) -> Head:
    try:
        return HEAD.decode(item)
    except UNREADABLE:
        raise Fault(FaultKind.GARBAGE, "the provider's stream holds an item that is none", sent=True) from None


def _named(item: msgspec.Raw) -> AnswerPart | None:
    """A call whose name and id are known; one without is told when it is finished."""
    try:
        return read_item(item)[0]
    except Fault:
        return None


def _grow(part: _Part, text: str, pieces: list[Piece]) -> None:
    if text:
        part.shown += len(text)
        pieces.append(Grown(part.number, text=text))


def _length(part: AnswerPart) -> int:
    match part:
        case ToolCall():
            return len(part.arguments)
        case Opaque():
            return 0
        case _:
            return len(part.text)


def _catch_up(begun: _Part, part: AnswerPart, pieces: list[Piece]) -> None:
    """What is missing at the end of a text. Arguments are those of the deltas where there were any: providers write
    them anew in finished items, with other white space."""
    match part:
        case Text() | Refusal():
            _grow(begun, part.text[begun.shown :], pieces)
        case ToolCall() if not begun.shown and part.arguments:
            begun.shown = len(part.arguments)
            pieces.append(Grown(begun.number, arguments=part.arguments))
        case Thinking():
            _grow(begun, part.text[begun.shown :], pieces)
            if part.signature or part.sealed:
                pieces.append(Grown(begun.number, signature=part.signature, sealed=part.sealed))
        case _:
            pass
