"""Every way into the router meets a decision before anything is done, and what could never match anything is refused
when it is loaded: a limiter that was built and never asked is none."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from penstock.bus import Bus
from penstock.contracts.endpoint import Call, Stream
from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import (
    ANTHROPIC_MESSAGES,
    OPENAI_CHAT,
    CompletionHead,
    CountRequest,
    EmbedRequest,
    ModelsRequest,
    RerankRequest,
    ResponseRef,
    ResumeRequest,
)
from penstock.contracts.meta import Meta
from penstock.contracts.services import ROUTER
from penstock.contracts.subjects import (
    ENDPOINTS,
    LLM_COMPLETE,
    LLM_COUNT,
    LLM_EMBED,
    LLM_MODELS,
    LLM_RERANK,
    LLM_RESPONSE_DELETE,
    LLM_RESPONSE_GET,
    LLM_RESUME,
    LLM_STREAM,
)
from penstock.kit.config import Secret
from services.policy.money.limits import LimitsRefused, parse_limits
from tests.services.router.conftest import Plane, asking
from tests.support.model_server import Json, hang, status

BODY = msgspec.Raw(b'{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}')


async def _stream(bus: Bus, meta: Meta) -> object:
    async with bus.stream(LLM_STREAM, asking("chat"), meta) as reader:
        return [frame async for frame in reader]


async def _resume(bus: Bus, meta: Meta) -> object:
    async with bus.stream(LLM_RESUME, ResumeRequest("strm_1"), meta) as reader:
        return [frame async for frame in reader]


DOORS: dict[str, Callable[[Bus, Meta], Awaitable[object]]] = {
    "LLM_COMPLETE": lambda bus, meta: bus.call(LLM_COMPLETE, asking("chat"), meta),
    "LLM_STREAM": _stream,
    "LLM_EMBED": lambda bus, meta: bus.call(LLM_EMBED, EmbedRequest("vectors", ["a"]), meta),
    "LLM_RERANK": lambda bus, meta: bus.call(LLM_RERANK, RerankRequest("ranks", "q", ["a", "b"]), meta),
    "LLM_COUNT": lambda bus, meta: bus.call(LLM_COUNT, CountRequest("chat", BODY, OPENAI_CHAT), meta),
    "LLM_RESPONSE_GET": lambda bus, meta: bus.call(LLM_RESPONSE_GET, ResponseRef("resp_1"), meta),
    "LLM_RESPONSE_DELETE": lambda bus, meta: bus.call(LLM_RESPONSE_DELETE, ResponseRef("resp_1"), meta),
    "LLM_RESUME": _resume,
    "LLM_MODELS": lambda bus, meta: bus.call(LLM_MODELS, ModelsRequest(), meta),
}


def furnished(plane: Plane) -> None:
    plane.deploy("vectors", "one-e", kinds=["embeddings"])
    plane.deploy("ranks", "one-r", kinds=["rerank"])
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))


def test_the_inventory_of_doors_is_all_that_the_router_answers() -> None:
    answered = {
        name
        for name, endpoint in ENDPOINTS.items()
        if isinstance(endpoint, Call | Stream) and endpoint.answered_by == ROUTER
    }
    assert answered == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
async def test_nobody_without_a_token_comes_in(plane: Plane, door: str) -> None:
    furnished(plane)
    async with plane.router():
        for token in ("", "a.b.c"):
            with pytest.raises(Failure) as caught:
                await DOORS[door](plane.bus, plane.meta(token=token))
            assert caught.value.code is Code.UNAUTHENTICATED
    assert plane.server.received == []


@pytest.mark.parametrize("door", sorted(set(DOORS) - {"LLM_MODELS", "LLM_RESUME"}))
async def test_every_door_is_decided_and_who_may_not_gets_nothing(plane: Plane, door: str) -> None:
    furnished(plane)
    await plane.log_in(scopes=("tool.call",))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await DOORS[door](plane.bus, plane.meta())
        (decision,) = await plane.decisions()
    assert (caught.value.code, decision.effect, caught.value.decision) == (Code.DENIED, "deny", decision.decision)
    assert plane.server.received == []


async def test_a_kept_stream_is_given_again_by_a_decision_of_its_own(plane: Plane) -> None:
    async with plane.router():
        asked = msgspec.structs.replace(asking("chat", stream=True), headed=True, resumable=True)
        async with plane.bus.stream(LLM_STREAM, asked, plane.meta()) as reader:
            frames = [bytes(frame) async for frame in reader]
        kept = msgspec.json.decode(frames[0], type=CompletionHead).stream
        async with plane.bus.stream(LLM_RESUME, ResumeRequest(kept), plane.meta()) as reader:
            again = [bytes(frame) async for frame in reader]
        assert b"".join(again[1:]) == b"".join(frames[1:])
        await plane.log_in(scopes=("tool.call",))
        with pytest.raises(Failure) as caught:
            async with plane.bus.stream(LLM_RESUME, ResumeRequest(kept), plane.meta()) as reader:
                raise AssertionError([frame async for frame in reader])
        assert caught.value.code is Code.DENIED
        assert [decision.effect for decision in await plane.decisions()] == ["allow", "allow", "deny"]


async def test_who_may_use_no_model_is_shown_none(plane: Plane) -> None:
    furnished(plane)
    await plane.log_in(scopes=("tool.call",))
    async with plane.router():
        assert (await plane.bus.call(LLM_MODELS, ModelsRequest(), plane.meta())).models == []


async def test_counting_at_a_provider_is_decided_as_an_answer_is(plane: Plane) -> None:
    """It sends the prompt out of the house."""
    plane.deploy("claude", "one", provider="anthropic")
    await plane.log_in(scopes=("tool.call",))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.bus.call(LLM_COUNT, CountRequest("claude", BODY, ANTHROPIC_MESSAGES), plane.meta())
    assert caught.value.code is Code.DENIED
    assert plane.server.received == []


@pytest.mark.parametrize("kind", ["fallback", "shadow", "hedge", "cached"])
async def test_no_way_around_goes_without_a_decision_of_its_own(plane: Plane, kind: str) -> None:
    """What reaches a provider, or leaves the cache, has a decision and an outcome each."""
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    more: dict[str, Json] = {
        "fallback": {},
        "shadow": {"shadow": [{"deployment": "two", "percent": 100}]},
        "hedge": {"hedge_after_s": 0.05},
        "cached": {"cache": {}},
    }
    plane.aliases["chat"] = {"deployments": ["one", "two"]} | more[kind]
    if kind == "shadow":
        plane.aliases["chat"] = {"deployments": ["one"]} | more[kind]
    if kind in ("fallback", "hedge"):
        plane.server.script(status(500) if kind == "fallback" else hang(), model="one")
    async with plane.router():
        await plane.complete()
        if kind == "cached":
            assert (await plane.complete()).served.cached == "exact"
        await plane.outcomes(2)
        decisions = await plane.decisions()
    assert {decision.attempt for decision in decisions} == {outcome.attempt for outcome in await plane.outcomes(2)}
    assert len(plane.server.received) == (1 if kind == "cached" else 2)


BAD_FILES: dict[str, tuple[dict[str, object], str]] = {
    "a rule that is never true": (
        {"rules": [{"when": "tokens > 5 && false", "use": ["one"]}]},
        "rule 1 of alias chat can match nothing",
    ),
    "a rule behind one that takes all": (
        {"rules": [{"use": ["one"]}, {"when": "tokens > 5", "use": ["two"]}]},
        "rule 2 of alias chat can match nothing",
    ),
    "the same rule twice": (
        {"rules": [{"when": "tokens > 5", "use": ["one"]}, {"when": "tokens > 5", "use": ["two"]}]},
        "rule 2 of alias chat can match nothing",
    ),
    "a rule over what there is not": ({"rules": [{"when": "tokenz > 5", "use": ["one"]}]}, "asks for 'tokenz'"),
    "a rule for nobody": ({"rules": [{"when": "tokens > 5", "use": ["three"]}]}, "not under deployments"),
    "a canary of nothing": ({"canary": [{"deployment": "two", "percent": 0}]}, "percent must be above 0"),
    "a fallback that is not there": ({"fallback": ["nobody"]}, "not under aliases"),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_what_can_match_nothing_does_not_start(plane: Plane, name: str) -> None:
    more, sentence = BAD_FILES[name]
    plane.aliases["chat"] = {"deployments": ["one", "two"]} | more
    with pytest.raises(Failure) as caught:
        async with plane.router():
            raise AssertionError("it started")
    assert caught.value.code is Code.INVALID
    assert sentence in caught.value.detail


async def test_a_deployment_that_no_alias_lists_does_not_start(plane: Plane) -> None:
    plane.deploy("chat", "one")
    with pytest.raises(Failure) as caught:
        async with plane.router():
            raise AssertionError("it started")
    assert "no alias lists the deployment two" in caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        'acme: {"user:a": {}}',
        '"*": {"agent:bot": {usd: 1}}',
        'acme: {"tenant:globex": {usd: 1}}',
        '"*": {"user:alice": {usd: 1}}',
        'acme: {"users:*": {usd: 1}}',
    ],
)
def test_a_limit_that_could_limit_nothing_is_refused(text: str) -> None:
    with pytest.raises(LimitsRefused):
        parse_limits(text)
