"""One event of a streamed chat completion, read as far as its envelope. Pure."""

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.openai_chat.fields import NOT_JSON, is_empty
from services.router.protocols.openai_chat.usage import Reported
from services.router.sse import SseEvent

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"


class ChunkChoice(msgspec.Struct):
    """`delta`: its fields, raw."""

    delta: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None
    index: int = 0


class Chunk(msgspec.Struct):
    """`usage` is UNSET where there is none, None where it is null."""

    choices: list[ChunkChoice] | None = None
    usage: Reported | msgspec.UnsetType | None = msgspec.UNSET
    error: msgspec.Raw = NOTHING
    object: msgspec.Raw = NOTHING
    id: str | None = None
    model: str | None = None


_CHUNK = msgspec.json.Decoder(Chunk)


def read_chunk(event: SseEvent, data: bytes) -> Chunk | None:
    """None for JSON of another shape. Raises Fault for an error, and for what is not JSON."""
    chunk = _decode(data)
    if chunk is not None:
        if not is_nothing(chunk.error):
            raise told(read_error(chunk.error))
        if event.name == b"error" or bytes(chunk.object) == b'"error"':
            raise told(read_error(msgspec.Raw(data)))
    return chunk


def weight(choice: ChunkChoice) -> int:
    """How much content there is, in bytes as they stand on the wire; 0 for a role, an empty text and the like."""
    return sum(len(value) for name, value in (choice.delta or {}).items() if name != "role" and not is_empty(value))


def check_text(data: bytes) -> None:
    """Raises UnicodeDecodeError: what is only passed on is read by somebody who expects UTF-8."""
    if not data.isascii():
        data.decode()


def _decode(data: bytes) -> Chunk | None:
    try:
        check_text(data)
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        pass
    except NOT_JSON:
        raise _garbage() from None
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except NOT_JSON:
        raise _garbage() from None
    return None


def _garbage() -> Fault:
    return Fault(FaultKind.GARBAGE, "the provider's stream is not JSON", sent=True)
