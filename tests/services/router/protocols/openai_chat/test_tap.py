"""What an answer says is read off its bytes, which go on as they are."""

import pytest

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.openai_chat.tap import ChatTap, read_told
from services.router.protocols.protocol import Sort
from services.router.sse import SseEvent, SseParser
from tests.support.model_server import chunk, error_event, event, usage_chunk


def read(*raw: bytes, strip: bool = True) -> tuple[list[tuple[Sort, bytes]], ChatTap]:
    tap = ChatTap(strip_usage=strip)
    return [tap.read(each) for each in SseParser(100_000).feed(b"".join(raw))], tap


def test_a_role_an_empty_text_and_an_empty_list_are_no_content() -> None:
    sorts, _ = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"role": "assistant", "content": None, "tool_calls": [], "refusal": None}),
        event({"choices": [], "prompt_filter_results": []}),
        event({"choices": None}),
    )
    assert [sort for sort, _ in sorts] == [Sort.START] * 4


@pytest.mark.parametrize(
    "delta",
    [
        {"content": " "},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]},
        {"refusal": "no"},
        {"reasoning_content": "hm"},
        {"some_new_kind": {"a": 1}},
    ],
)
def test_anything_else_in_a_delta_is_content(delta: dict[str, object]) -> None:
    sorts, tap = read(chunk(delta))
    assert [sort for sort, _ in sorts] == [Sort.CONTENT]
    assert tap.told.output_bytes > 0


def test_the_bytes_of_chunks_are_not_touched() -> None:
    raw = b'data: {"choices":[{"index":0,"delta":{"content":"\\u00e9"}}],  "x_new": 1.00}\n\n'
    sorts, _ = read(raw)
    assert sorts == [(Sort.CONTENT, raw)]


def test_the_usage_chunk_is_taken_out_when_the_caller_did_not_ask() -> None:
    sorts, tap = read(usage_chunk(100, 20, 80))
    assert sorts == [(Sort.USAGE, b"")]
    assert tap.told.usage == Usage(uncached=20, cache_read=80, output=20)


def test_the_usage_chunk_stays_when_the_caller_asked() -> None:
    sorts, tap = read(usage_chunk(100, 20, 80), chunk({"content": "x"}, counted=True), strip=False)
    assert sorts == [(Sort.USAGE, usage_chunk(100, 20, 80)), (Sort.CONTENT, chunk({"content": "x"}, counted=True))]
    assert tap.told.usage == Usage(uncached=20, cache_read=80, output=20)


def test_null_usage_in_other_chunks_is_cut_out_when_the_caller_did_not_ask() -> None:
    sorts, _ = read(chunk({"content": "x"}, counted=True))
    assert sorts == [(Sort.CONTENT, chunk({"content": "x"}))]


def test_usage_in_the_last_content_chunk_is_read_and_cut_out() -> None:
    both = chunk({"content": "x"}, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2})
    sorts, tap = read(both)
    assert sorts == [(Sort.CONTENT, chunk({"content": "x"}, "stop"))]
    assert tap.told.usage == Usage(uncached=4, output=2)


def test_usage_that_grows_from_chunk_to_chunk_is_the_last_one() -> None:
    _, tap = read(
        chunk({"content": "x"}, usage={"prompt_tokens": 4, "completion_tokens": 1}),
        chunk({"content": "y"}, usage={"prompt_tokens": 4, "completion_tokens": 2}),
    )
    assert tap.told.usage == Usage(uncached=4, output=2)


def test_the_end_the_reason_and_the_model_are_read() -> None:
    sorts, tap = read(chunk({"content": "x"}), chunk({}, "length"), b"data: [DONE]\n\n")
    assert [sort for sort, _ in sorts] == [Sort.CONTENT, Sort.CONTENT, Sort.DONE]
    assert (tap.told.finish, tap.told.model, tap.done) == ("length", "upstream-model-1", True)


def test_lesson_7_comments_pass_as_comments_and_are_noise() -> None:
    sorts, _ = read(b": PROCESSING\n\n")
    assert sorts == [(Sort.NOISE, b": PROCESSING\n\n")]


def test_json_of_another_shape_passes_as_content() -> None:
    sorts, _ = read(event({"choices": "many"}), event([1, 2]))
    assert [sort for sort, _ in sorts] == [Sort.CONTENT, Sort.CONTENT]


@pytest.mark.parametrize(
    "raw",
    [
        error_event("Overloaded"),
        b'event: error\ndata: {"message":"x"}\n\n',
        b'data: {"object":"error","message":"x","code":500}\n\n',
        b'data: {"id":"","choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502,"message":"x"}}\n\n',
    ],
)
def test_an_error_event_is_a_fault(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read(raw)
    assert caught.value.kind is FaultKind.TRANSIENT


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{} {}",
        b"\xff",
        b'{"choices":[{"delta":{"content":1}}',
        b"nope",
        b'{"choices":5',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"other":' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_garbage(data: bytes) -> None:
    with pytest.raises(Fault) as caught:
        ChatTap(strip_usage=True).read(SseEvent(b"", data))
    assert caught.value.kind is FaultKind.GARBAGE


def test_a_plain_answer_is_read() -> None:
    told = read_told(
        b'{"model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":3}}'
    )
    assert (told.model, told.finish, told.usage) == ("m", "stop", Usage(uncached=9, output=3))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<html>",
        b'{"choices":[]}',
        b'{"choices":[{}]',
        b"[]",
        b'{"choices":{}}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'{"choices":' + b"[" * 100_000,
    ],
)
def test_a_plain_answer_that_is_no_completion_is_garbage(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_told(body)
    assert caught.value.kind is FaultKind.GARBAGE


def test_an_error_inside_a_plain_answer_is_a_fault() -> None:
    with pytest.raises(Fault) as caught:
        read_told(b'{"error":{"message":"try later","code":"rate_limit_exceeded"}}')
    assert caught.value.kind is FaultKind.RATE


def test_usage_of_another_shape_is_no_reason_to_lose_the_answer() -> None:
    told = read_told(b'{"choices":[{"finish_reason":"stop"}],"usage":null}')
    assert told.usage is None
    assert told.usage_or_guess(10).estimated


def test_a_stream_that_was_not_ended_is_ended_for_the_caller() -> None:
    _, tap = read(chunk({"content": "x"}, "stop"))
    assert (tap.whole, tap.end()) == (True, b"data: [DONE]\n\n")
    _, tap = read(chunk({"content": "x"}, "stop"), b"data: [DONE]\n\n")
    assert (tap.whole, tap.end()) == (True, b"")


def test_a_stream_without_a_reason_to_stop_is_whole_only_when_content_was_ended() -> None:
    assert not read(chunk({"content": "x"}))[1].whole
    assert read(chunk({"content": "x"}), b"data: [DONE]\n\n")[1].whole
    assert not read(b"data: [DONE]\n\n")[1].whole


def test_signatures_are_kept_as_artefacts_and_texts_that_look_like_them_are_not() -> None:
    signed = {"index": 0, "id": "c", "extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    _, tap = read(chunk({"tool_calls": [signed]}), chunk({"content": '"signature": "no"'}))
    assert tap.told.artefacts == ["c2lnbmVk"]
    assert read_told(b'{"choices":[{"message":{"reasoning_details":[{"signature":"abc"}]}}]}').artefacts == ["abc"]
