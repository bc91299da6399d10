"""A stream that passes untouched, read in passing. Pure.

The last event is given by `end`, not by `read`: whoever keeps the answer for a continuation does so in between, and the
caller learns that the answer is there when it can be continued.
"""

import msgspec

from services.router.fault import is_nothing
from services.router.protocols.openai_responses.answer import ARTEFACTS_MAX, read_whole, seal_in
from services.router.protocols.openai_responses.event import (
    ITEM_ADDED,
    ITEM_DONE,
    LAST,
    PART_ADDED,
    STARTING,
    Event,
    read_event,
)
from services.router.protocols.openai_responses.read_items import HEAD
from services.router.protocols.openai_responses.reading import FIELDS, UNREADABLE, raw_of
from services.router.protocols.openai_responses.response import Whole, read_usage
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent


class ResponsesTap:
    """See Tap. `response`: the whole Response object, once the stream has ended; empty before."""

    __slots__ = ("_items", "_last", "done", "response", "told")

    def __init__(self) -> None:
        self.told = Told()
        self.done = False
        self.response = b""
        self._items: dict[int, msgspec.Raw] = {}
        self._last = b""

    @property
    def whole(self) -> bool:
        return self.done

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        found = read_event(event)
        if found is None or found.noise:
            return Sort.NOISE, event.raw
        if found.type in LAST:
            self._end(found)
            self._last = event.raw
            return Sort.DONE, b""
        return self._sort(found), event.raw

    def end(self) -> bytes:
        last, self._last = self._last, b""
        return last

    def _sort(self, found: Event) -> Sort:
        told = self.told
        if found.type in STARTING:
            note_start(told, found.response)
            return Sort.START
        if found.type == ITEM_DONE:
            self._items[found.output_index] = msgspec.Raw(bytes(found.item))
            note_seal(told, found.item)
        elif not is_nothing(found.delta):
            told.output_bytes += len(memoryview(found.delta))
        return sort_of(found)

    def _end(self, found: Event) -> None:
        whole = read_whole(found.response)
        note_end(self.told, whole)
        self.done = True
        self.response = bytes(found.response)
        if not whole.output and self._items:
            fields = FIELDS.decode(found.response)
            fields["output"] = raw_of([self._items[at] for at in sorted(self._items)])
            self.response = msgspec.json.encode(fields)
        self._items.clear()


class _Started(msgspec.Struct):
    id: str = ""
    model: str = ""


def note_start(told: Told, response: msgspec.Raw) -> None:
    """What the first events say of the response."""
    if told.id:
        return
    try:
        started = msgspec.json.decode(response, type=_Started)
    except UNREADABLE:
        return
    told.id, told.model = started.id, started.model


def note_end(told: Told, whole: Whole) -> None:
    """What the last event says of it."""
    told.finish = whole.finish_word
    told.usage = read_usage(whole.usage)
    told.id = told.id or whole.id or ""
    told.model = told.model or whole.model or ""


def note_seal(told: Told, item: msgspec.Raw) -> None:
    """The item's seal, while they are few."""
    if len(told.artefacts) < ARTEFACTS_MAX and b'"encrypted_content"' in bytes(item):
        sealed = seal_in(item)
        if sealed:
            told.artefacts.append(sealed)


def sort_of(found: Event) -> Sort:
    """An empty item, an empty part or an empty delta is no content; the name of a tool is."""
    if found.type == ITEM_ADDED:
        return Sort.CONTENT if _kind(found.item) not in ("message", "reasoning") else Sort.START
    if found.type == PART_ADDED or found.type == "response.reasoning_summary_part.added":
        return Sort.START
    if found.type.endswith(".delta") and bytes(found.delta) in _EMPTY:
        return Sort.START
    return Sort.CONTENT


_EMPTY = frozenset({b'""', b"null"})


def _kind(item: msgspec.Raw) -> str:
    try:
        return HEAD.decode(item).type or ""
    except UNREADABLE:
        return ""
