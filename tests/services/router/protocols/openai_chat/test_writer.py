"""The chunks that a caller gets, in the order that clients of this wire rely on."""

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.answer import (
    Answer,
    Begun,
    Choice,
    Counted,
    Ended,
    Finish,
    Finished,
    Grown,
    Opened,
    Piece,
)
from services.router.protocols.fold import unfold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import Opaque, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape
from tests.services.router.protocols.openai_chat.wire import Json, data_of, within, write_stream

SHAPE = Shape("chat", "chatcmpl-made", 1_790_000_000)
ASKED = Shape("chat", "chatcmpl-made", 1_790_000_000, wants_usage=True)
ANSWER = Answer((), "msg_1", "claude-x", Usage(uncached=3, output=4))


def deltas(stream: bytes) -> list[tuple[Json, object]]:
    """Delta and reason of each chunk's one choice."""
    found = [within(chunk, "choices", 0) for chunk in data_of(stream) if chunk["choices"]]
    return [(msgspec.convert(within(each, "delta"), Json), within(each, "finish_reason")) for each in found]


def test_the_role_comes_first_and_the_reason_last() -> None:
    pieces: list[Piece] = [Opened("x", "y"), Begun(Text("a"), 0), Grown(0, text="b"), Ended(0), Finished(Finish.STOP)]
    stream = write_stream(ANSWER, SHAPE, pieces=pieces)
    assert deltas(stream) == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "a"}, None),
        ({"content": "b"}, None),
        ({}, "stop"),
    ]
    first = data_of(stream)[0]
    assert {name: first[name] for name in ("id", "object", "created", "model")} == {
        "id": "chatcmpl-made",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "chat",
    }
    assert "usage" not in first


def test_usage_is_shown_in_a_last_chunk_of_its_own_to_those_who_asked() -> None:
    pieces: list[Piece] = [
        Opened(),
        Counted(Usage(output=1)),
        Finished(Finish.STOP),
        Counted(Usage(uncached=3, output=4)),
    ]
    chunks = data_of(write_stream(ANSWER, ASKED, pieces=pieces))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None, None]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert all("usage" not in chunk for chunk in data_of(write_stream(ANSWER, SHAPE, pieces=pieces)))


def test_calls_are_numbered_and_named_once() -> None:
    pieces: list[Piece] = [
        Opened(),
        Begun(Text("so"), 0),
        Begun(ToolCall("a", "f"), 1),
        Begun(ToolCall("b", "g", '{"y'), 2),
        Grown(1, arguments='{"x":1}'),
        Grown(2, arguments='":2}'),
        Grown(1, signature="c2ln"),
        Ended(1),
        Ended(2),
        Begun(ToolCall("c", "h"), 3),
        Ended(3),
        Begun(ToolCall("d", "sh", "l", custom=True), 4),
        Grown(4, arguments="s"),
        Finished(Finish.STOP),
    ]
    calls = [
        delta["tool_calls"] for delta, _ in deltas(write_stream(ANSWER, SHAPE, pieces=pieces)) if "tool_calls" in delta
    ]
    assert calls == [
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y'}}],
        [{"index": 0, "function": {"arguments": '{"x":1}'}}],
        [{"index": 1, "function": {"arguments": '":2}'}}],
        [{"index": 0, "extra_content": {"google": {"thought_signature": "c2ln"}}}],
        [{"index": 2, "id": "c", "type": "function", "function": {"name": "h", "arguments": ""}}],
        [{"index": 2, "function": {"arguments": "{}"}}],
        [{"index": 3, "id": "d", "type": "custom", "custom": {"name": "sh", "input": "l"}}],
        [{"index": 3, "custom": {"input": "s"}}],
    ]
    assert deltas(write_stream(ANSWER, SHAPE, pieces=pieces))[-1] == ({}, "tool_calls")


def test_each_choice_has_its_role_and_its_reason() -> None:
    answer = Answer((Choice((Text("a"),)), Choice((ToolCall("x", "f", "{}"),), Finish.TOOLS), Choice()))
    chunks = [msgspec.convert(within(chunk, "choices", 0), Json) for chunk in data_of(write_stream(answer, SHAPE))]
    assert [chunk["index"] for chunk in chunks if "role" in msgspec.convert(chunk["delta"], Json)] == [0, 1, 2]
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["stop", "tool_calls", "stop"]


def test_losses_of_a_stream_are_those_of_the_whole() -> None:
    raw = msgspec.Raw(b"{}")
    parts = (Thinking("a", "signed"), ToolCall("x", "f", "{}"), Text("b"), Opaque("gemini.generate", "code", raw))
    answer = Answer((Choice(parts, Finish.PAUSED),))
    streamed, whole = Losses(), Losses()
    write_stream(answer, SHAPE, streamed, unfold(answer))
    PROTOCOL.write_answer(answer, SHAPE, whole)
    assert streamed.all == whole.all
    assert [loss.field for loss in whole.all] == [
        "choices.0.finish_reason",
        "choices.0.reasoning",
        "choices.0.content",
    ]


def test_a_signature_that_comes_later_is_noted_too() -> None:
    losses = Losses()
    pieces: list[Piece] = [Opened(), Begun(Thinking("a"), 0), Grown(0, signature="s"), Finished(Finish.STOP)]
    write_stream(ANSWER, SHAPE, losses, pieces)
    assert [loss.field for loss in losses.all] == ["choices.0.reasoning"]
