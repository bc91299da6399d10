"""One event of a provider's stream, as far as it matters. Pure."""

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, ProviderError, is_nothing, read_error, told
from services.router.protocols.openai_responses.reading import TEXT, UNREADABLE, is_null
from services.router.sse import SseEvent

COMPLETED = "response.completed"
INCOMPLETE = "response.incomplete"
FAILED = "response.failed"
LAST = frozenset({COMPLETED, INCOMPLETE})
STARTING = frozenset({"response.created", "response.queued", "response.in_progress"})
ITEM_ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
PART_ADDED = "response.content_part.added"
_NOISE = frozenset({"keepalive", "ping", ""})


class Event(msgspec.Struct):
    """Every field that anybody here reads."""

    type: str = ""
    delta: msgspec.Raw = NOTHING
    item: msgspec.Raw = NOTHING
    part: msgspec.Raw = NOTHING
    response: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    message: msgspec.Raw = NOTHING
    code: msgspec.Raw = NOTHING
    param: msgspec.Raw = NOTHING
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0

    @property
    def noise(self) -> bool:
        """Nothing that the model did."""
        return self.type in _NOISE

    @property
    def text(self) -> str:
        """The delta; empty where it is no text."""
        if is_null(self.delta):
            return ""
        try:
            return TEXT.decode(self.delta)
        except UNREADABLE:
            return ""


class _Failed(msgspec.Struct):
    error: msgspec.Raw = NOTHING


_decode = msgspec.json.Decoder(Event).decode


def read_event(event: SseEvent) -> Event | None:
    """None for what holds no data. Raises Fault for an error event, and for what is not of the protocol."""
    data = event.data
    if data is None or not data.strip() or data == b"[DONE]":
        return None
    try:
        if not data.isascii():
            data.decode()
        found = _decode(data)
    except UNREADABLE:
        raise Fault(FaultKind.GARBAGE, "the provider's stream is not of its protocol", sent=True) from None
    if found.type == FAILED:
        raise told(_error_of(found.response))
    if found.type == "error" or event.name == b"error" or (not found.type and not is_nothing(found.error)):
        raise told(read_error(found.error) if not is_nothing(found.error) else _flat(found))
    return found


def _error_of(response: msgspec.Raw) -> ProviderError:
    try:
        return read_error(msgspec.json.decode(response, type=_Failed).error)
    except UNREADABLE:
        return ProviderError()


def _flat(found: Event) -> ProviderError:
    """An error whose fields stand in the event itself."""
    return ProviderError(message=found.message, code=found.code, param=found.param)
