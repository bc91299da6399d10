"""Requests, answers and streams in which anything may stand anywhere: refused by name, or a Fault, and nothing else."""

import copy

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from services.router.fault import Fault
from services.router.protocols.fold import Fold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.body import read_body
from services.router.protocols.openai_responses.history import Segment
from services.router.protocols.openai_responses.reader import ResponsesReader
from services.router.protocols.openai_responses.tap import ResponsesTap
from services.router.protocols.openai_responses.writer import ResponsesWriter
from services.router.protocols.protocol import Shape, Target
from tests.services.router.protocols.openai_responses.wire import CODEX, STREAM, encoded, parsed, response, sse

TARGET = Target("gpt", "openai", streamed=True)
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8"), max_size=10),
        st.sampled_from(["message", "function_call", "reasoning", "input_image", "output_text", "call_1", "namespace"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def places(value: object) -> list[list[str | int]]:
    """Paths to all that stands in a document."""
    found: list[list[str | int]] = [[]]
    if isinstance(value, dict):
        found += [[key, *path] for key, inner in value.items() for path in places(inner)]
    if isinstance(value, list):
        found += [[at, *path] for at, inner in enumerate(value) for path in places(inner)]
    return found


def changed(document: object, path: list[str | int], put: object) -> object:
    if not path:
        return put
    made = copy.copy(document)
    if isinstance(made, dict) and isinstance(path[0], str):
        made[path[0]] = changed(made[path[0]], path[1:], put)
    if isinstance(made, list) and isinstance(path[0], int):
        made[path[0]] = changed(made[path[0]], path[1:], put)
    return made


def broken(document: object, times: int = 2) -> st.SearchStrategy[object]:
    """The document with other things in a few places."""
    made = st.just(document)
    for _ in range(times):
        made = made.flatmap(
            lambda found: st.builds(
                lambda path, put: changed(found, path, put), st.sampled_from(places(found)), anything
            )
        )
    return made


@settings(max_examples=100)
@given(broken(CODEX))
def test_a_request_is_read_or_refused(request: object) -> None:
    try:
        body = read_body(encoded(request))
        body.for_upstream(TARGET)
        losses = Losses()
        prompt = body.prompt()
        written = PROTOCOL.write_prompt(prompt, TARGET, losses)
    except Failure as failure:
        assert failure.code in (Code.INVALID, Code.NOT_FOUND)
        assert failure.detail
        return
    msgspec.json.decode(written)


@settings(max_examples=60)
@given(broken(CODEX["input"]))
def test_a_stored_history_may_hold_anything(items: object) -> None:
    raws = tuple([msgspec.Raw(encoded(item)) for item in items]) if isinstance(items, list) else ()
    segments = [Segment("resp_1", "openai", raws, raws)]
    body = read_body(encoded({"input": "Hi", "previous_response_id": "resp_1"})).continued(segments, {})
    msgspec.json.decode(body.for_upstream(TARGET))
    try:
        body.honoured_at("elsewhere").prompt()
    except Failure as failure:
        assert failure.code is Code.INVALID


@settings(max_examples=100)
@given(broken(list(STREAM)))
def test_a_stream_is_read_or_a_fault(events: object) -> None:
    data = (
        [event for event in events if isinstance(event, dict) and isinstance(event.get("type"), str)]
        if (isinstance(events, list))
        else []
    )
    reader, tap, folding = ResponsesReader(), ResponsesTap(), Fold()
    writer = ResponsesWriter(Shape("m", "resp_x", 1), Losses())
    written: list[bytes] = []
    try:
        for event in parsed(sse(*data)):
            for piece in reader.read(event)[1]:
                folding.take(piece)
                written.append(writer.write(piece))
        reader.end()
    except Fault:
        return
    finally:
        try:
            for event in parsed(sse(*data)):
                tap.read(event)
        except Fault:
            pass
    written.append(writer.end())
    assert PROTOCOL.read_answer(writer.response)[0].choices[0].finish is folding.answer.choices[0].finish


@settings(max_examples=60)
@given(broken(response()))
def test_a_whole_answer_is_read_or_a_fault(whole: object) -> None:
    try:
        answer, _ = PROTOCOL.read_answer(encoded(whole))
    except Fault:
        return
    PROTOCOL.write_answer(answer, Shape("m", "resp_x", 1), Losses())
