"""The laws of every protocol: what is written is read back as it was, whole or streamed, wherever the bytes are cut."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.answer import Answer, Finish
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import ToolCall, ToolResult
from services.router.protocols.prompt import Prompt
from tests.services.router.protocols.neutral import answers, prompts
from tests.services.router.protocols.openai_chat.wire import TARGET, read_stream, shape_of, write_stream

unhurried = settings(deadline=None, max_examples=50)


@unhurried
@given(answers(choices_max=3))
def test_a_whole_answer_is_read_as_it_was_written(answer: Answer) -> None:
    losses = Losses()
    read, told = PROTOCOL.read_answer(PROTOCOL.write_answer(answer, shape_of(answer), losses))
    assert read == answer
    assert (told.usage, told.id, told.model) == (answer.usage, answer.id, answer.model)
    assert losses.all == ()


@unhurried
@given(answers(choices_max=3))
def test_a_streamed_answer_is_read_as_it_was_written(answer: Answer) -> None:
    losses = Losses()
    read, told = read_stream(write_stream(answer, shape_of(answer), losses))
    assert read == answer
    assert (told.usage, told.id, told.model) == (answer.usage, answer.id, answer.model)
    assert losses.all == ()


@unhurried
@given(answers(choices_max=2), st.data())
def test_lesson_7_where_the_bytes_of_a_stream_are_cut_means_nothing(answer: Answer, data: st.DataObject) -> None:
    stream = write_stream(answer, shape_of(answer))
    assert read_stream(stream, cut=range(1, len(stream)))[0] == answer
    assert read_stream(stream, cut=[data.draw(st.integers(0, len(stream)))])[0] == answer
    crlf = stream.replace(b"\n", b"\r\n")
    assert read_stream(crlf, cut=range(1, len(crlf)))[0] == answer


@unhurried
@given(answers(choices_max=2))
def test_a_call_in_the_answer_means_that_the_reason_is_tools_and_nothing_else_does(answer: Answer) -> None:
    for choice in read_stream(write_stream(answer, shape_of(answer)))[0].choices:
        asked = any(isinstance(part, ToolCall) for part in choice.parts)
        assert asked is (choice.finish is Finish.TOOLS)


@unhurried
@given(prompts(OPENAI_CHAT))
def test_a_prompt_is_read_as_it_was_written(prompt: Prompt) -> None:
    losses = Losses()
    raw = PROTOCOL.write_prompt(prompt, TARGET, losses)
    assert PROTOCOL.read(raw).prompt() == prompt
    assert losses.all == ()


@unhurried
@given(prompts("anthropic.messages"))
def test_every_call_keeps_its_result(prompt: Prompt) -> None:
    read = PROTOCOL.read(PROTOCOL.write_prompt(prompt, TARGET, Losses())).prompt()
    for kind in (ToolCall, ToolResult):
        assert [part for turn in read.turns for part in turn.parts if isinstance(part, kind)] == [
            part for turn in prompt.turns for part in turn.parts if isinstance(part, kind)
        ]


@unhurried
@given(prompts(OPENAI_CHAT))
def test_on_the_diagonal_every_value_but_the_model_stays_byte_for_byte(prompt: Prompt) -> None:
    raw = PROTOCOL.write_prompt(prompt, TARGET, Losses())
    again = PROTOCOL.read(raw).for_upstream(TARGET)
    assert msgspec.json.decode(again, type=dict[str, msgspec.Raw]) == msgspec.json.decode(
        raw, type=dict[str, msgspec.Raw]
    )


@unhurried
@given(prompts(OPENAI_CHAT))
def test_what_is_read_at_once_and_field_by_field_is_the_same(prompt: Prompt) -> None:
    """A null that says nothing makes the difference."""
    fields = msgspec.json.decode(PROTOCOL.write_prompt(prompt, TARGET, Losses()), type=dict[str, object])
    for name in ("messages", "tools"):
        fields[name] = [each | {"x": None} for each in msgspec.convert(fields.get(name, []), list[dict[str, object]])]
    assert PROTOCOL.read(msgspec.json.encode(fields)).prompt() == prompt
