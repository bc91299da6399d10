"""Streams of this protocol for tests: events framed as Anthropic frames them, and read in any pieces."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.router.protocols.answer import Answer, Piece
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.fold import fold
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Shape, Sort
from services.router.sse import SseParser

SHAPE = Shape("claude-test", "msg_1", 1_790_000_000)


def event(name: str, **fields: object) -> bytes:
    data = msgspec.json.encode({"type": name} | fields)
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def start(**usage: int) -> bytes:
    message: dict[str, object] = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1} | usage,
    }
    return event("message_start", message=message)


def block(index: int, opening: Mapping[str, object], *deltas: Mapping[str, object]) -> bytes:
    return (
        event("content_block_start", index=index, content_block=opening)
        + b"".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
        + event("content_block_stop", index=index)
    )


def text(index: int, *words: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *[{"type": "text_delta", "text": word} for word in words])


def call(index: int, id: str, name: str, *fragments: str) -> bytes:
    opening: dict[str, object] = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block(index, opening, *[{"type": "input_json_delta", "partial_json": part} for part in fragments])


def stop(reason: str, **usage: int) -> bytes:
    return event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 5} | usage
    ) + event("message_stop")


def read(raw: bytes, cuts: Sequence[int] = ()) -> tuple[list[Sort], list[Piece]]:
    """What the reader makes of the stream, its bytes cut at these places."""
    parser, reader = SseParser(1 << 20), PROTOCOL.reader()
    sorts: list[Sort] = []
    pieces: list[Piece] = []
    for piece in [*_cut(raw, cuts)]:
        for found in parser.feed(piece):
            sort, more = reader.read(found)
            sorts.append(sort)
            pieces += more
    for found in parser.finish():
        pieces += reader.read(found)[1]
    pieces += reader.end()
    return sorts, pieces


def answer(raw: bytes, cuts: Sequence[int] = ()) -> Answer:
    return fold(read(raw, cuts)[1])


def write(pieces: Iterable[Piece], shape: Shape = SHAPE, losses: Losses | None = None) -> bytes:
    """The pieces as a stream of this protocol."""
    writer = PROTOCOL.writer(shape, losses or Losses())
    return b"".join([writer.write(piece) for piece in pieces]) + writer.end()


def _cut(raw: bytes, cuts: Sequence[int]) -> Iterable[bytes]:
    places = [0, *cuts, len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(places)]
