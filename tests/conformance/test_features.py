"""What people do with models, by every client over every type of provider, whole and streamed."""

import pytest
from pydantic import BaseModel

from tests.conformance.cell import Cell, ids
from tests.conformance.client import Tool, Used

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("cell", ids(), indirect=True),
    # what Google's library does with aiohttp, which it prefers where there is one
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

STOP = {"chat": "stop", "responses": "completed", "anthropic": "end_turn", "google": "STOP"}
CUT = {"chat": "length", "responses": "max_output_tokens", "anthropic": "max_tokens", "google": "MAX_TOKENS"}
CALLED = {"chat": "tool_calls", "responses": "completed", "anthropic": "tool_use", "google": "STOP"}
"""Each library's own words for the end of an answer."""

WEATHER = Tool(
    "weather",
    "The weather of a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
        "required": ["city"],
    },
)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


class City(BaseModel):
    city: str


async def test_words_come_back_with_what_they_took(cell: Cell) -> None:
    answer = await cell.talk().say("Say hello.")
    assert (answer.text, answer.reason) == ("Hello, wörld 🌍.", STOP[cell.client_name])
    assert answer.used == Used(asked=100, cached=40, answered=20)
    assert answer.calls == ()
    assert answer.headers["x-penstock-deployment"] == cell.provider_name
    assert len(answer.pieces) == (4 if cell.streamed else 0)
    if cell.shows:
        assert (cell.seen.words, cell.seen.streamed, cell.seen.output_tokens) == ("Say hello.", cell.streamed, 500)


async def test_a_system_prompt_is_one_of_the_provider(cell: Cell) -> None:
    answer = await cell.talk(system="Be brief.").say("Say hello.")
    assert answer.text == "Hello, wörld 🌍."
    if cell.shows:
        assert (cell.seen.system, cell.seen.turns) == ("Be brief.", ["user: Say hello."])


async def test_a_conversation_is_told_from_its_beginning(cell: Cell) -> None:
    talk = cell.talk(earlier=(("I am Ann.", "Hello, Ann."),))
    await talk.say("Say hello.")
    answer = await talk.say("Say it again.")
    assert answer.text == "Hello, wörld 🌍."
    if cell.shows:
        assert cell.seen.turns == [
            "user: I am Ann.",
            "assistant: Hello, Ann.",
            "user: Say hello.",
            "assistant: Hello, wörld 🌍.",
            "user: Say it again.",
        ]


async def test_a_tool_is_called_and_its_result_told(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    answer = await talk.say("The weather, please.")
    assert (answer.text, answer.reason) == ("I will look.", CALLED[cell.client_name])
    (call,) = answer.calls
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})
    after = await talk.tell([(call, "mild")])
    assert (after.reason, after.calls) == (STOP[cell.client_name], ())
    if cell.shows:
        assert after.text == "The tools said: mild"
        assert cell.seen.tools == ["weather"]
        assert cell.seen.turns == [
            "user: The weather, please.",
            "assistant: I will look.",
            'call weather {"city": "Paris"}',
            "result mild",
        ]
    else:
        assert after.text == "The tools said."


async def test_two_tools_are_called_at_once_and_their_results_told_in_another_order(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    paris, oslo = (await talk.say("The weather, both please.")).calls
    assert (paris.name, paris.arguments) == ("weather", {"city": "Paris"})
    assert oslo.name == "weather"
    assert paris.id != oslo.id
    after = await talk.tell([(oslo, "cold"), (paris, "mild")])
    assert after.reason == STOP[cell.client_name]
    if cell.shows:
        assert oslo.arguments == {"city": "Oslo", "days": [1, 2]}
        assert dict(cell.seen.pairs) == {"Paris": "mild", "Oslo": "cold"}


async def test_a_tool_can_be_forced(cell: Cell) -> None:
    (call,) = (await cell.talk(tools=(WEATHER,), forced="weather").say("The weather.")).calls
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})
    if cell.shows:
        assert cell.seen.forced == "weather"


async def test_an_answer_keeps_to_the_schema_of_a_class(cell: Cell) -> None:
    answer = await cell.talk(schema=City).say("A city.")
    assert answer.parsed == City(city="Paris")
    if cell.shows:
        assert cell.seen.schema is not None
        assert cell.seen.schema["required"] == ["city"]


async def test_an_image_is_seen(cell: Cell) -> None:
    answer = await cell.talk().say("What is this?", image=PIXEL)
    if cell.shows:
        assert answer.text == "I see 1 image of 92 characters."


async def test_a_cut_answer_says_so(cell: Cell) -> None:
    answer = await cell.talk(output_tokens=2).say("A long one.")
    assert (answer.text, answer.reason) == ("And then", CUT[cell.client_name])
