"""Streams of Gemini: read into pieces, written from pieces, passed on."""

import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Begun, Choice, Ended, Finish, Finished, Grown, Opened, Piece
from services.router.protocols.fold import fold, unfold
from services.router.protocols.gemini_generate import PROTOCOL
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape, Sort
from services.router.sse import SseEvent, SseParser
from tests.services.router.protocols.gemini_generate.test_answer import plain
from tests.services.router.protocols.gemini_generate.unhurried import unhurried
from tests.services.router.protocols.neutral import answers

LIMIT = 1 << 20


def stream_of(answer: Answer) -> bytes:
    writer = PROTOCOL.writer(Shape(answer.model, "x", 0), Losses())
    return b"".join([*[writer.write(piece) for piece in unfold(answer)], writer.end()])


def events(pieces: Sequence[bytes]) -> Iterator[SseEvent]:
    parser = SseParser(LIMIT)
    for piece in pieces:
        yield from parser.feed(piece)
    yield from parser.finish()


def pieces_of(stream: Sequence[bytes]) -> list[Piece]:
    reader = PROTOCOL.reader()
    pieces: list[Piece] = []
    for event in events(stream):
        pieces += reader.read(event)[1]
    return [*pieces, *reader.end()]


def sse(*bodies: object) -> bytes:
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)


def chunk(*parts: object, reason: str = "", **more: object) -> dict[str, object]:
    ended = {"finishReason": reason} if reason else {}
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **ended}], **more}


def read(*bodies: object) -> Answer:
    return fold(pieces_of([sse(*bodies)]))


@unhurried
@given(answers(thinking=True, choices_max=3).map(plain))
def test_a_stream_that_is_written_and_read_is_the_same_answer(answer: Answer) -> None:
    assert fold(pieces_of([stream_of(answer)])) == answer


@unhurried
@given(answers(thinking=True).map(plain))
def test_a_stream_is_the_same_however_it_is_cut(answer: Answer) -> None:
    raw = stream_of(answer)
    assert fold(pieces_of([raw[at : at + 1] for at in range(len(raw))])) == answer
    step = max(len(raw) // 50, 1)
    for at in range(0, len(raw), step):
        assert fold(pieces_of([raw[:at], raw[at:]])) == answer
    assert fold(pieces_of([raw.replace(b"\n", b"\r\n")])) == answer
    assert fold(pieces_of([raw.rstrip(b"\n")])) == answer


@unhurried
@given(answers(thinking=True, choices_max=2).map(plain))
def test_a_stream_and_a_whole_answer_say_the_same(answer: Answer) -> None:
    whole = PROTOCOL.write_answer(answer, Shape(answer.model, "x", 0), Losses())
    assert fold(pieces_of([stream_of(answer)])) == PROTOCOL.read_answer(whole)[0]


@st.composite
def torn(draw: st.DrawFn) -> tuple[list[Piece], Answer]:
    """An answer whose parts grow in many pieces, calls at the same time."""
    answer = plain(draw(answers(thinking=True)))
    pieces: list[Piece] = [Opened(answer.id, answer.model)]
    calls: list[Piece] = []
    parts = answer.choices[0].parts
    for number, part in enumerate(parts):
        match part:
            case Text():
                at = draw(st.integers(0, len(part.text)))
                pieces += [Begun(Text(part.text[:at]), number), Grown(number, text=part.text[at:]), Ended(number)]
            case Thinking():
                pieces += [Begun(Thinking(), number), Grown(number, text=part.text)]
                pieces += [Grown(number, signature=letter) for letter in part.signature]
                pieces.append(Ended(number))
            case ToolCall():
                pieces.append(Begun(ToolCall(part.id, part.name), number))
                calls += [Grown(number, arguments=letter) for letter in part.arguments]
            case _:
                pass
    ends = [Ended(number) for number, part in enumerate(parts) if isinstance(part, ToolCall)]
    order = sorted(calls, key=lambda _: draw(st.just(0)))
    return [*pieces, *order, *ends, Finished(answer.choices[0].finish)], answer


@unhurried
@given(torn())
def test_parts_that_grow_in_pieces_are_whole_in_the_end(made: tuple[list[Piece], Answer]) -> None:
    pieces, answer = made
    writer = PROTOCOL.writer(Shape(answer.model, "x", 0), Losses())
    raw = b"".join([*[writer.write(piece) for piece in pieces], writer.end()])
    assert fold(pieces_of([raw])).choices == answer.choices


def test_a_signature_that_comes_after_its_call_was_sent_is_a_loss_and_no_crash() -> None:
    losses = Losses()
    writer = PROTOCOL.writer(Shape("m", "r", 0), losses)
    call = ToolCall("c1", "f", "{}")
    pieces: list[Piece] = [
        Opened("r", "m"),
        Begun(call, 0),
        Ended(0),
        Grown(0, signature="sig"),
        Finished(Finish.TOOLS),
    ]
    written = b"".join([writer.write(piece) for piece in pieces]) + writer.end()
    assert fold(pieces_of([written])).choices[0].parts == (call,)
    assert [loss.field for loss in losses.all] == ["content.parts"]


def test_a_stream_as_gemini_gives_it_is_read() -> None:
    answer = read(
        chunk({"text": "Hm", "thought": True}, usageMetadata={"promptTokenCount": 5}, responseId="r", modelVersion="m"),
        chunk({"text": ", so.", "thought": True}),
        chunk({"text": "Hel"}),
        chunk({"text": "lo"}, {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "S1"}),
        chunk({"functionCall": {"name": "g", "args": {}}}),
        chunk(
            {"text": ""},
            reason="STOP",
            usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
        ),
    )
    thinking, words, first, second = answer.choices[0].parts
    assert (thinking, words) == (Thinking("Hm, so."), Text("Hello"))
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.name, first.arguments, first.signature) == ("f", '{"a": 1}', "S1")
    assert (second.name, second.arguments) == ("g", "{}")
    assert first.id != second.id
    assert answer.choices[0].finish is Finish.TOOLS
    assert (answer.id, answer.model, answer.usage) == ("r", "m", Usage(5, 0, 0, 7))


def test_calls_get_the_same_ids_streamed_and_whole() -> None:
    parts = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]
    whole = PROTOCOL.read_answer(json.dumps(chunk(*parts, reason="STOP", responseId="r")).encode())[0]
    streamed = read(chunk(parts[0], responseId="r"), chunk(parts[1], reason="STOP", responseId="r"))
    assert streamed.choices == whole.choices


def test_a_signature_at_the_end_of_a_stream_survives() -> None:
    answer = read(chunk({"text": "Hi"}), chunk({"text": "", "thoughtSignature": "AbC="}, reason="STOP"))
    assert answer.choices[0].parts == (Text("Hi"), Thinking(signature="AbC="))
    after = read(chunk({"text": "Hm", "thought": True}), chunk({"text": "", "thoughtSignature": "AbC="}, reason="STOP"))
    assert after.choices[0].parts == (Thinking("Hm"), Thinking(signature="AbC="))
    within = read(
        chunk({"text": "Hm", "thought": True}),
        chunk({"text": "", "thought": True, "thoughtSignature": "AbC="}, reason="STOP"),
    )
    assert within.choices[0].parts == (Thinking("Hm", "AbC="),)


def test_a_prompt_that_is_blocked_in_a_stream_is_filtered() -> None:
    answer = read({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
    assert answer.choices == (Choice((), Finish.FILTERED),)


def test_sources_beside_the_content_are_kept() -> None:
    last = chunk({"text": "x"}, reason="STOP")
    last["candidates"][0]["groundingMetadata"] = {"a": 1}  # type: ignore[index]  # built two lines above
    (words, sources) = read(last).choices[0].parts
    assert words == Text("x")
    assert isinstance(sources, Opaque)
    assert sources.type == "groundingMetadata"


@pytest.mark.parametrize(
    "stream",
    [b"", b": ping\n\n", sse(chunk({"text": "x"})), sse({"usageMetadata": {"promptTokenCount": 1}})],
)
def test_a_stream_that_ends_before_the_answer_does_is_a_fault(stream: bytes) -> None:
    with pytest.raises(Fault) as caught:
        pieces_of([stream])
    assert caught.value.kind is FaultKind.TRANSIENT
    tap = PROTOCOL.tap(strip_usage=True)
    for event in events([stream]):
        tap.read(event)
    assert not tap.whole


@pytest.mark.parametrize(
    "stream",
    [
        sse({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}),
        sse([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}]),
        b'{\n  "error": {\n    "code": 429,\n    "message": "m",\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}\n',
        b'[{"error": {"message": "m", "status": "RESOURCE_EXHAUSTED"}}]',
    ],
)
def test_an_error_inside_a_stream_is_told_by_its_kind(stream: bytes) -> None:
    for read_event in (PROTOCOL.reader().read, PROTOCOL.tap(strip_usage=False).read):
        with pytest.raises(Fault) as caught:
            for event in events([sse(chunk({"text": "x"})), stream]):
                read_event(event)
        assert caught.value.kind is FaultKind.RATE


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[1]",
        b"hello",
        b'{"candidates": {}}',
        b'{"candidates": [{"content": 1}]}',
        b'{"a": "\xff"}',
        b"[" * 99999,
    ],
)
def test_what_is_no_event_of_the_protocol_is_garbage(data: bytes) -> None:
    for read_event in (PROTOCOL.reader().read, PROTOCOL.tap(strip_usage=False).read):
        with pytest.raises(Fault) as caught:
            read_event(SseEvent(b"data: " + data + b"\n\n", data))
        assert caught.value.kind is FaultKind.GARBAGE


def test_a_failed_call_is_a_fault_across_protocols_and_passes_between_two_ends_of_this_one() -> None:
    (event,) = events([sse(chunk(reason="MALFORMED_FUNCTION_CALL"))])
    with pytest.raises(Fault, match="MALFORMED_FUNCTION_CALL"):
        PROTOCOL.reader().read(event)
    tap = PROTOCOL.tap(strip_usage=False)
    assert tap.read(event) == (Sort.CONTENT, event.raw)
    assert tap.told.finish == "MALFORMED_FUNCTION_CALL"


def test_events_are_sorted_for_the_commit_boundary() -> None:
    stream = [
        b": comment\n\n",
        sse({"usageMetadata": {"promptTokenCount": 3}}),
        sse(chunk({"text": ""})),
        sse(chunk({"text": "x"})),
        sse(chunk(reason="STOP")),
    ]
    sorts = [Sort.NOISE, Sort.USAGE, Sort.START, Sort.CONTENT, Sort.CONTENT]
    tap, reader = PROTOCOL.tap(strip_usage=True), PROTOCOL.reader()
    assert [tap.read(event)[0] for event in events(stream)] == sorts
    assert [reader.read(event)[0] for event in events(stream)] == sorts
    assert tap.told == reader.told


def test_a_stream_passes_byte_for_byte() -> None:
    stream = b"".join(
        (
            b'data: {"candidates": [{"content": {"parts": [{"text": "x", "thoughtSignature": "a=="}]}, "new": 1.50}]}',
            b"\r\n\r\n: hello\r\n\r\n",
            b'data: {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3},"responseId":"r"}',
            b"\r\n\r\n",
        )
    )
    tap = PROTOCOL.tap(strip_usage=True)
    passed = b"".join([tap.read(event)[1] for event in events([stream])])
    assert passed + tap.end() == stream
    assert tap.whole
    assert (tap.told.id, tap.told.finish, tap.told.usage, tap.told.artefacts) == ("r", "STOP", Usage(3), ["a=="])


def test_a_choice_that_has_not_ended_is_no_whole_answer() -> None:
    tap = PROTOCOL.tap(strip_usage=False)
    both = {"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1, "content": {"parts": [{"text": "x"}]}}]}
    for event in events([sse(both)]):
        tap.read(event)
    assert not tap.whole
    for event in events([sse({"candidates": [{"index": 1, "finishReason": "STOP"}]})]):
        tap.read(event)
    assert tap.whole


def test_line_ends_in_raw_json_do_not_break_events() -> None:
    answer = Answer((Choice((ToolCall("c", "f", '{\n  "a":\r\n 1.50}'),), Finish.TOOLS),), "i", "m")
    (call,) = fold(pieces_of([stream_of(answer)])).choices[0].parts
    assert call == ToolCall("c", "f", '{"a":1.50}')


def test_a_done_of_another_protocol_ends_the_stream_and_is_not_passed_on() -> None:
    stream = sse(chunk({"text": "x"}, reason="STOP")) + b"data: [DONE]\n\n"
    tap, reader = PROTOCOL.tap(strip_usage=False), PROTOCOL.reader()
    passed = b"".join([tap.read(event)[1] for event in events([stream])])
    assert passed == sse(chunk({"text": "x"}, reason="STOP"))
    for event in events([stream]):
        reader.read(event)
    assert tap.done and tap.whole and reader.done
    assert [type(piece) for piece in reader.end()] == [Ended, Finished]
