"""What providers of this wire stream, with the habits of each: read into the same answer."""

import msgspec
import pytest

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Begun, Choice, Ended, Finish, Finished, Grown, Opened, Piece
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Sort
from services.router.sse import SseParser
from tests.services.router.protocols.openai_chat.wire import DONE, Json, call, delta, read_stream, within

ROLE = delta({"role": "assistant", "content": ""})


def parts(*raw: bytes) -> tuple[object, ...]:
    (choice,) = read_stream(*raw)[0].choices
    return choice.parts


def test_pieces_come_as_the_chunks_do() -> None:
    reader = PROTOCOL.reader()
    stream = ROLE + delta({"content": "a"}) + delta({"content": "b"}) + delta({}, "stop") + DONE
    found = [reader.read(event) for event in SseParser(10_000).feed(stream)]
    assert [(sort, list(pieces)) for sort, pieces in found] == [
        (Sort.START, [Opened("chatcmpl-1", "m")]),
        (Sort.CONTENT, [Begun(Text("a"), 0)]),
        (Sort.CONTENT, [Grown(0, text="b")]),
        (Sort.CONTENT, []),
        (Sort.DONE, []),
    ]
    assert reader.done
    assert list(reader.end()) == [Ended(0), Finished(Finish.STOP)]


def test_words_end_when_something_else_begins() -> None:
    reader = PROTOCOL.reader()
    stream = delta({"reasoning_content": "hm"}) + delta({"content": "so"}) + delta(call(0, "a", "f", "{}"))
    pieces = [piece for event in SseParser(10_000).feed(stream) for piece in reader.read(event)[1]]
    assert pieces[1:] == [
        Begun(Thinking("hm"), 0),
        Ended(0),
        Begun(Text("so"), 1),
        Ended(1),
        Begun(ToolCall("a", "f", "{}"), 2),
    ]


BOTH = (call(0, "a", "f", '{"x":1}'), call(1, "b", "g", '{"y":2}'))
PARALLEL = (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


@pytest.mark.parametrize(
    "chunks",
    [
        [call(0, "a", "f", ""), call(0, None, None, '{"x"'), call(0, None, None, ":1}"), call(1, "b", "g", '{"y":2}')],
        [call(0, "a", "f", '{"x"'), call(1, "b", "g", '{"y"'), call(0, None, None, ":1}"), call(1, None, None, ":2}")],
        [call(0, "a", "f", '{"x"'), call(0, "a", "f", ":1}"), call(1, "b", "g", '{"y"'), call(1, "b", "g", ":2}")],
        [call(None, "a", "f", '{"x"'), call(None, "a", None, ":1}"), call(None, "b", "g", '{"y":2}')],
        [call(None, "a", "f", '{"x"'), call(None, None, None, ":1}"), call(None, "b", "g", '{"y":2}')],
        [call(0, "a", "f", '{"x":1}'), call(0, "b", "g", '{"y":2}')],
        [call(0, "a", "f", '{"x"'), call(0, "zz", None, ":1}"), call(1, "b", "g", '{"y":2}')],
        [
            call(0, "a", None, None),
            call(0, None, "f", '{"x":1}'),
            call(1, "b", None, '{"y"'),
            call(1, None, "g", ":2}"),
        ],
        [call(3, "a", "f", '{"x":1}'), call(7, "b", "g", '{"y":2}')],
        [call(0, "a", "f", {"x": 1}), call(1, "b", "g", {"y": 2})],
        [{"tool_calls": [within(each, "tool_calls", 0) for each in BOTH]}],
    ],
    ids=[
        "as documented",
        "in turns",
        "id and name in each chunk",
        "no index",
        "no index and no id",
        "one index for all",
        "a new id in each chunk",
        "id, then name",
        "gaps between indexes",
        "arguments as objects",
        "both in one chunk",
    ],
)
def test_lesson_9_parallel_calls_are_read_however_a_provider_keys_them(chunks: list[Json]) -> None:
    answer, _ = read_stream(ROLE, *[delta(chunk) for chunk in chunks], delta({}, "tool_calls"), DONE)
    assert answer.choices == (Choice(PARALLEL, Finish.TOOLS),)


def test_calls_without_any_id_are_given_ones_of_their_own() -> None:
    first = parts(delta(call(0, None, "f", "{}")), delta(call(1, None, "f", "{}"), "stop"))
    assert first == (ToolCall("call_chatcmpl1_0_0", "f", "{}"), ToolCall("call_chatcmpl1_0_1", "f", "{}"))
    one = delta(call(0, None, "f", "{}"), "stop", id="")
    other = delta(call(0, None, "f", '{"x":1}'), "stop", id="")
    assert parts(one) != parts(other)
    assert parts(one)[0] != ToolCall("", "f", "{}")


def test_two_calls_of_one_id_are_told_apart() -> None:
    found = parts(delta(call(0, "x", "f", "{}")), delta(call(1, "x", "g", "{}"), "tool_calls"))
    assert found == (ToolCall("x", "f", "{}"), ToolCall("x_1", "g", "{}"))


def test_a_function_call_of_old_is_a_tool_call() -> None:
    chunks: list[Json] = [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}]
    answer, _ = read_stream(*[delta(chunk) for chunk in chunks], delta({}, "function_call"))
    assert answer.choices == (Choice((ToolCall("call_chatcmpl1_0_0", "f", "{}"),), Finish.TOOLS),)


def test_lesson_9_text_and_a_call_in_one_chunk_are_both_kept() -> None:
    both = {"content": "so"} | call(0, "a", "f", "{}")
    assert parts(delta({"content": "and "}), delta(both), delta({}, "tool_calls")) == (
        Text("and so"),
        ToolCall("a", "f", "{}"),
    )


def test_a_signature_on_a_call_is_kept() -> None:
    signed = call(0, "a", "f", "{}")
    extra = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    signed["tool_calls"] = [msgspec.convert(within(signed, "tool_calls", 0), Json) | extra]
    assert parts(delta(signed, "tool_calls")) == (ToolCall("a", "f", "{}", signature="c2ln"),)
    assert read_stream(delta(signed, "tool_calls"))[1].artefacts == ["c2ln"]


@pytest.mark.parametrize(
    ("word", "called", "finish"),
    [
        ("stop", True, Finish.TOOLS),
        ("tool_calls", True, Finish.TOOLS),
        ("tool_calls", False, Finish.STOP),
        ("function_call", False, Finish.STOP),
        ("stop", False, Finish.STOP),
        ("eos", False, Finish.STOP),
        ("length", False, Finish.LENGTH),
        ("length", True, Finish.LENGTH),
        ("max_tokens", False, Finish.LENGTH),
        ("content_filter", False, Finish.FILTERED),
    ],
)
def test_lesson_8_the_reason_to_stop_is_what_the_answer_shows(word: str, called: bool, finish: Finish) -> None:
    said: Json = call(0, "a", "f", "{}") if called else {"content": "x"}
    answer, told = read_stream(delta(said), delta({}, word), DONE)
    assert (answer.choices[0].finish, told.finish) == (finish, word)


@pytest.mark.parametrize("word", ["error", "insufficient_system_resource", "abort"])
def test_an_answer_that_the_provider_broke_off_is_a_fault(word: str) -> None:
    with pytest.raises(Fault) as caught:
        read_stream(delta({"content": "x"}), delta({}, word), DONE)
    assert caught.value.kind is FaultKind.TRANSIENT


@pytest.mark.parametrize(
    "stream",
    [
        [delta({"content": "x"}, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2}), DONE],
        [
            delta({"content": "x"}, "stop"),
            b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\n',
        ],
        [
            delta({"content": "x"}, usage={"prompt_tokens": 4, "completion_tokens": 1}),
            delta({}, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2}),
            DONE,
        ],
        [
            delta({"content": "x"}, "stop", usage=None),
            delta({}, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2}),
        ],
    ],
    ids=["in the last chunk", "in one of its own, [DONE] missing", "in each chunk", "null, then with another reason"],
)
def test_usage_is_read_wherever_it_stands(stream: list[bytes]) -> None:
    answer, told = read_stream(*stream)
    assert answer == Answer((Choice((Text("x"),)),), "chatcmpl-1", "m", Usage(uncached=4, output=2))
    assert told.usage == answer.usage


def test_lesson_7_comments_and_empty_events_are_noise() -> None:
    reader = PROTOCOL.reader()
    events = SseParser(1000).feed(b": OPENROUTER PROCESSING\n\n" + b"data:\n\n" + b"event: ping\n\n")
    assert [reader.read(event) for event in events] == [(Sort.NOISE, ())] * 3


def test_a_first_chunk_without_choices_opens_nothing() -> None:
    filtered = b'data: {"id":"","model":"","choices":[],"prompt_filter_results":[]}\n\n'
    answer, _ = read_stream(filtered, delta({"content": "x"}, "stop"))
    assert (answer.id, answer.model) == ("chatcmpl-1", "m")


def test_content_as_a_list_of_parts_is_read() -> None:
    listed = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]
    assert parts(delta({"content": listed}), delta({"content": "!"}, "stop")) == (Thinking("hm"), Text("so!"))


def test_content_that_is_neither_text_nor_thoughts_is_kept_and_not_dropped_silently() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,x"}}
    said, kept = parts(delta({"content": [{"type": "text", "text": "so"}, picture]}, "stop"))
    assert said == Text("so")
    assert isinstance(kept, Opaque)
    assert kept.type == "content_parts"


def test_thoughts_in_either_field_and_in_both_are_read_once() -> None:
    assert parts(delta({"reasoning": "a"}), delta({"reasoning": "b", "reasoning_content": "b"}, "stop")) == (
        Thinking("ab"),
    )


def test_what_only_this_wire_can_say_is_kept_whole_at_the_end() -> None:
    found = parts(
        delta({"reasoning_details": [{"text": "a"}]}),
        delta({"reasoning_details": [{"text": "b"}], "content": "x", "refusal": ""}),
        delta({"refusal": "no"}, "stop"),
    )
    assert found[:2] == (Text("x"), Refusal("no"))
    (opaque,) = found[2:]
    assert isinstance(opaque, Opaque)
    assert (opaque.type, bytes(opaque.raw)) == ("reasoning_details", b'[{"text":"a"},{"text":"b"}]')


def test_several_choices_are_kept_apart() -> None:
    answer, _ = read_stream(
        delta({"content": "b"}, index=1),
        delta({"content": "a"}, index=0),
        delta({}, "stop", index=0),
        delta(call(0, "c", "f", "{}"), "stop", index=1),
    )
    assert answer.choices == (
        Choice((Text("a"),)),
        Choice((Text("b"), ToolCall("c", "f", "{}")), Finish.TOOLS),
    )


@pytest.mark.parametrize(
    "stream",
    [
        [],
        [ROLE],
        [delta({"content": "x"})],
        [delta(call(0, "a", "f", '{"x'))],
        [ROLE, DONE],
        [b": only comments\n\n"],
    ],
)
def test_a_stream_that_ends_too_soon_is_a_fault(stream: list[bytes]) -> None:
    with pytest.raises(Fault) as caught:
        read_stream(*stream)
    assert (caught.value.kind, caught.value.sent) == (FaultKind.TRANSIENT, True)


def test_a_stream_that_was_ended_without_a_reason_is_whole_when_there_was_content() -> None:
    answer, told = read_stream(delta({"content": "x"}), DONE)
    assert (answer.choices[0].finish, told.finish) == (Finish.STOP, "stop")


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {\n\n",
        b"data: nope\n\n",
        b"data: \xff\n\n",
        b"data: [1,2]\n\n",
        b'data: {"choices":"many"}\n\n',
        b'data: {"choices":[{"delta":{"content":5}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":{"a":1}}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":"x"}]}}]}\n\n',
        b'data: {"choices":[{"index":4000,"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"index":-1,"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}\n\n",
        delta(call(0, "a", None, "{}"), "tool_calls"),
    ],
)
def test_what_is_not_of_the_wire_is_garbage(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_stream(raw)
    assert caught.value.kind is FaultKind.GARBAGE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Rate limit", "type": "rate_limit_error"}, FaultKind.RATE),
        ({"message": "busy", "code": 503}, FaultKind.TRANSIENT),
        ({"message": "maximum context length is 10", "code": 400}, FaultKind.CONTEXT),
        ("just words", FaultKind.TRANSIENT),
    ],
)
@pytest.mark.parametrize("before", [b"", ROLE, delta({"content": "x"})])
def test_an_error_inside_the_stream_is_a_fault_of_its_kind(error: object, kind: FaultKind, before: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_stream(before, b"data: " + msgspec.json.encode({"error": error}) + b"\n\n")
    assert caught.value.kind is kind


def test_ten_thousand_calls_in_one_answer_are_read() -> None:
    chunks = [delta(call(at, f"c{at}", "f", "{}")) for at in range(10_000)]
    pieces: list[Piece] = []
    reader = PROTOCOL.reader()
    for event in SseParser(10_000_000).feed(b"".join(chunks) + delta({}, "tool_calls")):
        pieces += reader.read(event)[1]
    assert sum(isinstance(piece, Begun) for piece in pieces) == 10_000
