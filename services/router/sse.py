"""Server-sent events out of bytes, in whatever pieces they come. Pure; WHATWG HTML, section 9.2.

The raw bytes of the events, put together, are the bytes that came in: an event can be passed on untouched.
"""

import re
from typing import NamedTuple

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """`data` is None where there was no data line: comments, a lone event name, blank lines."""

    raw: bytes
    data: bytes | None
    name: bytes = b""


class EventTooLarge(Exception):
    """An event that has not ended within the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"a server-sent event is larger than {limit_bytes} bytes")


class SseParser:
    """One stream. Holds at most one event that has not ended."""

    __slots__ = ("_after_cr", "_buffer", "_first", "_floor", "_limit", "_scan")

    def __init__(self, event_max_bytes: int) -> None:
        self._buffer = b""
        self._limit = event_max_bytes
        self._scan = 0
        self._floor = 0
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events that ended with this piece. Raises EventTooLarge."""
        if not piece:
            return []
        if self._after_cr:
            # A CR that ends an event at the end of a piece may be half of a CRLF. The LF then opens the raw bytes of
            # the next event, and is no line end of its own.
            self._after_cr = False
            self._scan = self._floor = int(piece.startswith(b"\n"))
        data = self._buffer + piece if self._buffer else piece
        plain = b"\r" not in data
        start = 0
        events: list[SseEvent] = []
        while (end := _end_of_event(data, self._scan, plain)) >= 0:
            events.append(self._event(data[start:end], plain))
            start = self._scan = end
            self._floor = 0
        self._after_cr = bool(events) and start == len(data) and data.endswith(b"\r")
        self._buffer = data[start:]
        if len(self._buffer) > self._limit:
            raise EventTooLarge(self._limit)
        self._scan = max(len(self._buffer) - 3, self._floor)
        return events

    def finish(self) -> list[SseEvent]:
        """What stood last without a blank line after it; the event is ended here."""
        rest, self._buffer, self._scan = self._buffer, b"", 0
        if not rest.strip(b"\r\n"):
            return []
        return [self._event(rest.rstrip(b"\r\n") + b"\n\n", plain=False)]

    def _event(self, raw: bytes, plain: bool) -> SseEvent:
        text = raw
        if self._first:
            self._first = False
            text = raw.removeprefix(_BOM)
        if plain and text.startswith(b"data: ") and text.find(b"\n") == len(text) - 2:
            return SseEvent(raw, text[6:-2])
        return _read_lines(raw, text)


def _end_of_event(data: bytes, scan: int, plain: bool) -> int:
    if plain:
        found = data.find(b"\n\n", scan)
        return found if found < 0 else found + 2
    match = _END.search(data, scan)
    return -1 if match is None else match.end()


def _read_lines(raw: bytes, text: bytes) -> SseEvent:
    data: list[bytes] = []
    name = b""
    for line in text.splitlines():
        field, colon, value = line.partition(b":")
        if not field and colon:
            continue
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SseEvent(raw, b"\n".join(data) if data else None, name)
