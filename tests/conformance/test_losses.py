"""What cannot be carried to a provider is named in the answer, or refused: by its weight, and as the caller likes."""

from collections.abc import Mapping

import anthropic
import openai
import pytest
from google.genai import errors as google

from tests.conformance.cell import Cell, ids

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

CHATS = ("openai-chat", "compatible", "azure", "scripted")
PECULIAR: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "chat": ("seed", (*CHATS, "gemini")),
    "responses": ("truncation", ("openai-responses", "azure")),
    "anthropic": ("top_k", ("anthropic", "gemini")),
    "google": ("top_k", ("gemini", "anthropic")),
}
"""A setting of each client's protocol, and the providers that it can be carried to."""
HOSTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "chat": ("web_search_options", CHATS),
    "responses": ("tools.0", ("openai-responses", "azure")),
    "anthropic": ("tools.0", ("anthropic",)),
    "google": ("tools.0", ("gemini",)),
}
"""A tool that the provider itself runs, by the field that asks for it."""
BAD_REQUEST: Mapping[str, type[Exception]] = {
    "chat": openai.BadRequestError,
    "responses": openai.BadRequestError,
    "anthropic": anthropic.BadRequestError,
    "google": google.ClientError,
}


@pytest.mark.parametrize("cell", ids(), indirect=True)
async def test_a_setting_that_is_not_carried_is_named(cell: Cell) -> None:
    field, carried = PECULIAR[cell.client_name]
    answer = await cell.talk(peculiar=True).say("Say hello.")
    assert answer.text == "Hello, wörld 🌍."
    losses = answer.headers.get("x-penstock-losses", "")
    if cell.provider_name in carried:
        assert losses == ""
    else:
        assert losses.startswith(f'"{field}";what="')
        assert not losses.endswith(";grave")


@pytest.mark.parametrize("cell", ids(), indirect=True)
async def test_a_setting_that_is_not_carried_is_refused_where_the_caller_wants_no_losses(cell: Cell) -> None:
    field, carried = PECULIAR[cell.client_name]
    talk = cell.talk(peculiar=True, headers={"x-penstock-losses": "refuse"})
    if cell.provider_name in carried:
        assert (await talk.say("Say hello.")).text == "Hello, wörld 🌍."
    else:
        with pytest.raises(BAD_REQUEST[cell.client_name], match=field):
            await talk.say("Say hello.")
        assert cell.edge.providers.received == []


@pytest.mark.parametrize("cell", ids(), indirect=True)
async def test_a_tool_that_only_another_provider_runs_is_refused(cell: Cell) -> None:
    field, carried = HOSTED[cell.client_name]
    talk = cell.talk(hosted=True)
    if cell.provider_name in carried:
        assert "x-penstock-losses" not in (await talk.say("Say hello.")).headers
    else:
        with pytest.raises(BAD_REQUEST[cell.client_name], match=field):
            await talk.say("Say hello.")
        assert cell.edge.providers.received == []


@pytest.mark.parametrize("cell", ids(), indirect=True)
async def test_a_tool_that_only_another_provider_runs_is_left_out_where_the_caller_accepts_that(cell: Cell) -> None:
    field, carried = HOSTED[cell.client_name]
    answer = await cell.talk(hosted=True, headers={"x-penstock-losses": "accept"}).say("Say hello.")
    assert answer.text == "Hello, wörld 🌍."
    if cell.provider_name not in carried:
        losses = answer.headers["x-penstock-losses"]
        assert losses.startswith(f'"{field}";what="')
        assert losses.endswith(";grave")


# Responses has no stop sequences, as client and as provider
@pytest.mark.parametrize("cell", ids(("chat", "anthropic", "google")), indirect=True)
async def test_stop_sequences_arrive_or_the_request_is_refused(cell: Cell) -> None:
    talk = cell.talk(stops=("END",))
    if cell.provider_name == "openai-responses":
        with pytest.raises(BAD_REQUEST[cell.client_name], match="stop"):
            await talk.say("Say hello.")
    else:
        await talk.say("Say hello.")
        assert not cell.shows or cell.seen.stops == ["END"]
