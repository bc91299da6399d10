"""Answers of other protocols as callers of this one read them, whole and streamed."""

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, Usage
from services.router.protocols.answer import (
    Answer,
    AnswerPart,
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
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.fold import unfold
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Writer
from services.router.sse import SseParser
from tests.services.router.protocols.anthropic_messages import stream
from tests.services.router.protocols.anthropic_messages.requests import encoded

SEARCH = msgspec.Raw(b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":"x"}}')
EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def message(answer: Answer, losses: Losses | None = None) -> dict[str, object]:
    raw = PROTOCOL.write_answer(answer, stream.SHAPE, losses or Losses())
    Message.model_validate_json(raw)
    return msgspec.json.decode(raw, type=dict[str, object])


def content(*parts: AnswerPart, finish: Finish = Finish.STOP) -> object:
    """The blocks of an answer, which are the same whether it is streamed or not."""
    answer = Answer((Choice(parts, finish),))
    whole = message(answer)["content"]
    assert streamed(stream.write(unfold(answer))) == whole
    return whole


def events(raw: bytes) -> list[dict[str, object]]:
    """Each as the official client's types take it."""
    found = SseParser(1 << 20).feed(raw)
    for event in found:
        EVENTS.validate_json(event.data or b"")
        assert event.name == msgspec.json.decode(event.data or b"")["type"].encode()
    return [msgspec.json.decode(event.data or b"", type=dict[str, object]) for event in found]


def names(raw: bytes) -> list[object]:
    return [event["type"] for event in events(raw)]


class _Block(msgspec.Struct):
    """What a client makes of the events of one block."""

    fields: dict[str, object]
    input: str = ""


def streamed(raw: bytes) -> list[dict[str, object]]:
    """The blocks as a client puts them together: one open at a time, a signature replaced and not added to."""
    blocks: list[_Block] = []
    is_open = False
    for event in events(raw):
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(blocks)
            is_open = True
            blocks.append(_Block(msgspec.convert(event["content_block"], dict[str, object])))
        elif event["type"] == "content_block_delta":
            assert is_open and event["index"] == len(blocks) - 1
            grow(blocks[-1], msgspec.convert(event["delta"], dict[str, str]))
        elif event["type"] == "content_block_stop":
            assert is_open and event["index"] == len(blocks) - 1
            is_open = False
    assert not is_open
    return [closed(block) for block in blocks]


def grow(block: _Block, delta: dict[str, str]) -> None:
    if delta["type"] == "input_json_delta":
        block.input += delta["partial_json"]
    elif delta["type"] == "signature_delta":
        block.fields["signature"] = delta["signature"]
    else:
        name = "text" if delta["type"] == "text_delta" else "thinking"
        block.fields[name] = f"{block.fields[name]}{delta[name]}"


def closed(block: _Block) -> dict[str, object]:
    return block.fields | ({"input": msgspec.json.decode(block.input)} if block.input else {})


def test_it_is_a_writer() -> None:
    writer: Writer = PROTOCOL.writer(stream.SHAPE, Losses())
    assert writer.write(Opened("a", "b")) == b""


def test_an_answer_is_a_message() -> None:
    usage = Usage(uncached=10, cache_read=3, cache_write=2, output=7, reasoning=4)
    assert message(Answer((Choice((Text("hi"),)),), "chatcmpl-1", "gpt", usage)) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    }


def test_a_stream_is_the_documented_sequence_of_events() -> None:
    pieces: list[Piece] = [
        Opened("msg_up", "gpt"),
        Begun(Text(""), 0),
        Grown(0, text="Hel"),
        Grown(0, text="lo"),
        Ended(0),
        Finished(Finish.STOP),
        Counted(Usage(uncached=3, output=2)),
    ]
    raw = stream.write(pieces)
    assert raw == (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_up","type":"message",'
        b'"role":"assistant","model":"claude-test","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"Hel"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"lo"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_words_are_written_as_they_come() -> None:
    writer = PROTOCOL.writer(stream.SHAPE, Losses())
    assert writer.write(Begun(Text(""), 0)) == b""
    assert names(writer.write(Grown(0, text="a"))) == ["message_start", "content_block_start", "content_block_delta"]
    assert names(writer.write(Grown(0, text="b"))) == ["content_block_delta"]
    assert names(writer.write(Begun(ToolCall("c", "f"), 1))) == []
    assert names(writer.write(Ended(0))) == ["content_block_stop", "content_block_start"]
    assert names(writer.write(Grown(1, arguments="{}"))) == ["content_block_delta"]


def test_usage_that_is_known_at_the_beginning_stands_there() -> None:
    raw = stream.write([Opened("a", "b"), Counted(Usage(uncached=9)), Begun(Text("x"), 0), Finished(Finish.STOP)])
    assert msgspec.json.decode(msgspec.json.encode(events(raw)[0]["message"]))["usage"]["input_tokens"] == 9


def test_parts_that_overlap_become_blocks_one_after_the_other() -> None:
    """Lesson 9: calls whose arguments come in turns, and words between them."""
    pieces: list[Piece] = [
        Begun(Text("I "), 0),
        Begun(ToolCall("a", "f"), 1),
        Begun(ToolCall("b", "g"), 2),
        Grown(2, arguments='{"y"'),
        Grown(1, arguments='{"x"'),
        Grown(0, text="look"),
        Grown(1, arguments=":1}"),
        Ended(2),
        Ended(0),
        Grown(2, arguments=":2}"),
        Finished(Finish.TOOLS),
    ]
    assert streamed(stream.write(pieces)) == [
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
    ]


def test_a_long_part_that_waits_for_another_costs_no_more_than_its_length() -> None:
    pieces: list[Piece] = [Begun(Text("a"), 0), Begun(ToolCall("c", "f", '{"x":"'), 1)]
    pieces += [Grown(1, arguments="0123456789")] * 100_000
    pieces += [Grown(1, arguments='"}'), Ended(1), Ended(0)]
    assert len(str(streamed(stream.write(pieces))[1]["input"])) > 1_000_000


def test_a_call_without_arguments_has_an_empty_input() -> None:
    assert content(ToolCall("a", "f")) == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]


def test_call_ids_are_legal_and_come_back_as_they_were() -> None:
    made = content(ToolCall("call|1", "f", "{}"))
    assert made == [{"type": "tool_use", "id": "call_X7C_1", "name": "f", "input": {}}]
    history = [{"role": "assistant", "content": made}]
    assert PROTOCOL.read(encoded(messages=history)).prompt().turns[0].parts == (ToolCall("call|1", "f", "{}"),)


def test_no_empty_text_is_written() -> None:
    assert content(Text(""), Refusal("no"), Text("")) == [{"type": "text", "text": "no"}]
    assert names(stream.write([Begun(Text(""), 0), Ended(0)])) == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("I see", "AbC+/=="),
        Thinking("", "signature-only"),
        Thinking("not signed"),
        Thinking("a summary", sealed="gAAAA.x", id="rs_1"),
        Thinking("", sealed="EmwK"),
        Thinking("", id="rs_2"),
    ],
)
def test_thoughts_of_any_model_come_back_from_a_client_as_they_were(thought: Thinking) -> None:
    """Lesson 11, streamed or not: whatever was signed or sealed elsewhere survives a client of this protocol."""
    history = [{"role": "assistant", "content": content(thought)}]
    assert PROTOCOL.read(encoded(messages=history)).prompt().turns[0].parts == (thought,)


def test_a_signature_on_a_call_comes_back_on_the_call() -> None:
    signed = ToolCall("a", "f", "{}", signature="Cs4B")
    history = [{"role": "assistant", "content": content(Text("x"), signed, ToolCall("b", "g", "{}"))}]
    found = PROTOCOL.read(encoded(messages=history)).prompt().turns[0].parts
    assert found == (Text("x"), signed, ToolCall("b", "g", "{}"))


def test_thoughts_come_as_they_grow_and_the_signature_in_one_piece() -> None:
    pieces: list[Piece] = [
        Begun(Thinking(), 0),
        Grown(0, text="I "),
        Grown(0, text="see", signature="Ab"),
        Grown(0, signature="C"),
        Ended(0),
    ]
    assert streamed(stream.write(pieces)) == [
        {"type": "thinking", "thinking": "I see", "signature": "penstock.signed.AbC"}
    ]


def test_blocks_of_this_protocol_pass_and_others_are_a_loss() -> None:
    assert content(Opaque(ANTHROPIC_MESSAGES, "server_tool_use", SEARCH)) == [msgspec.json.decode(SEARCH)]
    parts = (Opaque(GEMINI_GENERATE, "executableCode", msgspec.Raw(b"{}")), Text("x"))
    losses = Losses()
    assert message(Answer((Choice(parts),)), losses)["content"] == [{"type": "text", "text": "x"}]
    assert [loss.field for loss in losses.all] == ["content.0"]
    assert content(*parts) == [{"type": "text", "text": "x"}]


def test_one_answer_of_several_is_shown_and_that_is_said() -> None:
    answer = Answer((Choice((Text("a"),)), Choice((Text("b"), ToolCall("c", "f")), Finish.TOOLS)))
    whole, live = Losses(), Losses()
    assert message(answer, whole)["content"] == [{"type": "text", "text": "a"}]
    raw = stream.write(unfold(answer), losses=live)
    assert streamed(raw) == [{"type": "text", "text": "a"}]
    assert [loss.field for loss in whole.all] == [loss.field for loss in live.all] == ["choices"]


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish.STOP, "end_turn"),
        (Finish.STOP_SEQUENCE, "stop_sequence"),
        (Finish.LENGTH, "max_tokens"),
        (Finish.TOOLS, "end_turn"),
        (Finish.FILTERED, "refusal"),
        (Finish.REFUSED, "refusal"),
        (Finish.PAUSED, "pause_turn"),
        (Finish.CONTEXT, "model_context_window_exceeded"),
    ],
)
def test_the_reason_to_stop_is_written_the_same_streamed_or_not(finish: Finish, word: str) -> None:
    answer = Answer((Choice((Text("a"),), finish, "END" if finish is Finish.STOP_SEQUENCE else ""),))
    whole = message(answer)
    delta = events(stream.write(unfold(answer)))[-2]["delta"]
    assert delta == {"stop_reason": word, "stop_sequence": whole["stop_sequence"]}
    assert whole["stop_reason"] == word


def test_words_and_calls_stop_for_the_calls() -> None:
    """Lesson 8: an agent whose tools are not announced stops without a word."""
    answer = Answer((Choice((Text("I look."), ToolCall("a", "f", "{}")), Finish.STOP),))
    assert message(answer)["stop_reason"] == "tool_use"
    assert events(stream.write(unfold(answer)))[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_a_stream_that_said_nothing_is_a_message_all_the_same() -> None:
    assert names(stream.write([])) == ["message_start", "message_delta", "message_stop"]


def test_arguments_that_are_no_object_are_shown_as_words() -> None:
    losses = Losses()
    made = message(Answer((Choice((ToolCall("a", "f", "[1]"),)),)), losses)["content"]
    assert made == [{"type": "tool_use", "id": "a", "name": "f", "input": {"arguments": "[1]"}}]
    assert [loss.field for loss in losses.all] == ["content.0.arguments"]
    free = ToolCall("a", "patch", "*** Begin", custom=True)
    assert content(free) == [{"type": "tool_use", "id": "a", "name": "patch", "input": {"arguments": "*** Begin"}}]
