"""Streams of Anthropic's: passed on untouched, read into pieces, told apart event by event."""

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Choice, Counted, Finish, Opened
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.part import Opaque, Text, Thinking, ToolCall
from services.router.protocols.protocol import Reader, Sort, Tap
from services.router.sse import SseParser
from tests.services.router.protocols.anthropic_messages import stream

PING = stream.event("ping")
WORDS = stream.start() + PING + stream.text(0, "Hel", "lo") + stream.stop("end_turn")


def tapped(raw: bytes) -> tuple[Tap, list[Sort], bytes]:
    parser, tap = SseParser(1 << 20), PROTOCOL.tap(strip_usage=True)
    sorts: list[Sort] = []
    out = b""
    for event in [*parser.feed(raw), *parser.finish()]:
        sort, passed = tap.read(event)
        sorts.append(sort)
        out += passed
    return tap, sorts, out


def fault(raw: bytes) -> Fault:
    """The same from the tap and from the reader."""
    with pytest.raises(Fault) as of_tap:
        tapped(raw)
    with pytest.raises(Fault) as of_reader:
        stream.read(raw)
    assert of_tap.value.kind is of_reader.value.kind
    return of_tap.value


def test_they_are_a_tap_and_a_reader() -> None:
    reader: Reader = PROTOCOL.reader()
    tap: Tap = PROTOCOL.tap(strip_usage=False)
    assert (reader.done, tap.done) == (False, False)


def test_a_stream_passes_byte_for_byte() -> None:
    raw = b": hi\n\n" + WORDS + stream.event("something_new", x=1)
    tap, _, out = tapped(raw)
    assert out == raw
    assert (tap.done, tap.whole, tap.end()) == (True, True, b"")
    told = tap.told
    assert (told.id, told.model, told.finish, told.output_bytes) == ("msg_up", "claude-opus-5", "end_turn", 5)
    assert told.usage == Usage(uncached=10, output=5)


def test_events_are_told_apart() -> None:
    _, sorts, _ = tapped(WORDS)
    assert sorts == [
        Sort.START,
        Sort.NOISE,
        Sort.START,
        Sort.CONTENT,
        Sort.CONTENT,
        Sort.START,
        Sort.CONTENT,
        Sort.DONE,
    ]
    assert stream.read(WORDS)[0] == sorts


@pytest.mark.parametrize(
    ("raw", "sort"),
    [
        (b": OPENROUTER PROCESSING\n\n", Sort.NOISE),
        (b"event: ping\n\n", Sort.NOISE),
        (stream.event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}), Sort.START),
        (stream.event("content_block_start", index=0, content_block={"type": "text", "text": "a"}), Sort.CONTENT),
        (
            stream.event("content_block_start", index=0, content_block={"type": "tool_use", "id": "a", "name": "f"}),
            Sort.CONTENT,
        ),
        (
            stream.event("content_block_start", index=0, content_block={"type": "redacted_thinking", "data": "x"}),
            Sort.CONTENT,
        ),
        (stream.event("message_delta", delta={}, usage={"output_tokens": 3}), Sort.USAGE),
        (stream.event("content_block_delta", index=0, delta={"type": "text_delta", "text": ""}), Sort.START),
        (
            stream.event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}),
            Sort.CONTENT,
        ),
    ],
)
def test_an_event_is_content_only_when_it_holds_some(raw: bytes, sort: Sort) -> None:
    assert tapped(raw)[1] == [sort]


@pytest.mark.parametrize("before", [b"", stream.start(), stream.start() + PING])
@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("overloaded_error", FaultKind.TRANSIENT),
        ("api_error", FaultKind.TRANSIENT),
        ("rate_limit_error", FaultKind.RATE),
        ("invalid_request_error", FaultKind.CALLER),
        ("authentication_error", FaultKind.KEY),
        ("permission_error", FaultKind.KEY),
        ("billing_error", FaultKind.KEY),
        ("not_found_error", FaultKind.MISSING),
        ("request_too_large", FaultKind.CALLER),
    ],
)
def test_an_error_event_before_content_is_a_fault_and_nothing_was_content(
    before: bytes, kind: str, wanted: FaultKind
) -> None:
    """Lesson 5: the caller has seen nothing yet, so another deployment may answer."""
    raw = before + stream.event("error", error={"type": kind, "message": "no"})
    assert fault(raw).kind is wanted
    if before:
        assert Sort.CONTENT not in tapped(before)[1]


def test_a_prompt_that_is_too_long_is_told_by_its_words() -> None:
    error = {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}
    assert fault(stream.start() + stream.event("error", error=error)).kind is FaultKind.CONTEXT


def test_an_error_event_without_a_type_in_its_data_is_one_all_the_same() -> None:
    assert fault(b'event: error\ndata: {"message":"no"}\n\n').kind is FaultKind.TRANSIENT


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"{",
        b"[1]",
        b"null",
        b"{}",
        b'{"type":5}',
        b'{"type":"x\xff"}',
        b'{"type":"ping","x":' + b"[" * 100_000,
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":5}}',
        b'{"type":"content_block_start","index":0,"content_block":[]}',
        b'{"type":"content_block_start","index":0}',
        b'{"type":"content_block_delta","index":0,"delta":"x"}',
        b'{"type":"message_start","message":[]}',
        b'{"type":"message_delta","usage":"x"}',
    ],
)
def test_what_is_not_of_the_protocol_is_garbage(data: bytes) -> None:
    assert fault(stream.start() + b"data: " + data + b"\n\n").kind is FaultKind.GARBAGE


@pytest.mark.parametrize(
    "raw",
    [
        stream.event("content_block_delta", index=7, delta={"type": "text_delta", "text": "a"}),
        stream.start() + stream.start(),
        stream.event("content_block_start", index=0, content_block={"type": "text", "text": ""}) * 2,
        stream.block(
            0,
            {"type": "server_tool_use", "id": "s", "name": "n", "input": {}},
            {"type": "input_json_delta", "partial_json": "{"},
        ),
    ],
)
def test_a_stream_that_contradicts_itself_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        stream.read(raw)
    assert caught.value.kind is FaultKind.GARBAGE


@pytest.mark.parametrize(
    "raw",
    [b"", stream.start(), stream.start() + stream.text(0, "a"), stream.start() + stream.call(0, "a", "f", '{"x"')],
)
def test_a_stream_that_ends_early_is_a_fault(raw: bytes) -> None:
    tap = tapped(raw)[0]
    assert (tap.whole, tap.end()) == (False, b"")
    with pytest.raises(Fault) as caught:
        stream.read(raw)
    assert (caught.value.kind, caught.value.sent) == (FaultKind.TRANSIENT, True)


def test_a_last_event_that_was_left_out_is_added() -> None:
    raw = WORDS.removesuffix(stream.event("message_stop"))
    tap = tapped(raw)[0]
    assert tap.whole and not tap.done
    assert tap.end() == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert stream.answer(raw) == stream.answer(WORDS)


def test_words_are_read() -> None:
    assert stream.answer(WORDS) == Answer(
        (Choice((Text("Hello"),), Finish.STOP),), "msg_up", "claude-opus-5", Usage(uncached=10, output=5)
    )


def test_the_message_opens_before_anything_else() -> None:
    pieces = stream.read(WORDS)[1]
    assert pieces[:2] == [Opened("msg_up", "claude-opus-5"), Counted(Usage(uncached=10, output=1))]


def test_parallel_calls_with_words_between_keep_every_argument() -> None:
    """Lesson 9: whole in one piece, in many, or none."""
    raw = stream.start() + stream.text(0, "I look.")
    raw += stream.call(1, "toolu_1", "f", "", '{"city"', ':"Par', 'is"}')
    raw += stream.text(2, "And there.")
    raw += stream.call(3, "toolu_2", "g", '{"a":[1,2]}')
    raw += stream.call(4, "toolu_3", "h")
    raw += stream.call(5, "toolu_4", "h", "")
    found = stream.answer(raw + stream.stop("tool_use")).choices[0]
    assert found == Choice(
        (
            Text("I look."),
            ToolCall("toolu_1", "f", '{"city":"Paris"}'),
            Text("And there."),
            ToolCall("toolu_2", "g", '{"a":[1,2]}'),
            ToolCall("toolu_3", "h", "{}"),
            ToolCall("toolu_4", "h", "{}"),
        ),
        Finish.TOOLS,
    )


def test_a_call_that_comes_whole_at_its_beginning_is_read() -> None:
    raw = stream.start() + stream.block(0, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}})
    assert stream.answer(raw + stream.stop("tool_use")).choices[0].parts == (ToolCall("a", "f", '{"x":1}'),)


def test_thoughts_keep_their_signatures_byte_for_byte() -> None:
    """Lesson 11, also those that are a signature and nothing else."""
    opening: dict[str, object] = {"type": "thinking", "thinking": "", "signature": ""}
    raw = stream.start()
    raw += stream.block(
        0,
        opening,
        {"type": "thinking_delta", "thinking": "I "},
        {"type": "thinking_delta", "thinking": "see", "estimated_tokens": None},
        {"type": "signature_delta", "signature": "EqQB+/=="},
    )
    raw += stream.block(1, opening, {"type": "signature_delta", "signature": "ErUB"})
    raw += stream.block(2, {"type": "redacted_thinking", "data": "EmwK"})
    raw += stream.text(3, "a") + stream.stop("end_turn")
    assert stream.answer(raw).choices[0].parts == (
        Thinking("I see", "EqQB+/=="),
        Thinking("", "ErUB"),
        Thinking(sealed="EmwK"),
        Text("a"),
    )
    assert tapped(raw)[0].told.artefacts == ["EqQB+/==", "ErUB", "EmwK"]


def test_what_only_anthropic_knows_comes_whole() -> None:
    raw = stream.start()
    raw += stream.block(
        0,
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query":'},
        {"type": "input_json_delta", "partial_json": '"x"}'},
    )
    raw += stream.block(1, {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []})
    citation = {"type": "web_search_result_location", "url": "https://x"}
    raw += stream.block(
        2,
        {"type": "text", "text": "", "citations": []},
        {"type": "citations_delta", "citation": citation},
        {"type": "text_delta", "text": "It is."},
    )
    found = stream.answer(raw + stream.stop("end_turn")).choices[0]
    assert found.finish is Finish.STOP
    use, result, text, cited = found.parts
    assert isinstance(use, Opaque) and msgspec.json.decode(use.raw)["input"] == {"query": "x"}
    assert isinstance(result, Opaque) and (result.origin, result.type) == (ANTHROPIC_MESSAGES, "web_search_tool_result")
    assert text == Text("It is.")
    assert isinstance(cited, Opaque) and msgspec.json.decode(cited.raw) == [citation]


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("stop_sequence", Finish.STOP_SEQUENCE),
        ("pause_turn", Finish.PAUSED),
        ("refusal", Finish.REFUSED),
        ("model_context_window_exceeded", Finish.CONTEXT),
        ("tool_use", Finish.STOP),
        ("a_new_word", Finish.STOP),
    ],
)
def test_the_reason_to_stop_is_read_the_same_streamed_or_not(word: str, finish: Finish) -> None:
    raw = stream.start() + stream.text(0, "a") + stream.stop(word)
    assert stream.answer(raw).choices[0].finish is finish
    whole = {"id": "m", "model": "c", "content": [{"type": "text", "text": "a"}], "stop_reason": word}
    answer, told = PROTOCOL.read_answer(msgspec.json.encode(whole))
    assert (answer.choices[0].finish, told.finish, answer.usage) == (finish, word, None)


def test_half_a_call_is_not_one_to_carry_out() -> None:
    raw = stream.start() + stream.call(0, "a", "f", '{"x":') + stream.stop("max_tokens")
    found = stream.answer(raw).choices[0]
    assert (found.finish, found.parts) == (Finish.LENGTH, (ToolCall("a", "f", '{"x":'),))


def test_the_stop_sequence_that_was_hit_is_kept() -> None:
    raw = stream.start() + stream.text(0, "a")
    raw += stream.event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": "END"}, usage={})
    found = stream.answer(raw + stream.event("message_stop")).choices[0]
    assert (found.finish, found.stop_sequence) == (Finish.STOP_SEQUENCE, "END")


def test_usage_is_cumulative_and_excludes_the_cache() -> None:
    """Lesson 19: parts that do not overlap, streamed or not."""
    usage = {
        "input_tokens": 12,
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "service_tier": "standard",
    }
    raw = stream.start(input_tokens=12, cache_read_input_tokens=300, cache_creation_input_tokens=40)
    raw += stream.text(0, "a")
    raw += stream.event(
        "message_delta",
        delta={"stop_reason": "end_turn"},
        usage={"output_tokens": 7, "cache_read_input_tokens": None, "output_tokens_details": {"thinking_tokens": 3}},
    )
    whole = {"content": [], "stop_reason": "end_turn", "usage": usage}
    wanted = Usage(uncached=12, cache_read=300, cache_write=40, output=7, reasoning=3)
    assert stream.answer(raw).usage == wanted
    assert tapped(raw)[0].told.usage == wanted
    assert PROTOCOL.read_told(msgspec.json.encode(whole)).usage == wanted
    assert wanted.input == 352


def test_usage_that_makes_no_sense_is_bounded() -> None:
    usage = {"input_tokens": -5, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 9}}
    whole = msgspec.json.encode({"content": [], "stop_reason": "end_turn", "usage": usage})
    assert PROTOCOL.read_told(whole).usage == Usage(output=2, reasoning=2)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", FaultKind.GARBAGE),
        (b"<html>", FaultKind.GARBAGE),
        (b"[]", FaultKind.GARBAGE),
        (b"{}", FaultKind.GARBAGE),
        (b'{"content":[{}]}', FaultKind.GARBAGE),
        (b'{"content":[{"type":"thinking","signature":5}]}', FaultKind.GARBAGE),
        (b'{"content":[],"model":"\xff"}', FaultKind.GARBAGE),
        (b'{"content":' + b"[" * 100_000, FaultKind.GARBAGE),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', FaultKind.TRANSIENT),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', FaultKind.RATE),
    ],
)
def test_an_answer_that_is_none_is_a_fault(raw: bytes, kind: FaultKind) -> None:
    for read in (PROTOCOL.read_answer, PROTOCOL.read_told):
        with pytest.raises(Fault) as caught:
            read(raw)
        assert caught.value.kind is kind


def test_names_that_were_made_legal_come_back() -> None:
    raw = stream.start() + stream.call(0, "toolu_1", "mcp__files_X1F_read_X2E_all", "{}") + stream.stop("tool_use")
    assert stream.answer(raw).choices[0].parts == (ToolCall("toolu_1", "read.all", "{}", namespace="mcp__files"),)


def test_artefacts_are_kept_for_as_long_as_they_are_few() -> None:
    raw = stream.start() + b"".join(stream.block(n, {"type": "redacted_thinking", "data": "x"}) for n in range(100))
    assert len(tapped(raw)[0].told.artefacts) == 64
