"""An answer that passes as it is, whole or in events, read on its way. Pure.

The protocol has no last event: a stream is over when the provider ends it. Some who speak it end with OpenAI's `[DONE]`
all the same, which Google's own clients do not read.
"""

from services.router.fault import Fault, FaultKind
from services.router.protocols.gemini_generate.fields import Malformed, text
from services.router.protocols.gemini_generate.response import Candidate, Response, read_response
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent

ARTEFACTS_MAX = 32
DONE = b"[DONE]"
_EMPTY_TEXT = b'""'
_SAID = frozenset({"thought", "partMetadata"})


def read_told(body: bytes) -> Told:
    """A whole answer. Raises Fault."""
    try:
        return told_of(read_response(body), len(body))
    except Malformed as error:
        raise error.garbage() from None


def told_of(response: Response, length: int) -> Told:
    """What a whole answer said of itself. Raises Malformed for one that is none."""
    told = Told()
    note(told, response)
    told.output_bytes = length
    if not response.candidates and not response.blocked:
        raise Malformed("candidates", "must hold an answer")
    return told


def note(told: Told, response: Response) -> Sort:
    """Adds what a response says to `told`; what it is to the commit boundary. Raises Malformed."""
    told.id = told.id or response.id
    told.model = told.model or response.model
    if response.usage is not None:
        told.usage = response.usage
    content = False
    for candidate in response.candidates:
        content = _content(told, candidate) or content
        if candidate.reason:
            told.finish = candidate.reason
            content = True
    if response.blocked:
        told.finish = response.blocked
        content = True
    if content:
        return Sort.CONTENT
    return Sort.USAGE if response.usage is not None and not response.candidates else Sort.START


def read_event(event: SseEvent) -> Response | None:
    """The response in an event; None where there is none. Raises Fault, also for an error that is no event at all, as
    Gemini sends when it fails within a stream."""
    data = event.data
    if data is None:
        data = event.raw if event.raw.lstrip()[:1] in (b"{", b"[") else b""
    if not data.strip():
        return None
    try:
        return read_response(data)
    except Malformed as error:
        raise error.garbage() from None


class GeminiTap:
    """One streamed answer. Usage is part of every stream of this protocol: it is never cut out."""

    __slots__ = ("_open", "done", "told")

    def __init__(self) -> None:
        self._open: dict[int, bool] = {}
        self.told = Told()
        self.done = False

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        if event.data == DONE:
            self.done = True
            return Sort.DONE, b""
        response = read_event(event)
        if response is None:
            return Sort.NOISE, event.raw
        for candidate in response.candidates:
            self._open[candidate.number] = not candidate.reason and self._open.get(candidate.number, True)
        try:
            return note(self.told, response), event.raw
        except Malformed as error:
            raise error.garbage() from None

    def end(self) -> bytes:
        return b""

    @property
    def whole(self) -> bool:
        return bool(self.told.finish) and not any(self._open.values())


def _content(told: Told, candidate: Candidate) -> bool:
    found = False
    for _, part in candidate.parts:
        if "thoughtSignature" in part and len(told.artefacts) < ARTEFACTS_MAX:
            told.artefacts.append(text(part, "thoughtSignature", "part"))
        for name, value in part.items():
            if name not in _SAID and not (len(value) == len(_EMPTY_TEXT) and bytes(value) == _EMPTY_TEXT):
                found = True
                told.output_bytes += len(value) if name != "thoughtSignature" else 0
    return found


def too_soon() -> Fault:
    """For a stream that ended before the model did."""
    return Fault(FaultKind.TRANSIENT, "the provider's stream ended before its answer did", sent=True)
