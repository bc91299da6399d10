"""The edge and the clients are started once for each module; a cell is made of them for each test."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.anthropic_client import AnthropicClient
from tests.conformance.cell import Cell, ids
from tests.conformance.client import Client
from tests.conformance.edge import Edge, edge
from tests.conformance.google_client import GoogleClient
from tests.conformance.openai_chat_client import ChatClient
from tests.conformance.openai_responses_client import ResponsesClient, StatefulClient
from tests.conformance.provider_types import PROVIDER_TYPES
from tests.support.providers.server import providers

MAKERS: Mapping[str, Callable[[str, str], Client]] = {
    "chat": ChatClient,
    "responses": ResponsesClient,
    "stateful": StatefulClient,
    "anthropic": AnthropicClient,
    "google": GoogleClient,
}
"""Each by the name that cells have for it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("edge")
    async with providers() as played:
        entries = {name: type.entry(played.url) for name, type in PROVIDER_TYPES.items()}
        # those that are asked for an error are somebody's alone: a key that was refused rests
        failing = {f"{cell}-{status}": entries[_provider(cell)] for cell in ids() for status in (401, 429)}
        async with edge(folder, entries | failing, played) as made:
            yield made


def _provider(cell: str) -> str:
    return cell.partition("-over-")[2].removesuffix("-streamed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(running_edge: Edge) -> AsyncIterator[Mapping[str, Client]]:
    made = {name: maker(running_edge.url, running_edge.keys.good) for name, maker in MAKERS.items()}
    yield made
    for client in made.values():
        await client.close()


@pytest.fixture
def cell(request: pytest.FixtureRequest, running_edge: Edge, clients: Mapping[str, Client]) -> Cell:
    """The parameter is its id."""
    id: str = request.param
    running_edge.providers.received.clear()
    return Cell(id, running_edge, clients[id.partition("-over-")[0]])
