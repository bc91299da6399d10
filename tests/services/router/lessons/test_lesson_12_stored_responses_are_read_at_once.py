"""A stored response is continued at once, on any replica, over providers that keep nothing; every id that was told is
the id that holds."""

import asyncio
import json

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import OPENAI_RESPONSES, ResponseRef
from penstock.contracts.subjects import LLM_RESPONSE_GET
from penstock.kit.config import Secret
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import WIRES, ask, events, every_wire, follow, hear
from tests.support.model_server import Json

HELLO = "assistant: Hello, wörld 🌍."


@pytest.fixture
def shared(plane: Plane) -> Plane:
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    return plane


def body(words: str, previous: str = "", *, streamed: bool = False) -> Json:
    made: Json = {"model": "m", "input": words, "stream": streamed}
    return made | ({"previous_response_id": previous} if previous else {})


async def said(plane: Plane, wire: str, words: str, previous: str = "") -> tuple[str, str]:
    """Id and text of a whole answer."""
    completion = await ask(plane, wire, OPENAI_RESPONSES, body(words, previous))
    heard = hear(OPENAI_RESPONSES, bytes(completion.body))
    return heard.ids.pop(), heard.text


async def streamed(plane: Plane, wire: str, words: str, previous: str = "") -> list[str]:
    raw, _ = await follow(plane, wire, OPENAI_RESPONSES, body(words, previous, streamed=True))
    return list(events(raw))


@pytest.mark.parametrize("wire", WIRES)
async def test_another_replica_continues_what_was_answered_a_moment_ago(shared: Plane, wire: str) -> None:
    async with every_wire(shared):
        async with shared.router():
            first, _ = await said(shared, wire, "Say hello.")
        async with shared.router():
            last = json.loads((await streamed(shared, wire, "And again.", first))[-1])
        async with shared.router():
            _, history = await said(shared, wire, "history", last["response"]["id"])
    assert json.loads(history) == ["", "user: Say hello.", HELLO, "user: And again.", HELLO, "user: history"]


async def test_many_conversations_over_two_replicas_at_once_each_read_their_own_writes(shared: Plane) -> None:
    """The moment the answer is there, whole or by its last event: nobody waits in between."""

    async def talk(number: int) -> None:
        wire = WIRES[number % len(WIRES)]
        id, _ = await said(shared, wire, f"I am {number}.")
        for turn in range(3):
            if turn % 2:
                id, _ = await said(shared, wire, f"turn {turn} of {number}", id)
            else:
                told = await streamed(shared, wire, f"turn {turn} of {number}", id)
                id = json.loads(told[-1])["response"]["id"]
        _, history = await said(shared, wire, "history", id)
        mine = [line for line in json.loads(history) if line.startswith("user: ")]
        assert mine == [
            f"user: I am {number}.",
            *[f"user: turn {turn} of {number}" for turn in range(3)],
            "user: history",
        ]

    async with every_wire(shared), shared.router(), shared.router():
        await asyncio.gather(*[talk(number) for number in range(8)])


@pytest.mark.parametrize("wire", WIRES)
async def test_the_ids_of_a_stream_are_those_of_the_stored_response(shared: Plane, wire: str) -> None:
    async with every_wire(shared), shared.router():
        told = [json.loads(text) for text in await streamed(shared, wire, "think")]
        id = told[0]["response"]["id"]
        stored = await shared.bus.call(LLM_RESPONSE_GET, ResponseRef(id), shared.meta())
    last = told[-1]["response"]
    kept = json.loads(bytes(stored.body))
    assert {event["response"]["id"] for event in told if "response" in event} == {id}
    items = [item["id"] for item in last["output"]]
    assert (kept["id"], [item["id"] for item in kept["output"]]) == (id, items)
    added = [event["item"]["id"] for event in told if event["type"] == "response.output_item.added"]
    done = [event["item"]["id"] for event in told if event["type"] == "response.output_item.done"]
    assert added == done == items
    assert {event["item_id"] for event in told if "item_id" in event} <= set(items)


async def test_ids_of_different_providers_share_one_namespace_and_one_conversation(shared: Plane) -> None:
    """It may go on at another provider: the conversation is ours, not the provider's."""
    async with every_wire(shared), shared.router():
        id, texts = "", []
        for wire in (*WIRES, *reversed(WIRES)):
            id, text = await said(shared, wire, "history", id)
            texts.append(text)
    assert len(json.loads(texts[-1])) == 1 + 2 * 7 + 1


async def test_what_was_deleted_or_never_was_is_not_found_on_any_replica(shared: Plane) -> None:
    async with every_wire(shared), shared.router(), shared.router():
        for previous in ("resp_none", "not-an-id", "resp_" + "x" * 300):
            with pytest.raises(Failure) as caught:
                await said(shared, WIRES[0], "And?", previous)
            assert caught.value.code is Code.NOT_FOUND
