"""Requests that are huge, deep or cut short end as they should, and in time."""

import tracemalloc
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from services.router.fault import Fault
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import Media
from services.router.sse import SseEvent
from tests.services.router.protocols.openai_chat.wire import TARGET, Json, prompt_of, turns_of, within, written

MIB = 1024 * 1024


def test_fifty_mebibytes_of_images_are_copied_once_into_the_prompt_and_never_decoded() -> None:
    url = "data:image/png;base64," + "iVBORw0K" * (MIB // 8)
    content = [{"type": "image_url", "image_url": {"url": url}}] * 50
    raw = msgspec.json.encode({"messages": [{"role": "user", "content": content}]})
    body = PROTOCOL.read(raw)
    assert body.needs.images
    assert body.size.images == 50
    tracemalloc.start()
    prompt = body.prompt()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    first = prompt.turns[0].parts[0]
    assert isinstance(first, Media)
    assert len(first.data) == MIB
    assert peak < 55 * MIB


def test_ten_thousand_tools_are_read_and_written() -> None:
    tools = [{"type": "function", "function": {"name": f"tool_{at}", "parameters": {}}} for at in range(10_000)]
    prompt = prompt_of(tools=tools)
    assert len(prompt.tools) == 10_000
    assert within(written(prompt)["tools"], 9_999, "function", "name") == "tool_9999"


def test_ten_thousand_calls_and_their_results_are_paired() -> None:
    calls = [{"id": "same", "function": {"name": "f", "arguments": "{}"}}] * 10_000
    results: list[Json] = [{"role": "tool", "tool_call_id": "same", "content": "x"}] * 10_000
    turns = turns_of({"role": "assistant", "tool_calls": calls}, *results).turns
    assert len(turns[0].parts) == len(turns[1].parts) == 10_000


def test_a_prompt_of_a_hundred_thousand_tokens_is_carried() -> None:
    text = "word " * 100_000
    assert within(written(turns_of({"role": "user", "content": text}))["messages"], 0, "content") == text


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[{"role":"user","content":%b}]}',
        b'{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":%b}}]}',
        b'{"messages":[],"stop":%b}',
        b'{"messages":%b}',
    ],
)
def test_nesting_without_end_is_refused(raw: bytes) -> None:
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(raw % (b"[" * 100_000 + b"]" * 100_000)).prompt()
    assert caught.value.code is Code.INVALID


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(b'{"messages":[{"role":"user","content":"\xff"}]}').prompt()
    assert caught.value.code is Code.INVALID


def test_a_name_as_long_as_the_request_is_not_repeated_in_the_failure() -> None:
    with pytest.raises(Failure) as caught:
        prompt_of(metadata={"x" * 10_000: 5}, response_format={"type": "json_schema", "json_schema": {"schema": 5}})
    assert len(str(caught.value)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "id", "function", "name", "arguments", "index", "url"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FIELDS = ["messages", "tools", "tool_choice", "stop", "response_format", "reasoning", "metadata", "n", "functions"]


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(_FIELDS), json_values), st.lists(json_values, max_size=3))
def test_any_json_is_a_prompt_or_a_failure_that_says_invalid(fields: dict[str, object], messages: list[object]) -> None:
    try:
        prompt = PROTOCOL.read(msgspec.json.encode({"messages": messages} | fields)).prompt()
    except Failure as failure:
        assert failure.code is Code.INVALID
    else:
        assert PROTOCOL.write_prompt(prompt, TARGET, Losses())


@settings(deadline=None, max_examples=150)
@given(json_values, json_values)
def test_any_json_is_an_answer_or_a_fault(delta: object, other: object) -> None:
    for body in (delta, {"choices": [{"message": delta, "finish_reason": other}]}, {"choices": other, "usage": delta}):
        with suppress(Fault):
            PROTOCOL.read_answer(msgspec.json.encode(body))
    for chunk in (other, {"choices": [{"delta": delta}]}, {"choices": other, "usage": delta}):
        raw = msgspec.json.encode(chunk)
        reader = PROTOCOL.reader()
        with suppress(Fault):
            reader.read(SseEvent(b"data: " + raw + b"\n\n", raw))
            reader.end()


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_an_answer_or_a_refusal(raw: bytes) -> None:
    try:
        PROTOCOL.read(raw).prompt()
    except Failure as failure:
        assert failure.code is Code.INVALID
    with suppress(Fault):
        PROTOCOL.tap(strip_usage=True).read(SseEvent(raw, raw))
        PROTOCOL.reader().read(SseEvent(raw, raw))
