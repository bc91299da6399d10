"""Responses that continue earlier ones by their id alone, over every type of provider."""

import openai
import pytest

from tests.conformance.cell import Cell, ids
from tests.conformance.openai_responses_client import ResponsesClient
from tests.conformance.test_features import WEATHER

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("cell", ids(("stateful",)), indirect=True),
]


async def test_a_conversation_is_continued_by_the_id_of_its_last_response(cell: Cell) -> None:
    talk = cell.talk()
    await talk.say("Say hello.")
    await talk.say("Say it again.")
    answer = await talk.say("And once more.")
    assert answer.text == "Hello, wörld 🌍."
    if cell.shows:
        assert cell.seen.turns == [
            "user: Say hello.",
            "assistant: Hello, wörld 🌍.",
            "user: Say it again.",
            "assistant: Hello, wörld 🌍.",
            "user: And once more.",
        ]


async def test_results_of_tools_are_told_to_the_response_that_called_them(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    paris, oslo = (await talk.say("The weather, both please.")).calls
    after = await talk.tell([(oslo, "cold"), (paris, "mild")])
    assert after.calls == ()
    if cell.shows:
        assert dict(cell.seen.pairs) == {"Paris": "mild", "Oslo": "cold"}


async def test_a_stored_response_is_read_again_until_it_is_deleted(cell: Cell) -> None:
    client = cell.client
    assert isinstance(client, ResponsesClient)
    made = await client.sdk.responses.create(model=cell.provider_name, input="Say hello.")
    assert (await client.sdk.responses.retrieve(made.id)).output_text == "Hello, wörld 🌍."
    await client.sdk.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.sdk.responses.retrieve(made.id)
