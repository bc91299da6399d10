"""The laws that every protocol keeps, on answers and prompts of any shape."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.answer import Answer, Finish
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.anthropic_messages.legal import legal, original, tool_name, wire_name
from services.router.protocols.fold import fold, unfold
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Protocol, Shape, Target
from tests.services.router.protocols.anthropic_messages import stream
from tests.services.router.protocols.neutral import answers, prompts

TARGET = Target("claude-opus-5", "https://api.anthropic.com", streamed=False)


def shape_of(answer: Answer) -> Shape:
    return Shape(answer.model, answer.id, 0)


def test_it_is_a_protocol() -> None:
    protocol: Protocol = PROTOCOL
    assert protocol.name == "anthropic.messages"


@given(answers(thinking=True))
def test_an_answer_written_and_read_is_the_same(answer: Answer) -> None:
    losses = Losses()
    assert PROTOCOL.read_answer(PROTOCOL.write_answer(answer, shape_of(answer), losses))[0] == answer
    assert losses.all == ()


@given(answers(thinking=True), st.data())
def test_a_stream_written_and_read_is_the_same_wherever_it_is_cut(answer: Answer, data: st.DataObject) -> None:
    raw = stream.write(unfold(answer), shape_of(answer))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    assert stream.answer(raw, cuts) == answer


@given(answers(thinking=True))
def test_a_stream_and_the_whole_tell_the_same(answer: Answer) -> None:
    shape = shape_of(answer)
    whole = PROTOCOL.read_answer(PROTOCOL.write_answer(answer, shape, Losses()))[0]
    assert stream.answer(stream.write(unfold(answer), shape)) == whole


def test_a_stream_is_read_the_same_byte_by_byte_and_cut_in_two_anywhere() -> None:
    raw = stream.start() + stream.text(0, "né ", "😀") + stream.call(1, "toolu_1", "f", '{"a"', ":1}")
    raw += stream.stop("tool_use")
    whole = stream.answer(raw)
    assert whole.choices[0].parts == (Text("né 😀"), ToolCall("toolu_1", "f", '{"a":1}'))
    assert stream.answer(raw, range(1, len(raw))) == whole
    assert all(stream.answer(raw, [cut]) == whole for cut in range(len(raw)))


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_a_stream_is_read_the_same_with_other_line_ends(ending: bytes) -> None:
    raw = stream.start() + stream.text(0, "hello") + stream.stop("end_turn")
    assert stream.answer(raw.replace(b"\n", ending)) == stream.answer(raw)
    assert stream.answer(raw.replace(b"\n\n", b"\n: a comment\n\n").rstrip(b"\n")) == stream.answer(raw)


def is_said(prompt: Prompt) -> bool:
    """Whether every text has more than white space, which Anthropic refuses."""
    return all(part.text.strip() for turn in prompt.turns for part in turn.parts if isinstance(part, Text))


@given(prompts(ANTHROPIC_MESSAGES))
def test_a_prompt_written_and_read_is_the_same(prompt: Prompt) -> None:
    assume(is_said(prompt))
    losses = Losses()
    assert PROTOCOL.read(PROTOCOL.write_prompt(prompt, TARGET, losses)).prompt() == prompt
    assert losses.all == ()


@given(prompts(ANTHROPIC_MESSAGES), st.lists(st.text(max_size=12), min_size=20, max_size=20, unique=True))
def test_call_ids_of_any_spelling_keep_their_pairing(prompt: Prompt, ids: list[str]) -> None:
    """Lesson 10: no call and no result is ever lost, whatever the other protocol's ids look like."""
    names: dict[str, str] = {}

    def renamed(part: object) -> object:
        if isinstance(part, ToolCall):
            names[part.id] = ids[len(names)]
            return msgspec.structs.replace(part, id=names[part.id])
        return msgspec.structs.replace(part, call=names[part.call]) if isinstance(part, ToolResult) else part

    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(renamed(part) for part in turn.parts)) for turn in prompt.turns
    )
    losses = Losses()
    raw = PROTOCOL.write_prompt(msgspec.structs.replace(prompt, turns=turns), TARGET, losses)
    found = [part for turn in PROTOCOL.read(raw).prompt().turns for part in turn.parts]
    wanted = [part for turn in turns for part in turn.parts]
    assert [p.id for p in found if isinstance(p, ToolCall)] == [p.id for p in wanted if isinstance(p, ToolCall)]
    assert [p.call for p in found if isinstance(p, ToolResult)] == [p.call for p in wanted if isinstance(p, ToolResult)]
    assert losses.gravest is None


@given(answers(thinking=True))
def test_tools_in_the_answer_are_the_reason_to_stop_and_only_they(answer: Answer) -> None:
    """Lesson 8, whatever word the other protocol used."""
    called = any(isinstance(part, ToolCall) for part in answer.choices[0].parts)
    for word in (Finish.STOP, Finish.TOOLS, Finish.STOP_SEQUENCE):
        choice = msgspec.structs.replace(answer.choices[0], finish=word)
        wrong = msgspec.structs.replace(answer, choices=(choice,))
        shape = shape_of(answer)
        whole = msgspec.json.decode(PROTOCOL.write_answer(wrong, shape, Losses()))
        assert (whole["stop_reason"] == "tool_use") is called
        assert (fold(stream.read(stream.write(unfold(wrong), shape))[1]).choices[0].finish is Finish.TOOLS) is called


@given(st.text(max_size=30))
def test_any_word_is_made_legal_and_comes_back(word: str) -> None:
    made = legal(word)
    assert made and all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in made)
    assert original(made) == word


@given(st.text("ab_X19F", max_size=12), st.text("ab_X19F", max_size=12))
def test_different_words_stay_different(one: str, other: str) -> None:
    assert (legal(one) == legal(other)) is (one == other)
    assert original(legal(one)) == one


def test_legal_words_stay_as_they_are() -> None:
    assert legal("toolu_01A-b") == "toolu_01A-b"
    assert original("a_X41_b") == "a_X41_b"
    assert original("_XD800_") == "_XD800_"
    assert legal("a.b/c") == "a_X2E_b_X2F_c"


def test_a_namespace_goes_into_the_name_and_comes_back() -> None:
    assert wire_name("read", "mcp__files") == "mcp__files_X1F_read"
    assert tool_name("mcp__files_X1F_read") == ("read", "mcp__files")
    assert tool_name("read") == ("read", "")
