"""The events of a streamed message, decoded as little as can be, and what its answer says of itself. Pure."""

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.anthropic_messages.block import BROKEN
from services.router.protocols.anthropic_messages.tally import Reported, counted
from services.router.protocols.protocol import Told

ARTEFACTS_MAX = 64


class Start(msgspec.Struct):
    """`message` of message_start."""

    id: str = ""
    model: str = ""
    usage: Reported | None = None


class Delta(msgspec.Struct):
    """`delta` of content_block_delta and of message_delta."""

    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    citation: msgspec.Raw = NOTHING
    stop_reason: str | None = None
    stop_sequence: str | None = None

    @property
    def size(self) -> int:
        """Characters of content."""
        return len(self.text) + len(self.partial_json) + len(self.thinking)


class Event(msgspec.Struct):
    """Any event."""

    type: str
    index: int = 0
    message: Start | None = None
    content_block: msgspec.Raw = NOTHING
    delta: Delta | None = None
    usage: Reported | None = None
    error: msgspec.Raw = NOTHING


_EVENT = msgspec.json.Decoder(Event)


def read_event(data: bytes, name: bytes) -> Event:
    """Raises Fault: an error event, or no JSON object of this protocol."""
    try:
        if not data.isascii():
            data.decode()
        event = _EVENT.decode(data)
    except msgspec.ValidationError:
        if name == b"error":
            raise told(read_error(data)) from None
        raise garbage("the provider's stream holds what is no event of a message") from None
    except BROKEN:
        raise garbage("the provider's stream is not JSON") from None
    if event.type == "error" or name == b"error":
        raise told(read_error(msgspec.Raw(data) if is_nothing(event.error) else event.error))
    return event


def garbage(detail: str) -> Fault:
    """What the provider sent is not of this protocol."""
    return Fault(FaultKind.GARBAGE, detail, sent=True)


def early() -> Fault:
    """The stream ended before the message did."""
    return Fault(FaultKind.TRANSIENT, "the provider's stream ended early", sent=True)


def note(event: Event, told: Told) -> None:
    """What the event says of the answer as a whole."""
    usage = event.usage
    if event.message is not None:
        told.id, told.model = event.message.id, event.message.model
        usage = event.message.usage
    if usage is not None:
        told.usage = counted(usage, told.usage)
    delta = event.delta
    if delta is None:
        return
    told.output_bytes += delta.size
    if delta.stop_reason:
        told.finish = delta.stop_reason
    if delta.signature:
        keep(told, delta.signature)


def keep(told: Told, artefact: str) -> None:
    """A signature or a seal that only its endpoint honours."""
    if artefact and len(told.artefacts) < ARTEFACTS_MAX:
        told.artefacts.append(artefact)
