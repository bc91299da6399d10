"""Counting input tokens over the bus: by a provider that counts in the caller's protocol, or by estimate."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, OPENAI_CHAT, CountRequest, TokenCount
from penstock.contracts.subjects import LLM_COUNT
from tests.services.router.conftest import Plane
from tests.support.model_server import json, status

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


async def test_a_provider_that_does_not_answer_is_a_failure_and_no_count(claude: Plane) -> None:
    claude.server.script(status(500), status(500))
    async with claude.router():
        with pytest.raises(Failure) as caught:
            await count(claude, "claude", ANTHROPIC_MESSAGES)
    assert caught.value.code is Code.UPSTREAM


async def test_who_may_not_ask_the_model_may_not_count(claude: Plane) -> None:
    await claude.log_in(scopes=("job.submit",))
    async with claude.router():
        with pytest.raises(Failure) as caught:
            await count(claude, "chat", OPENAI_CHAT)
    assert caught.value.code is Code.DENIED
