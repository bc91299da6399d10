"""Whatever comes in, from callers or providers: refused with a reason or read, and never anything else."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Failure
from services.router.fault import Fault
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Target
from services.router.sse import SseParser
from tests.services.router.protocols.anthropic_messages import stream
from tests.services.router.protocols.anthropic_messages.requests import CLAUDE_CODE

TARGET = Target("claude-opus-5", "e", streamed=True)
ODD = [
    *(b"null", b"true", b"-1", b"0", b"10000000000000000000000000", b"1e300", b'""', b'"\\u0000"', b'"text"'),
    *(b'"tool_result"', b'"penstock.sealed.9.x"', b'"penstock.call.x"', b"[]", b"[null]", b"[[]]", b"{}"),
    *(b'{"type":null}', b'{"type":"text"}', b'{"type":"thinking"}', b'{"type":"tool_use","id":"a"}'),
]
"""What may stand where something else was meant."""
MESSAGE: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "x", "citations": [{"type": "char_location"}]},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "server_tool_use", "id": "b", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}},
}


@st.composite
def spoilt(draw: st.DrawFn, sound: dict[str, object]) -> dict[str, object]:
    """The value with something else in up to three places of it."""
    made = msgspec.json.decode(msgspec.json.encode(sound), type=dict[str, object])
    for _ in range(draw(st.integers(1, 3))):
        node: object = made
        for _ in range(draw(st.integers(0, 6))):
            inner = _inner(draw, node)
            if not isinstance(inner, dict | list) or not inner:
                break
            node = inner
        _spoil(draw, node)
    return made


def _inner(draw: st.DrawFn, node: object) -> object:
    if isinstance(node, dict):
        return node[draw(st.sampled_from(sorted(node)))]
    return node[draw(st.integers(0, len(node) - 1))] if isinstance(node, list) else None


def _spoil(draw: st.DrawFn, node: object) -> None:
    if isinstance(node, dict) and node:
        node[draw(st.sampled_from(sorted(node)))] = msgspec.json.decode(draw(st.sampled_from(ODD)))
    elif isinstance(node, list) and node:
        node[draw(st.integers(0, len(node) - 1))] = msgspec.json.decode(draw(st.sampled_from(ODD)))


@given(spoilt(CLAUDE_CODE))
def test_a_request_with_anything_in_any_place_is_read_or_refused(fields: dict[str, object]) -> None:
    try:
        body = PROTOCOL.read(msgspec.json.encode(fields))
        body.for_upstream(TARGET)
        PROTOCOL.write_prompt(body.prompt(), TARGET, Losses())
    except Failure as refusal:
        assert refusal.detail


@given(spoilt(MESSAGE))
def test_an_answer_with_anything_in_any_place_is_read_or_a_fault(fields: dict[str, object]) -> None:
    raw = msgspec.json.encode(fields)
    try:
        answer, told = PROTOCOL.read_answer(raw)
    except Fault as fault:
        assert fault.detail
    else:
        assert PROTOCOL.read_told(raw) == told
        PROTOCOL.write_answer(answer, stream.SHAPE, Losses())


@given(st.data())
def test_a_stream_with_anything_in_any_place_is_read_or_a_fault(data: st.DataObject) -> None:
    sound = stream.start() + stream.text(0, "a") + stream.call(1, "b", "f", "{}") + stream.stop("tool_use")
    events = [
        msgspec.json.decode(event.data or b"", type=dict[str, object]) for event in SseParser(1 << 20).feed(sound)
    ]
    at = data.draw(st.integers(0, len(events) - 1))
    events[at] = data.draw(spoilt(events[at]))
    if data.draw(st.booleans()):
        del events[data.draw(st.integers(0, len(events) - 1))]
    raw = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    tap = PROTOCOL.tap(strip_usage=False)
    try:
        for event in SseParser(1 << 20).feed(raw):
            tap.read(event)
        stream.write(stream.read(raw)[1])
    except Fault as fault:
        assert fault.detail


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for data in (raw, b'{"messages":[' + raw + b"]}", b'{"content":[' + raw + b"]}"):
        try:
            PROTOCOL.read(data).prompt()
        except Failure as refusal:
            assert refusal.detail
        try:
            PROTOCOL.read_answer(data)
        except Fault as fault:
            assert fault.detail
