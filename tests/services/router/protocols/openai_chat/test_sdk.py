"""What OpenAI's own client library makes of answers and streams."""

from hypothesis import given, settings
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageFunctionToolCall

from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.fold import unfold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat import PROTOCOL
from services.router.protocols.part import Text, ToolCall
from services.router.protocols.protocol import Shape
from tests.services.router.protocols.neutral import answers
from tests.services.router.protocols.openai_chat.wire import data_of, write_stream

SHAPE = Shape("chat", "chatcmpl-made", 1_790_000_000, wants_usage=True)
_WORDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOLS: "tool_calls"}


def text_of(choice: Choice) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, Text))


def calls_of(choice: Choice) -> list[tuple[str, str, str]]:
    return [(part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)]


@settings(deadline=None, max_examples=30)
@given(answers(choices_max=2))
def test_the_client_library_reads_an_answer(answer: Answer) -> None:
    read = ChatCompletion.model_validate_json(PROTOCOL.write_answer(answer, SHAPE, Losses()), strict=True)
    for choice, given_choice in zip(read.choices, answer.choices, strict=True):
        calls = choice.message.tool_calls or []
        functions = [call for call in calls if isinstance(call, ChatCompletionMessageFunctionToolCall)]
        assert (choice.message.content or "") == text_of(given_choice)
        assert [(call.id, call.function.name, call.function.arguments) for call in functions] == calls_of(given_choice)
        assert choice.finish_reason == _WORDS[given_choice.finish]
    assert read.usage is not None and answer.usage is not None
    assert read.usage.total_tokens == answer.usage.total


@settings(deadline=None, max_examples=30)
@given(answers(choices_max=2))
def test_the_client_library_reads_every_chunk_of_a_stream(answer: Answer) -> None:
    raw = write_stream(answer, SHAPE, pieces=unfold(answer))
    data_of(raw)  # ends as it must
    lines = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line][:-1]
    chunks = [ChatCompletionChunk.model_validate_json(line, strict=True) for line in lines]
    for number, given_choice in enumerate(answer.choices):
        found = [choice for chunk in chunks for choice in chunk.choices if choice.index == number]
        assert found[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in found) == text_of(given_choice)
        calls: dict[int, list[str]] = {}
        for call in [call for choice in found for call in choice.delta.tool_calls or []]:
            called = calls.setdefault(call.index, ["", "", ""])
            assert call.function is not None
            for place, value in enumerate((call.id, call.function.name, call.function.arguments)):
                called[place] += value or ""
        assert [tuple(called) for called in calls.values()] == calls_of(given_choice)
        assert [choice.finish_reason for choice in found if choice.finish_reason] == [_WORDS[given_choice.finish]]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
