"""An answer to a request whose history the router put in: its provider was not told which response it continues, and
says null; its caller is told what it asked for. Pure.
"""

import msgspec

from services.router.passage import Conveyor, Passage
from services.router.protocols.openai_responses.reading import FIELDS, UNREADABLE, is_null, raw_of
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent, SseParser

FIELD = "previous_response_id"
_NAMED = b'"previous_response_id"'
_RESPONSE = "response"


class Continued:
    """The passage `way` of a request that continues the response `previous`."""

    __slots__ = ("_previous", "_way", "losses", "names", "wire")

    def __init__(self, way: Passage, previous: str) -> None:
        self._way = way
        self._previous = raw_of(previous)
        self.losses = way.losses
        self.names = way.names
        self.wire = way.wire

    def request(self) -> bytes:
        raw = self._way.request()
        self.names = self._way.names
        return raw

    def answer(self, raw: bytes) -> tuple[bytes, Told]:
        answer, told = self._way.answer(raw)
        return restored(answer, self._previous), told

    def conveyor(self) -> Conveyor:
        return _Restoring(self._way.conveyor(), self._previous)


class _Restoring:
    """The events that hold the whole response are corrected: the first ones and the last."""

    __slots__ = ("_conveyor", "_previous", "done")

    def __init__(self, conveyor: Conveyor, previous: msgspec.Raw) -> None:
        self._conveyor = conveyor
        self._previous = previous
        self.done = False

    @property
    def told(self) -> Told:
        return self._conveyor.told

    @property
    def whole(self) -> bool:
        return self._conveyor.whole

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        sort, shown = self._conveyor.read(event)
        self.done = self._conveyor.done
        return sort, self._corrected(shown)

    def end(self) -> bytes:
        return self._corrected(self._conveyor.end())

    def _corrected(self, shown: bytes) -> bytes:
        if _NAMED not in shown:
            return shown
        parser = SseParser(len(shown) + 1)
        return b"".join([self._event(event) for event in (*parser.feed(shown), *parser.finish())])

    def _event(self, event: SseEvent) -> bytes:
        if event.data is None or _NAMED not in event.data:
            return event.raw
        try:
            fields = FIELDS.decode(event.data)
        except UNREADABLE:
            return event.raw
        response = fields.get(_RESPONSE)
        if response is None:
            return event.raw
        corrected = restored(bytes(response), self._previous)
        if corrected == bytes(response):
            return event.raw
        fields[_RESPONSE] = msgspec.Raw(corrected)
        name = b"event: " + event.name + b"\n" if event.name else b""
        return name + b"data: " + msgspec.json.encode(fields) + b"\n\n"


def restored(response: bytes, previous: msgspec.Raw) -> bytes:
    """The Response object with what it continues, where it says that it continues nothing. A field that the provider
    left out stays out, and all others keep their bytes."""
    if _NAMED not in response:
        return response
    try:
        fields = FIELDS.decode(response)
    except UNREADABLE:
        return response
    if FIELD not in fields or not is_null(fields[FIELD]):
        return response
    fields[FIELD] = previous
    return msgspec.json.encode(fields)
