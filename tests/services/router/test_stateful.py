"""Responses that continue others, over providers that keep nothing."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import OPENAI_RESPONSES, CompletionRequest, ResponseRef
from penstock.contracts.subjects import LLM_COMPLETE, LLM_RESPONSE_GET, LLM_STREAM
from penstock.kit.config import Secret
from services.router.sse import SseParser
from tests.services.router.conftest import Plane
from tests.support.providers.server import KEY, Providers, providers

Json = dict[str, object]


@pytest.fixture(params=["openai", "openai_compatible", "anthropic", "gemini"])
async def upstream(plane: Plane, request: pytest.FixtureRequest) -> AsyncIterator[Providers]:
    """`talk` is one deployment of the provider."""
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    (plane.folder / "provider.key").write_text(KEY)
    async with providers() as server:
        version = "/v1" if str(request.param).startswith("openai") else ""
        plane.deployments["only"] = {
            "provider": request.param,
            "base_url": server.url + version,
            "model": "m",
            "key": "file:provider.key",
            "price": "free",
        }
        plane.aliases["talk"] = ["only"]
        yield server


async def ask(plane: Plane, words: str, previous: str = "", *, streamed: bool = False, **more: object) -> Json:
    """The response as the caller has it at the end."""
    body: Json = {"model": "talk", "input": words, "stream": streamed, **more}
    if previous:
        body["previous_response_id"] = previous
    request = CompletionRequest("talk", msgspec.Raw(msgspec.json.encode(body)), OPENAI_RESPONSES)
    if not streamed:
        completion = await plane.bus.call(LLM_COMPLETE, request, plane.meta())
        return msgspec.json.decode(completion.body, type=Json)
    text = b""
    async with plane.bus.stream(LLM_STREAM, request, plane.meta()) as reader:
        async for frame in reader:
            text += bytes(frame)
    events = [event for event in SseParser(1_000_000).feed(text) if event.data]
    last: Json = json.loads(events[-1].data or b"")
    assert last["type"] == "response.completed"
    response = last["response"]
    assert isinstance(response, dict)
    return response


def said(response: Json) -> str:
    output = response["output"]
    assert isinstance(output, list)
    return "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_response_is_continued_at_once_over_any_provider(
    plane: Plane, upstream: Providers, streamed: bool
) -> None:
    async with plane.router():
        first = await ask(plane, "Say hello.", streamed=streamed)
        second = await ask(plane, "And again.", str(first["id"]), streamed=not streamed)
        third = await ask(plane, "history", str(second["id"]), instructions="Be brief.", streamed=streamed)
        stored = await plane.bus.call(LLM_RESPONSE_GET, ResponseRef(str(second["id"])), plane.meta())
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert [each["previous_response_id"] for each in (second, third)] == [first["id"], second["id"]]
    hello = "assistant: Hello, wörld 🌍."
    assert json.loads(said(third)) == [
        "Be brief.",
        "user: Say hello.",
        hello,
        "user: And again.",
        hello,
        "user: history",
    ]
    assert msgspec.json.decode(stored.body, type=Json)["output"] == second["output"]


async def test_nobody_else_continues_it_and_what_is_not_stored_is_not_there(plane: Plane, upstream: Providers) -> None:
    async with plane.router():
        first = await ask(plane, "Say hello.")
        unkept = await ask(plane, "Say hello.", store=False)
        for previous in ("resp_none", str(unkept["id"])):
            with pytest.raises(Failure) as caught:
                await ask(plane, "And again.", previous)
            assert caught.value.code is Code.NOT_FOUND
        await plane.log_in(subject="user:bob")
        with pytest.raises(Failure) as caught:
            await ask(plane, "And again.", str(first["id"]))
    assert (caught.value.code, caught.value.param) == (Code.NOT_FOUND, "previous_response_id")


async def test_a_lost_store_loses_the_continuation_and_not_the_answer(plane: Plane, upstream: Providers) -> None:
    async with plane.router(store_url=Secret("redis://127.0.0.1:1/0")):
        first = await ask(plane, "Say hello.")
        assert said(first) == "Hello, wörld 🌍."
        with pytest.raises(Failure) as caught:
            await ask(plane, "And again.", str(first["id"]))
    assert caught.value.code is Code.UNAVAILABLE
    assert any("a response is not kept" in line for line in plane.lines)
