"""The properties that every protocol has, on answers and prompts of any shape."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.protocols.answer import (
    Answer,
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
from services.router.protocols.fold import Fold, fold, unfold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.reader import ResponsesReader
from services.router.protocols.openai_responses.writer import ResponsesWriter
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Shape, Target
from services.router.sse import SseParser
from tests.services.router.protocols.neutral import answers, prompts, words

TARGET = Target("gpt", "openai", streamed=False)


def shape_of(answer: Answer) -> Shape:
    return Shape(answer.model, answer.id, 1_700_000_000)


def named(answer: Answer) -> Answer:
    """With an id that is of this protocol."""
    return msgspec.structs.replace(answer, id=f"resp_{answer.id}")


def written(pieces: list[Piece], shape: Shape) -> tuple[bytes, ResponsesWriter]:
    writer = ResponsesWriter(shape, Losses())
    return b"".join([writer.write(piece) for piece in pieces]) + writer.end(), writer


def read_pieces(stream: list[bytes]) -> Answer:
    parser, reader, folding = SseParser(1 << 20), ResponsesReader(), Fold()
    events = [event for piece in stream for event in parser.feed(piece)] + parser.finish()
    for event in events:
        for piece in reader.read(event)[1]:
            folding.take(piece)
    for piece in reader.end():
        folding.take(piece)
    return folding.answer


def grown_slowly(answer: Answer) -> list[Piece]:
    """The same answer, in deltas of one character, all parts of a choice growing side by side."""
    pieces: list[Piece] = [Opened(answer.id, answer.model)]
    for number, part in enumerate(answer.choices[0].parts):
        match part:
            case Text() | Refusal():
                pieces.append(Begun(type(part)(""), number))
                pieces += [Grown(number, text=character) for character in part.text]
            case Thinking():
                pieces.append(Begun(Thinking(id=part.id), number))
                pieces += [Grown(number, text=character) for character in part.text]
                pieces.append(Grown(number, signature=part.signature, sealed=part.sealed))
            case ToolCall():
                pieces.append(Begun(msgspec.structs.replace(part, arguments="", signature=""), number))
                pieces += [Grown(number, arguments=character) for character in part.arguments]
                pieces.append(Grown(number, signature=part.signature))
            case Opaque():
                pieces.append(Begun(part, number))
        pieces.append(Ended(number))
    pieces.append(Finished(answer.choices[0].finish))
    if answer.usage is not None:
        pieces.append(Counted(answer.usage))
    return pieces


OWN = Opaque(OPENAI_RESPONSES, "web_search_call", msgspec.Raw(b'{"type":"web_search_call","id":"ws_1"}'))


@st.composite
def rich_answers(draw: st.DrawFn) -> Answer:
    """Parts in any order, with all that only this protocol can say."""
    part = st.one_of(
        st.builds(Text, words),
        st.builds(Refusal, words),
        st.builds(Thinking, words, words),
        st.builds(Thinking, words, st.just(""), words, st.just("rs_1")),
        st.builds(Thinking, st.just(""), st.just(""), words),
        st.just(OWN),
    )
    call = st.builds(
        ToolCall,
        st.just(""),
        st.just("look"),
        st.just('{"a":1}'),
        st.booleans(),
        st.just(""),
        st.sampled_from(["", "signed"]),
    )
    parts = [
        msgspec.structs.replace(each, id=f"call_{at}") if isinstance(each, ToolCall) else each
        for at, each in enumerate(draw(st.lists(st.one_of(part, call), max_size=6)))
    ]
    finish = Finish.STOP
    if any(isinstance(each, Refusal) for each in parts):
        finish = Finish.REFUSED
    if any(isinstance(each, ToolCall) for each in parts):
        finish = Finish.TOOLS
    return Answer((Choice(tuple(parts), finish),), "resp_1", "gpt")


@given(answers(thinking=True))
def test_an_answer_written_and_read_is_the_same(answer: Answer) -> None:
    answer = named(answer)
    body = PROTOCOL.write_answer(answer, shape_of(answer), Losses())
    assert PROTOCOL.read_answer(body)[0] == answer


@given(rich_answers())
def test_an_answer_of_many_kinds_of_parts_is_the_same_whole_and_streamed(answer: Answer) -> None:
    shape = shape_of(answer)
    body = PROTOCOL.write_answer(answer, shape, Losses())
    assert PROTOCOL.read_answer(body)[0] == answer
    quick, writer = written(list(unfold(answer)), shape)
    assert read_pieces([quick]) == answer
    assert msgspec.json.decode(writer.response) == msgspec.json.decode(body)
    slow, writer = written(grown_slowly(answer), shape)
    assert read_pieces([slow]) == answer
    assert msgspec.json.decode(writer.response) == msgspec.json.decode(body)


@settings(max_examples=30)
@given(answers(thinking=True))
def test_a_stream_read_byte_by_byte_is_the_answer(answer: Answer) -> None:
    answer = named(answer)
    stream, _ = written(list(unfold(answer)), shape_of(answer))
    assert read_pieces([stream[at : at + 1] for at in range(len(stream))]) == fold(unfold(answer))


@settings(max_examples=5)
@given(answers(thinking=True))
def test_a_stream_cut_in_two_anywhere_is_the_answer(answer: Answer) -> None:
    answer = named(answer)
    stream, _ = written(list(unfold(answer)), shape_of(answer))
    for at in range(0, len(stream), 7):
        assert read_pieces([stream[:at], stream[at:]]) == answer


@given(prompts(OPENAI_RESPONSES))
def test_a_prompt_written_and_read_is_the_same(prompt: Prompt) -> None:
    losses = Losses()
    body = PROTOCOL.write_prompt(prompt, TARGET, losses)
    assert PROTOCOL.read(body).prompt() == prompt
    assert losses.all == ()


@given(prompts("anthropic.messages"))
def test_a_prompt_of_another_protocol_keeps_its_turns(prompt: Prompt) -> None:
    body = PROTOCOL.write_prompt(prompt, TARGET, Losses())
    assert PROTOCOL.read(body).prompt().turns == prompt.turns


@given(rich_answers())
def test_tools_are_called_if_and_only_if_that_is_why_it_ended(answer: Answer) -> None:
    shape = shape_of(answer)
    choice = PROTOCOL.read_answer(PROTOCOL.write_answer(answer, shape, Losses()))[0].choices[0]
    assert (choice.finish is Finish.TOOLS) == any(isinstance(part, ToolCall) for part in choice.parts)
