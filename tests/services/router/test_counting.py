"""Counting input tokens over the bus: by a provider that counts, or by estimate."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, CountRequest, TokenCount
from penstock.contracts.subjects import LLM_COUNT
from tests.services.router.conftest import Plane
from tests.support.model_server import Reply, hang, json, status

WORDS = {"role": "user", "content": "Say hello."}


async def count(plane: Plane, model: str, surface: str, **more: object) -> TokenCount:
    body = msgspec.json.encode({"model": model, "messages": [WORDS], **more})
    request = CountRequest(model, msgspec.Raw(body), surface, {"anthropic-version": "2026-10-21"})
    return await plane.bus.call(LLM_COUNT, request, plane.meta())


@pytest.fixture
async def claude(plane: Plane) -> AsyncIterator[Plane]:
    plane.deployments["c"] = {
        "provider": "anthropic",
        "base_url": plane.server.url.removesuffix("/v1"),
        "model": "c",
        "price": "free",
    }
    plane.aliases["claude"] = ["c"]
    yield plane


async def test_a_provider_of_the_callers_protocol_counts(claude: Plane) -> None:
    claude.server.script(json({"input_tokens": 17}))
    async with claude.router():
        counted = await count(claude, "claude", ANTHROPIC_MESSAGES, system="Be brief.")
        (outcome,) = await claude.outcomes(1)
    assert (counted.input_tokens, counted.estimated) == (17, False)
    assert counted.served is not None
    assert (counted.served.deployment, counted.served.cost_nano) == ("c", 0)
    (sent,) = claude.server.received
    assert sent.path == "/v1/messages/count_tokens"
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert sent.fields == {"model": "c", "messages": [WORDS], "system": "Be brief."}
    assert (outcome.action, outcome.status) == ("model.complete", "ok")


@pytest.mark.parametrize(("model", "surface"), [("chat", ANTHROPIC_MESSAGES), ("chat", OPENAI_CHAT)])
async def test_where_nobody_counts_it_is_an_estimate_and_nobody_is_asked(
    claude: Plane, model: str, surface: str
) -> None:
    async with claude.router():
        counted = await count(claude, model, surface)
        (outcome,) = await claude.outcomes(1)
    assert counted.estimated
    assert 3 <= counted.input_tokens <= 30
    assert claude.server.received == []
    assert outcome.status == "ok"


@pytest.mark.parametrize("answer", [status(500), status(404), status(401), status(429), json({"tokens": 3})])
async def test_where_the_provider_does_not_count_it_is_an_estimate(claude: Plane, answer: Reply) -> None:
    claude.server.script(answer, answer)
    async with claude.router():
        counted = await count(claude, "claude", ANTHROPIC_MESSAGES)
    assert (counted.estimated, counted.served) == (True, None)
    assert 3 <= counted.input_tokens <= 30


async def test_a_provider_that_takes_too_long_to_count_is_not_waited_for(claude: Plane) -> None:
    claude.config = msgspec.structs.replace(claude.config, count_timeout_s=0.2)
    claude.server.script(hang())
    async with claude.router():
        counted = await count(claude, "claude", ANTHROPIC_MESSAGES)
    assert counted.estimated


async def test_a_request_that_the_provider_refuses_has_no_count(claude: Plane) -> None:
    claude.server.script(status(400, "messages: too strange"))
    async with claude.router():
        with pytest.raises(Failure) as caught:
            await count(claude, "claude", ANTHROPIC_MESSAGES)
    assert caught.value.code is Code.INVALID
    assert "too strange" in caught.value.detail


async def test_anthropic_counts_for_callers_of_other_protocols(claude: Plane) -> None:
    claude.deployments["c"]["version"] = "2026-10-21"
    claude.server.script(json({"input_tokens": 21}))
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    async with claude.router():
        counted = await count(claude, "claude", OPENAI_CHAT, tools=[tool], max_completion_tokens=9, stop=["x"])
    assert (counted.input_tokens, counted.estimated) == (21, False)
    (sent,) = claude.server.received
    assert sent.path == "/v1/messages/count_tokens"
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert sent.fields == {
        "model": "c",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    }


@pytest.mark.parametrize("surface", [OPENAI_CHAT, GEMINI_GENERATE])
async def test_gemini_counts_whole_requests(plane: Plane, surface: str) -> None:
    base = plane.server.url.removesuffix("/v1")
    plane.deployments["g"] = {"provider": "gemini", "base_url": base, "model": "gem", "price": "free"}
    plane.aliases["gemini"] = ["g"]
    contents = [{"role": "user", "parts": [{"text": "Say hello."}]}]
    body = {"contents": contents} if surface == GEMINI_GENERATE else {"model": "gemini", "messages": [WORDS]}
    plane.server.script(json({"totalTokens": 5, "promptTokensDetails": []}))
    request = CountRequest("gemini", msgspec.Raw(msgspec.json.encode(body)), surface)
    async with plane.router():
        counted = await plane.bus.call(LLM_COUNT, request, plane.meta())
    assert (counted.input_tokens, counted.estimated) == (5, False)
    (sent,) = plane.server.received
    assert sent.path == "/v1beta/models/gem:countTokens"
    assert sent.fields == {"generateContentRequest": {"contents": contents, "model": "models/gem"}}


async def test_who_may_not_ask_the_model_may_not_count(claude: Plane) -> None:
    await claude.log_in(scopes=("job.submit",))
    async with claude.router():
        with pytest.raises(Failure) as caught:
            await count(claude, "chat", OPENAI_CHAT)
    assert caught.value.code is Code.DENIED
