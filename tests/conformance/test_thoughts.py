"""Thoughts, by every client over every provider that has some: shown by all, and given back with their signature to the
endpoint that made it, where the client's protocol has a place for it.
"""

import pytest

from tests.conformance.cell import Cell, ids

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("cell", [id for id in ids() if "scripted" not in id], indirect=True),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

SIGNED = {
    "chat": (),
    "responses": ("openai-responses", "azure", "anthropic", "gemini"),
    "anthropic": ("anthropic", "gemini"),
    "google": ("anthropic", "gemini"),
}
"""The providers that get their signatures back from each client."""


async def test_thoughts_are_shown_and_are_no_part_of_the_words(cell: Cell) -> None:
    answer = await cell.talk(thinking=True, output_tokens=5000).say("Please think.")
    assert (answer.thought, answer.text) == ("Let me see.", "Done.")
    assert answer.used.answered == 20


async def test_thoughts_go_back_to_whoever_signed_them(cell: Cell) -> None:
    talk = cell.talk(thinking=True, output_tokens=5000)
    await talk.say("Please think.")
    await talk.say("Say hello.")
    signed = cell.provider_name in SIGNED[cell.client_name]
    assert cell.seen.signatures == (["c2lnbmF0dXJl"] if signed else [])
    assert cell.seen.turns == ["user: Please think.", "assistant: Done.", "user: Say hello."]
