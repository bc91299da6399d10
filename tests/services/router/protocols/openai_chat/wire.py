"""Chunks, messages and streams of chat completions for tests, and the short ways through the protocol."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from services.router.protocols.answer import Answer, Piece
from services.router.protocols.fold import fold, unfold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target, Told
from services.router.sse import SseParser

Json = dict[str, object]

TARGET = Target("model-1", "here", streamed=False)
DONE = b"data: [DONE]\n\n"


def delta(fields: Json, finish: str | None = None, *, index: int = 0, **more: object) -> bytes:
    choice: Json = {"index": index, "delta": fields, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"id": "chatcmpl-1", "model": "m", "choices": [choice]} | more) + b"\n\n"


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: object = None) -> Json:
    """A piece of a tool call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields: Json = {key: value for key, value in (("index", index), ("id", id)) if value is not None}
    return {"tool_calls": [fields | {"function": function}]}


def read_stream(*raw: bytes, cut: Sequence[int] = ()) -> tuple[Answer, Told]:
    """What the reader makes of the bytes, which arrive cut at these places."""
    stream = b"".join(raw)
    parser, reader, pieces = SseParser(10_000_000), PROTOCOL.reader(), list[Piece]()
    places = [0, *cut, len(stream)]
    arrived = [stream[start:end] for start, end in pairwise(places)]
    for event in [event for each in arrived for event in parser.feed(each)] + parser.finish():
        pieces += reader.read(event)[1]
    pieces += reader.end()
    return fold(pieces), reader.told


def read_whole(message: Json, finish: str | None = "stop", **more: object) -> Answer:
    body = {"id": "chatcmpl-1", "model": "m", "choices": [{"message": message, "finish_reason": finish}]} | more
    return PROTOCOL.read_answer(msgspec.json.encode(body))[0]


def shape_of(answer: Answer, *, wants_usage: bool = True) -> Shape:
    """Under which the answer keeps its id and model."""
    return Shape(answer.model, answer.id, 1_790_000_000, wants_usage)


def write_stream(
    answer: Answer, shape: Shape, losses: Losses | None = None, pieces: Iterable[Piece] | None = None
) -> bytes:
    writer = PROTOCOL.writer(shape, losses or Losses())
    return b"".join(writer.write(piece) for piece in pieces or unfold(answer)) + writer.end()


def data_of(stream: bytes) -> list[Json]:
    """The JSON of each event but the last."""
    lines = [line.removeprefix(b"data: ") for line in stream.split(b"\n\n") if line]
    assert lines[-1] == b"[DONE]"
    return [msgspec.json.decode(line, type=dict[str, object]) for line in lines[:-1]]


def prompt_of(**fields: object) -> Prompt:
    fields.setdefault("messages", [{"role": "user", "content": "hi"}])
    return PROTOCOL.read(msgspec.json.encode(fields)).prompt()


def turns_of(*messages: Json) -> Prompt:
    return prompt_of(messages=messages)


def written(prompt: Prompt, target: Target = TARGET, losses: Losses | None = None) -> Json:
    raw = PROTOCOL.write_prompt(prompt, target, losses or Losses())
    return msgspec.json.decode(raw, type=dict[str, object])


def within(value: object, *path: str | int) -> object:
    """The value at a place of a JSON document."""
    for step in path:
        if isinstance(step, int):
            assert isinstance(value, list)
            value = value[step]
        else:
            assert isinstance(value, dict)
            value = value[step]
    return value
