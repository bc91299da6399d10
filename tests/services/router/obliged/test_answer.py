"""What comes back is the same redacted whole or in pieces, in every protocol."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES, Usage
from penstock.kit.obligations import merge
from penstock.kit.transform import Transform
from services.router.obliged.answer import Pieces, shown
from services.router.obliged.passage import Screened
from services.router.passage import Straight
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
from services.router.protocols.fold import Fold, fold
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape, Sort, Target
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser

SURFACES = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI_GENERATE)
SHAPE = Shape("m", "att1", 1, wants_usage=True)
BODIES = {
    OPENAI_CHAT: b'{"model":"m","messages":[{"role":"user","content":"alice@example.com"}],"stream":true}',
    OPENAI_RESPONSES: b'{"model":"m","input":"alice@example.com","stream":true}',
    ANTHROPIC_MESSAGES: b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"alice@example.com"}]}',
    GEMINI_GENERATE: b'{"contents":[{"role":"user","parts":[{"text":"alice@example.com"}]}]}',
}
SAID = st.lists(
    st.sampled_from(
        [
            "Write to ",
            "alice@example.com",
            "bob.smith+x@mail.example.org",
            " or call ",
            "+44 20 7946 0958",
            "4111 1111 1111 1111",
            "123-45-6789",
            ", ",
            ". ",
            "\n",
            "é",
            "[",
            "@",
            "the end",
            "{placeholder}",
            "AKIAIOSFODNN7EXAMPLE",
        ]
    ),
    min_size=1,
    max_size=8,
).map(" and ".join)
ARGUMENTS = st.sampled_from(
    [
        '{"to":"alice@example.com","n":1}',
        '{"card":4111111111111111}',
        '{"note":"a\\u0040b.co \\u00e9"}',
        '{"city":"Paris","deep":[{"x":"123-45-6789"}]}',
        "{}",
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    parts: list[Text | ToolCall] = [Text(draw(SAID))]
    parts += [ToolCall(f"call_{at}abcd", "tell", draw(ARGUMENTS)) for at in range(draw(st.integers(0, 2)))]
    finish = Finish.TOOLS if len(parts) > 1 else Finish.STOP
    return Answer((Choice(tuple(parts), finish),), "id1", "m", Usage(3, 0, 0, 4, 0))


def in_pieces(answer: Answer, sizes: list[int]) -> Iterator[Piece]:
    """As a provider might stream it, cut anywhere."""
    yield Opened(answer.id, answer.model)
    for at, choice in enumerate(answer.choices):
        for number, part in enumerate(choice.parts):
            field = "arguments" if isinstance(part, ToolCall) else "text"
            text = getattr(part, field)
            yield Begun(replace(part, **{field: ""}), number, at)
            while text:
                size = sizes[len(text) % len(sizes)]
                yield Grown(number, **{field: text[:size]}, choice=at)
                text = text[size:]
            yield Ended(number, at)
        yield Finished(choice.finish, choice.stop_sequence, at)
    if answer.usage is not None:
        yield Counted(answer.usage)


def passage(surface: str, transform: Transform) -> Screened:
    protocol = PROTOCOLS[surface]
    straight = Straight(protocol, protocol.read(BODIES[surface], "m"), Target("m", "e", True), SHAPE)
    return Screened(straight, protocol, protocol, SHAPE, transform)


def streamed(surface: str, answer: Answer, sizes: list[int], transform: Transform) -> Answer:
    """The answer as the caller of a stream has it in the end."""
    protocol = PROTOCOLS[surface]
    writer = protocol.writer(SHAPE, Losses())
    sent = b"".join([writer.write(piece) for piece in in_pieces(answer, sizes)]) + writer.end()
    conveyor, parser, out = passage(surface, transform).conveyor(), SseParser(1 << 20), b""
    for event in (*parser.feed(sent), *parser.finish()):
        out += conveyor.read(event)[1]
        if conveyor.done:
            break
    out += conveyor.end()
    reader, folding, parser = protocol.reader(), Fold(), SseParser(1 << 20)
    for event in (*parser.feed(out), *parser.finish()):
        for piece in reader.read(event)[1]:
            folding.take(piece)
    for piece in reader.end():
        folding.take(piece)
    return folding.answer


def whole(surface: str, answer: Answer, transform: Transform) -> Answer:
    protocol = PROTOCOLS[surface]
    raw, _ = passage(surface, transform).answer(protocol.write_answer(answer, SHAPE, Losses()))
    return protocol.read_answer(raw)[0]


@pytest.mark.parametrize("surface", SURFACES)
@settings(max_examples=15, deadline=None)
@given(answer=answers(), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_a_redacted_stream_is_the_redacted_whole(surface: str, answer: Answer, sizes: list[int]) -> None:
    obligations = merge(["redact_output:all"])
    first = streamed(surface, answer, sizes, Transform(obligations))
    second = whole(surface, answer, Transform(obligations))
    assert [choice.parts for choice in first.choices] == [choice.parts for choice in second.choices]
    assert "example." not in repr(first)
    assert "4111" not in repr(first)
    assert "123-45" not in repr(first)


@pytest.mark.parametrize("surface", SURFACES)
def test_placeholders_come_back_as_what_they_stand_for(surface: str) -> None:
    transform = Transform(merge(["pseudonymise:EMAIL"]))
    sent = passage(surface, transform).request()
    assert b"alice@example.com" not in sent
    placeholder = sent[sent.index(b"[EMAIL_1") : sent.index(b"]", sent.index(b"[EMAIL_1")) + 1].decode()
    call = ToolCall("call_1abcd", "mail", '{"to":"' + placeholder + '"}')
    answer = Answer((Choice((Text(f"I write to {placeholder}."), call), Finish.TOOLS),), "id1", "m", Usage(1, 0, 0, 1))
    for seen in (streamed(surface, answer, [3, 1], transform), whole(surface, answer, transform)):
        text, asked = seen.choices[0].parts
        assert isinstance(text, Text)
        assert isinstance(asked, ToolCall)
        assert text.text == "I write to alice@example.com."
        assert asked.arguments == '{"to":"alice@example.com"}'
    assert transform.counts == {"pseudonymise:EMAIL": 1}


def test_what_must_not_be_shown_is_not_put_back_either() -> None:
    transform = Transform(merge(["pseudonymise:EMAIL", "redact_output:EMAIL"]))
    placeholder = transform.outward("alice@example.com")
    assert placeholder.startswith("[EMAIL_1_")
    assert transform.inward(f"to {placeholder}") == "to [EMAIL]"


def test_a_thought_that_had_to_be_redacted_loses_its_proof() -> None:
    thoughts = (Thinking("about alice@example.com", "sig-1"), Thinking("about nobody", "sig-2"))
    answer = Answer((Choice(thoughts),))
    expected = (Thinking("about [EMAIL]"), Thinking("about nobody", "sig-2"))
    transform = Transform(merge(["redact_output:EMAIL"]))
    assert shown(answer, transform).choices[0].parts == expected
    pieces = Pieces(transform)
    came: list[Piece] = [Begun(Thinking(), 0), Grown(0, text="about alice@exam"), Grown(0, text="ple.com")]
    came += [Grown(0, signature="sig-1"), Ended(0), Begun(Thinking("about nobody"), 1), Grown(1, signature="sig-2")]
    out = [made for piece in [*came, Ended(1), Finished(Finish.STOP)] for made in pieces.take(piece)]
    assert fold(out).choices[0].parts == expected


def test_what_is_held_back_is_not_content_yet() -> None:
    surface = PROTOCOLS[OPENAI_CHAT]
    writer = surface.writer(SHAPE, Losses())
    events = [
        writer.write(Opened("x", "m")),
        writer.write(Begun(Text(""), 0)),
        writer.write(Grown(0, text="alice@exam")),
    ]
    conveyor, parser = passage(OPENAI_CHAT, Transform(merge(["redact:EMAIL"]))).conveyor(), SseParser(1 << 20)
    sorts = [conveyor.read(event)[0] for event in parser.feed(b"".join(events))]
    assert Sort.CONTENT not in sorts


def test_arguments_without_an_end_are_given_up() -> None:
    pieces = Pieces(Transform(merge(["redact:EMAIL"])))
    pieces.take(Begun(ToolCall("call_1", "x"), 0))
    with pytest.raises(Exception, match="too long to be screened"):
        for _ in range(5):
            pieces.take(Grown(0, arguments="x" * 1_000_000))
