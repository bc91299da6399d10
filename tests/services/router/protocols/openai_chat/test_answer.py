"""Whole answers, as providers give them and as callers get them."""

import msgspec
import pytest

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape
from tests.services.router.protocols.openai_chat.wire import Json, call, delta, read_stream, read_whole, within

SHAPE = Shape("chat", "chatcmpl-made", 1_790_000_000)
CALL = call(None, "a", "f", "{}")


def wrote(*choices: Choice, losses: Losses | None = None, id: str = "msg_1") -> Json:
    answer = Answer(choices, id, "claude-x", Usage(uncached=3, cache_read=2, output=4))
    raw = PROTOCOL.write_answer(answer, SHAPE, losses or Losses())
    return msgspec.json.decode(raw, type=dict[str, object])


def test_an_answer_is_read() -> None:
    message: Json = {"role": "assistant", "content": "so", "reasoning_content": "hm", "refusal": None} | CALL
    answer = read_whole(message, "tool_calls", usage={"prompt_tokens": 9, "completion_tokens": 3})
    parts = (Thinking("hm"), Text("so"), ToolCall("a", "f", "{}"))
    assert answer == Answer((Choice(parts, Finish.TOOLS),), "chatcmpl-1", "m", Usage(uncached=9, output=3))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x", "reasoning": "y", "refusal": "no"},
        {"content": None} | CALL,
        {"content": [{"type": "text", "text": "x"}]},
        {"function_call": {"name": "f", "arguments": "{}"}},
        {"content": "x", "reasoning_details": [{"a": 1}], "annotations": [{"b": 2}]},
        {"content": "x", "audio": {"id": "a", "data": "AA"}},
        call(0, "a", "f", {"x": 1}),
        {},
    ],
)
def test_streamed_in_one_chunk_an_answer_is_what_it_is_whole(message: Json) -> None:
    whole = read_whole({"role": "assistant"} | message)
    assert read_stream(delta(message, "stop"))[0] == whole


def test_calls_of_a_whole_answer_stand_by_themselves_whatever_their_ids() -> None:
    calls = [{"id": "x", "function": {"name": "f", "arguments": "{}"}}] * 2
    assert read_whole({"tool_calls": calls}).choices[0].parts == (
        ToolCall("x", "f", "{}"),
        ToolCall("x_1", "f", "{}"),
    )


def test_an_answer_is_written_with_everything_the_documented_wire_has() -> None:
    assert wrote(Choice((Text("hi"),))) == {
        "id": "chatcmpl-made",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 4,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
    assert wrote(Choice((Text("hi"),)), id="chatcmpl-own")["id"] == "chatcmpl-own"


def test_parts_go_where_this_wire_has_a_place_for_them() -> None:
    losses = Losses()
    raw = msgspec.Raw(b'[{"x":1}]')
    parts = (
        Thinking("a", "signed"),
        Thinking("b"),
        Text("c"),
        ToolCall("id", "f", "", signature="c2ln"),
        Text("d"),
        Refusal("e"),
        Opaque("openai.chat", "annotations", raw),
        Opaque("anthropic.messages", "server_tool_use", raw),
    )
    choice = within(wrote(Choice(parts, Finish.TOOLS), losses=losses), "choices", 0)
    assert within(choice, "message") == {
        "role": "assistant",
        "content": "cd",
        "refusal": "e",
        "reasoning_content": "ab",
        "annotations": [{"x": 1}],
        "tool_calls": [
            {
                "id": "id",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "c2ln"}},
            }
        ],
    }
    assert [loss.field for loss in losses.all] == ["choices.0.reasoning", "choices.0.content"]


@pytest.mark.parametrize(
    ("finish", "called", "word", "noted"),
    [
        (Finish.STOP, True, "tool_calls", 0),
        (Finish.TOOLS, False, "stop", 0),
        (Finish.STOP_SEQUENCE, False, "stop", 1),
        (Finish.LENGTH, True, "length", 0),
        (Finish.FILTERED, False, "content_filter", 0),
        (Finish.REFUSED, False, "content_filter", 1),
        (Finish.PAUSED, False, "stop", 1),
        (Finish.CONTEXT, False, "length", 1),
    ],
)
def test_reasons_to_stop_are_written(finish: Finish, called: bool, word: str, noted: int) -> None:
    losses = Losses()
    parts = (ToolCall("a", "f", "{}"),) if called else (Text("x"),)
    choice = within(wrote(Choice(parts, finish), losses=losses), "choices", 0)
    assert (within(choice, "finish_reason"), len(losses.all)) == (word, noted)
    assert (losses.gravest is not None) is (finish is Finish.PAUSED)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"message":5}]}',
        b'{"choices":[{"message":{"content":5}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"x","function":{}}]}}]}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'{"choices":[{"message":{"content":' + b"[" * 100_000,
    ],
)
def test_what_is_no_completion_is_garbage(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        PROTOCOL.read_answer(body)
    assert caught.value.kind is FaultKind.GARBAGE


def test_an_error_inside_a_200_is_a_fault() -> None:
    with pytest.raises(Fault) as caught:
        PROTOCOL.read_answer(b'{"object":"error","message":"maximum context length","code":400}')
    assert caught.value.kind is FaultKind.CONTEXT
