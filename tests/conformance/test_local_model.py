"""The real model of this machine, asked by every client through the edge: small, fluent and often wrong, so that it is
looked at how its words come, and not at what they say.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Literal

import pytest
import pytest_asyncio
from pydantic import BaseModel

from penstock.local.model_server import CHAT_MODEL, addresses_in
from tests.conformance.cell import CLIENTS
from tests.conformance.client import Client, Options
from tests.conformance.conftest import MAKERS
from tests.conformance.edge import Edge, edge
from tests.conformance.provider_types import Json
from tests.conformance.test_features import CUT, STOP
from tests.support.process import module_process
from tests.support.providers.server import Providers

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"]),
    pytest.mark.parametrize("name", CLIENTS),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

# one thread: two wait for each other where the machine has something else to do
SMALL = ["--threads", "1", "--context-tokens", "2048", "--parallel", "2", "--answer-tokens", "64"]


class Mood(BaseModel):
    mood: Literal["good", "bad"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with module_process("penstock.local.model_server", SMALL, start_timeout_s=50) as process:
        await process.says("^ready ")
        addresses = addresses_in(process.output)
        assert addresses is not None
        local: Json = {"base_url": addresses.chat, "model": CHAT_MODEL, "price": "free"}
        async with edge(tmp_path_factory.mktemp("edge"), {"local": local}, Providers("")) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local_clients(local_edge: Edge) -> AsyncIterator[Mapping[str, Client]]:
    made = {name: maker(local_edge.url, local_edge.keys.good) for name, maker in MAKERS.items()}
    yield made
    for client in made.values():
        await client.close()


async def test_words_come_back_with_what_they_took(
    local_clients: Mapping[str, Client], name: str, streamed: bool
) -> None:
    talk = local_clients[name].talk(Options("local", streamed=streamed, system="Be brief.", output_tokens=8))
    answer = await talk.say("Say hello.")
    assert answer.text
    assert answer.reason in (STOP[name], CUT[name])
    assert answer.used.asked > 10
    assert 1 <= answer.used.answered <= 8
    assert answer.headers["x-penstock-deployment"] == "local"
    assert "".join(answer.pieces) == (answer.text if streamed else "")
    assert len(answer.pieces) >= (2 if streamed else 0)


async def test_a_conversation_goes_on(local_clients: Mapping[str, Client], name: str, streamed: bool) -> None:
    talk = local_clients[name].talk(Options("local", streamed=streamed, output_tokens=8))
    first = await talk.say("Say hello.")
    second = await talk.say("Say it again.")
    assert second.text
    assert second.used.asked > first.used.asked + first.used.answered


async def test_an_answer_keeps_to_the_schema_of_a_class(
    local_clients: Mapping[str, Client], name: str, streamed: bool
) -> None:
    talk = local_clients[name].talk(Options("local", streamed=streamed, schema=Mood, output_tokens=40))
    answer = await talk.say("The sun shines. Which mood?")
    assert isinstance(answer.parsed, Mood)
