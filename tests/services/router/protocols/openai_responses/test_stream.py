"""Streams of OpenAI's, read in passing and read into pieces, and streams that break."""

import msgspec
import pytest

from penstock.contracts.llm import OPENAI_RESPONSES, Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.fold import fold
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.reader import ResponsesReader
from services.router.protocols.openai_responses.tap import ResponsesTap
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Sort
from tests.services.router.protocols.openai_responses.wire import (
    CALLED,
    SAID,
    SEARCH,
    STREAM,
    THOUGHT,
    Json,
    at,
    encoded,
    parsed,
    response,
    sse,
)

START = STREAM[:2]
ANSWER = Answer(
    (
        Choice(
            (
                Opaque(OPENAI_RESPONSES, "web_search_call", msgspec.Raw(encoded(SEARCH))),
                Thinking("First.\n\nThen.", sealed="gAAAA2", id="rs_1"),
                Text("It is dry."),
                ToolCall("call_1", "look", '{"at":"Rome"}'),
            ),
            Finish.TOOLS,
        ),
    ),
    "resp_1",
    "gpt-5.3-2026-06-01",
    Usage(uncached=40, cache_read=60, output=30, reasoning=20),
)


def read(*events: Json) -> tuple[Answer, ResponsesReader]:
    reader = ResponsesReader()
    pieces = [piece for event in parsed(sse(*events)) for piece in reader.read(event)[1]]
    return fold([*pieces, *reader.end()]), reader


def tapped(*events: Json) -> tuple[bytes, ResponsesTap]:
    tap = ResponsesTap()
    return b"".join([tap.read(event)[1] for event in parsed(sse(*events))]) + tap.end(), tap


def only(item: object) -> Json:
    return {"type": "response.completed", "response": response(output=[item])}


def fault(*events: Json) -> Fault:
    """The same of a reader and of a tap."""
    found = []
    for one in (read, tapped):
        with pytest.raises(Fault) as caught:
            one(*events)
        found.append(caught.value)
    assert (found[0].kind, found[0].detail) == (found[1].kind, found[1].detail)
    return found[0]


def test_a_stream_and_the_whole_say_the_same() -> None:
    answer, reader = read(*STREAM)
    assert answer == ANSWER
    whole, told = PROTOCOL.read_answer(encoded(response()))
    assert whole == ANSWER
    for said in (told, reader.told, tapped(*STREAM)[1].told, PROTOCOL.read_told(encoded(response()))):
        assert (said.usage, said.finish, said.model) == (ANSWER.usage, "completed", "gpt-5.3-2026-06-01")
        assert (said.id, said.artefacts) == ("resp_1", ["gAAAA2"])
        assert said.output_bytes > 0


def test_a_tap_passes_every_byte_and_keeps_the_whole_response() -> None:
    stream, tap = tapped(*STREAM)
    assert stream == sse(*STREAM)
    assert tap.done and tap.whole
    assert msgspec.json.decode(tap.response) == response()


def test_the_last_event_waits_until_the_answer_can_be_kept() -> None:
    tap = ResponsesTap()
    *_, last = [tap.read(event) for event in parsed(sse(*STREAM))]
    assert last == (Sort.DONE, b"")
    assert tap.end().startswith(b"event: response.completed\n")
    assert tap.end() == b""


def test_what_the_last_event_leaves_out_is_kept_from_the_others() -> None:
    _, tap = tapped(*STREAM[:-1], {"type": "response.completed", "response": response(output=None)})
    assert msgspec.json.decode(tap.response) == response()


def test_events_are_sorted_by_whether_the_model_has_spoken() -> None:
    tap, reader = ResponsesTap(), ResponsesReader()
    sorts = [(str(event.name.decode()), tap.read(event)[0]) for event in parsed(sse(*STREAM))]
    assert [sort for _, sort in sorts] == [reader.read(event)[0] for event in parsed(sse(*STREAM))]
    content = [name for name, sort in sorts if sort is Sort.CONTENT]
    start = [name for name, sort in sorts if sort is Sort.START]
    assert start == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.added",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert "response.output_text.delta" in content and "response.output_item.added" in content
    noise = ResponsesTap().read(parsed(b": keep-alive\n\n")[0])
    assert noise == (Sort.NOISE, b": keep-alive\n\n")
    assert ResponsesTap().read(parsed(b'data: {"type":"keepalive"}\n\n')[0])[0] is Sort.NOISE


def test_an_empty_delta_is_no_content() -> None:
    event = at(0, "msg_1", "output_text.delta", content_index=0, delta="")
    assert ResponsesTap().read(parsed(sse(event))[0])[0] is Sort.START
    assert ResponsesReader().read(parsed(sse(event))[0])[0] is Sort.START


def test_what_was_left_out_of_the_deltas_comes_from_the_finished_items() -> None:
    done = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate([SEARCH, THOUGHT, SAID, CALLED])
    ]
    assert read(*START, *done, STREAM[-1])[0] == ANSWER


def test_what_was_left_out_of_all_events_comes_from_the_last() -> None:
    assert read(*START, STREAM[-1])[0] == ANSWER
    assert read(STREAM[-1])[0].choices == ANSWER.choices


def test_arguments_that_a_provider_writes_anew_at_the_end_are_not_told_twice() -> None:
    spaced = CALLED | {"arguments": '{"at": "Rome"}'}
    events = [event for event in STREAM if event["type"] != "response.output_item.done"][:-1]
    done: Json = {"type": "response.output_item.done", "output_index": 3, "item": spaced}
    last: Json = {"type": "response.completed", "response": response(output=[SEARCH, THOUGHT, SAID, spaced])}
    answer, _ = read(*events, done, last)
    assert ToolCall("call_1", "look", '{"at":"Rome"}') in answer.choices[0].parts


def test_a_call_that_is_not_named_at_once_is_told_when_it_is_finished() -> None:
    nameless: Json = {"type": "function_call", "id": "fc_1"}
    answer, _ = read(
        *START,
        {"type": "response.output_item.added", "output_index": 0, "item": nameless},
        at(0, "fc_1", "function_call_arguments.delta", delta='{"at":"Rome"}'),
        {"type": "response.output_item.done", "output_index": 0, "item": CALLED},
        {"type": "response.completed", "response": response(output=[CALLED])},
    )
    assert answer.choices == (Choice((ToolCall("call_1", "look", '{"at":"Rome"}'),), Finish.TOOLS),)


@pytest.mark.parametrize(
    "late",
    [
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "more"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 1, "delta": "more"},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "more"},
    ],
)
def test_what_comes_for_an_item_that_is_finished_is_no_part_of_it(late: Json) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    done: Json = {"type": "response.output_item.done", "output_index": 0, "item": call}
    last: Json = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [call]}}
    answer, _ = read(done, late, last)
    assert answer.choices[0].parts == (ToolCall("c1", "f", "{}"),)


def test_a_message_of_several_contents_is_read() -> None:
    contents = [{"type": "output_text", "text": "A", "annotations": []}, {"type": "refusal", "refusal": "No."}]
    answer, _ = read(
        *START,
        {"type": "response.output_item.added", "output_index": 0, "item": SAID | {"content": []}},
        at(0, "msg_1", "output_text.delta", content_index=0, delta="A"),
        at(0, "msg_1", "refusal.delta", content_index=1, delta="No"),
        {"type": "response.output_item.done", "output_index": 0, "item": SAID | {"content": contents}},
        {"type": "response.completed", "response": response(output=[SAID | {"content": contents}])},
    )
    assert answer.choices == (Choice((Text("A"), Refusal("No.")), Finish.REFUSED),)


def test_calls_that_grow_side_by_side_are_told_apart() -> None:
    first, second = CALLED, CALLED | {"id": "fc_2", "call_id": "call_2", "arguments": "{}", "namespace": "mcp"}
    answer, _ = read(
        *START,
        {"type": "response.output_item.added", "output_index": 0, "item": first | {"arguments": ""}},
        {"type": "response.output_item.added", "output_index": 1, "item": second | {"arguments": ""}},
        at(1, "fc_2", "function_call_arguments.delta", delta="{}"),
        at(0, "fc_1", "function_call_arguments.delta", delta='{"at":"Rome"}'),
        {"type": "response.output_item.done", "output_index": 1, "item": second},
        {"type": "response.output_item.done", "output_index": 0, "item": first},
        {"type": "response.completed", "response": response(output=[first, second])},
    )
    assert answer.choices[0].parts == (
        ToolCall("call_1", "look", '{"at":"Rome"}'),
        ToolCall("call_2", "mcp__look", "{}", namespace="mcp"),
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", Finish.LENGTH), ("content_filter", Finish.FILTERED), (None, Finish.LENGTH)],
)
def test_an_answer_that_was_cut_says_why(reason: str | None, finish: Finish) -> None:
    cut = response(status="incomplete", incomplete_details=reason and {"reason": reason}, output=[SAID])
    answer, reader = read(*START, {"type": "response.incomplete", "response": cut})
    assert answer.choices == (Choice((Text("It is dry."),), finish),)
    assert reader.told.finish == (reason or "incomplete")
    assert PROTOCOL.read_answer(encoded(cut))[0] == answer


def test_a_call_is_told_as_one_even_where_the_answer_was_cut() -> None:
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[CALLED])
    assert PROTOCOL.read_answer(encoded(cut))[0].choices[0].finish is Finish.TOOLS


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "Oops"}, FaultKind.TRANSIENT),
        ({"code": "rate_limit_exceeded", "message": "Slow down"}, FaultKind.RATE),
        ({"code": "invalid_prompt", "message": "No"}, FaultKind.CALLER),
        ({"code": "context_length_exceeded", "message": "Too long"}, FaultKind.CONTEXT),
    ],
)
def test_a_response_that_failed_is_a_fault(error: Json, kind: FaultKind) -> None:
    failed = response(status="failed", error=error, output=[])
    assert fault(*START, {"type": "response.failed", "response": failed}).kind is kind
    assert fault(*START, {"type": "error"} | error).kind is kind
    assert fault(*START, {"type": "error", "error": error}).kind is kind
    for read_whole in (PROTOCOL.read_answer, PROTOCOL.read_told):
        with pytest.raises(Fault) as caught:
            read_whole(encoded(failed))
        assert caught.value.kind is kind


def test_a_failure_before_content_comes_after_starting_events_alone() -> None:
    tap = ResponsesTap()
    assert [tap.read(event)[0] for event in parsed(sse(*START))] == [Sort.START, Sort.START]


def test_a_stream_that_ends_early_is_not_whole() -> None:
    reader, tap = ResponsesReader(), ResponsesTap()
    for event in parsed(sse(*STREAM[:-1])):
        reader.read(event)
        tap.read(event)
    assert not tap.whole and tap.response == b"" and tap.end() == b""
    with pytest.raises(Fault) as caught:
        reader.end()
    assert caught.value.kind is FaultKind.TRANSIENT


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[1]",
        b'"x"',
        b'{"type":5}',
        b'{"type":"\xff"}',
        b'{"type":"response.output_text.delta","delta":' + b"[" * 100_000,
        b'{"type":"response.completed","response":5}',
        b'{"type":"response.completed"}',
        b'{"type":"response.completed","response":{"status":"in_progress"}}',
    ],
)
def test_garbage_in_a_stream_is_a_fault(data: bytes) -> None:
    for one in (ResponsesReader(), ResponsesTap()):
        with pytest.raises(Fault) as caught:
            one.read(parsed(b"data: " + data + b"\n\n")[0])
        assert caught.value.kind in (FaultKind.GARBAGE, FaultKind.TRANSIENT)


@pytest.mark.parametrize(
    "item", [5, {"type": "function_call"}, {"type": "message", "content": 5}, {"type": "reasoning", "summary": 5}]
)
def test_items_that_are_none_are_garbage(item: object) -> None:
    for whole in (lambda: PROTOCOL.read_answer(encoded(response(output=[item]))), lambda: read(only(item))):
        with pytest.raises(Fault) as caught:
            whole()
        assert caught.value.kind is FaultKind.GARBAGE


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"{}", b'{"object":"response"}', b"<html>", b'{"output":5}'])
def test_what_is_no_response_is_garbage(said: bytes) -> None:
    for read_whole in (PROTOCOL.read_answer, PROTOCOL.read_told):
        with pytest.raises(Fault) as caught:
            read_whole(said)
        assert caught.value.kind is FaultKind.GARBAGE


def test_usage_that_cannot_be_read_is_none() -> None:
    for usage in (None, 5, {"input_tokens": "many"}):
        assert PROTOCOL.read_told(encoded(response(usage=usage))).usage is None


def test_reasoning_that_tells_nothing_is_no_part() -> None:
    empty = {"type": "reasoning", "id": "rs_1", "summary": []}
    answer, _ = read(
        *START,
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {"type": "response.output_item.done", "output_index": 0, "item": empty},
        {"type": "response.completed", "response": response(output=[empty, SAID])},
    )
    assert answer.choices[0].parts == (Text("It is dry."),)


def test_the_words_of_an_open_models_thoughts_are_read() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    answer, _ = read(
        *START,
        {"type": "response.output_item.added", "output_index": 0, "item": thought | {"content": []}},
        at(0, "rs_1", "reasoning_text.delta", content_index=0, delta="H"),
        at(0, "rs_1", "reasoning_text.delta", content_index=0, delta="m."),
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.completed", "response": response(output=[thought])},
    )
    assert answer.choices[0].parts == (Thinking("Hm.", id="rs_1"),)
