"""Streamed answers, put together from server-sent events cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from services.orchestrator.chunks import Answer, AnswerReader, AskedTool, ToolCallFunction


def chunk(delta: str, finish: str = "null") -> str:
    return f'data: {{"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}\n\n'


STREAM = (
    'data: {"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    ": keep-alive\n\n"
    + chunk('{"content":"Hel"}').replace("\n", "\r\n")
    + chunk('{"content":"lö"}')
    + chunk('{"tool_calls":[{"index":1,"id":"c2","function":{"name":"b","arguments":""}}]}')
    + chunk('{"tool_calls":[{"index":0,"id":"c1","function":{"name":"a","arguments":"{\\"x\\""}}]}')
    + chunk('{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}')
    + chunk("{}", '"tool_calls"')
    + 'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n'
    "data: [DONE]\n\n"
).encode()
ANSWER = Answer(
    text="Hellö",
    tool_calls=(AskedTool("c1", ToolCallFunction("a", '{"x":1}')), AskedTool("c2", ToolCallFunction("b", ""))),
    finish="tool_calls",
    model="m-1",
)


def read(*frames: bytes) -> tuple[str, Answer]:
    reader = AnswerReader(10_000)
    text = "".join(reader.feed(frame) for frame in frames)
    return text, reader.answer()


def test_text_tool_calls_and_the_end_are_read() -> None:
    assert read(STREAM) == ("Hellö", ANSWER)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_where_the_frames_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    frames = [STREAM[a:b] for a, b in pairwise(places)]
    assert read(*frames) == ("Hellö", ANSWER)


def test_a_last_line_without_its_newline_counts() -> None:
    assert read(b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}')[1].text == "hi"


def test_only_the_first_choice_is_read() -> None:
    assert read(b'data: {"choices":[{"index":1,"delta":{"content":"no"}}]}\n')[0] == ""


def test_tool_calls_without_id_and_index_are_told_apart_by_their_place() -> None:
    frame = chunk('{"tool_calls":[{"function":{"name":"a","arguments":"{}"}},{"function":{"name":"b"}}]}').encode()
    assert [(tool.id, tool.function.name) for tool in read(frame)[1].tool_calls] == [("call_0", "a"), ("call_1", "b")]


@pytest.mark.parametrize(
    "line",
    [
        b"data: {",
        b"data: 7",
        b'data: {"choices": 1}',
        b'data: {"choices":[{"delta":"x"}]}',
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}',
        b'data: {"other":' + b"[" * 2000,
    ],
)
def test_a_stream_that_cannot_be_read_is_the_upstreams_failure(line: bytes) -> None:
    with pytest.raises(Failure) as refused:
        read(line + b"\n")
    assert refused.value.code is Code.UPSTREAM


def test_an_error_in_the_middle_ends_the_answer() -> None:
    with pytest.raises(Failure) as refused:
        read(b'data: {"error":{"message":"secret text"}}\n')
    assert refused.value.code is Code.UPSTREAM
    assert "secret text" not in refused.value.detail


def test_an_answer_larger_than_its_limit_is_refused() -> None:
    reader = AnswerReader(100)
    reader.feed(b"x" * 100)
    with pytest.raises(Failure) as refused:
        reader.feed(b"x")
    assert refused.value.code is Code.TOO_LARGE
