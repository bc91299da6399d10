"""What else other gateways got wrong: answers kept for one and given to another, a success recorded for a stream that
died, a stop that cuts what is under way."""

import asyncio
import time

import msgspec
import pytest

from penstock.bus import Bus
from penstock.contracts.errors import Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE
from penstock.contracts.llm import Completion, CompletionRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate
from penstock.contracts.subjects import LLM_COMPLETE
from penstock.kit.config import Secret
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from tests.services.router.conftest import Plane, Streamed
from tests.services.router.lessons.callers import SURFACES, Step, follow, request
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, Reply, chunk, error_event, events, plain
from tests.support.process import module_process

DEATHS: dict[str, Reply] = {
    "cut": events(chunk({"content": "x"}), pause_s=0.2, then="cut"),
    "reset": events(chunk({"content": "x"}), pause_s=0.2, then="reset"),
    "ended without a reason to stop": events(chunk({"content": "x"})),
    "an error": events(chunk({"content": "x"}), error_event("died"), pause_s=0.05),
    "garbage": events(chunk({"content": "x"}), b"data: {not json\n\n", pause_s=0.05),
    "silence": events(chunk({"content": "x"}), then="hang"),
}


# Cache isolation ---------------------------------------------------------------------------------------------------


async def token_of(bus: Bus, plane: Plane, tenant: str, subject: str) -> str:
    credential = create_key(plane.folder / "keys.json", ApiKey("", "", tenant, subject), now=1.0)[1]

    async def known() -> str:
        try:
            return (await bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=5)).token
        except Failure as failure:
            raise AssertionError from failure

    return await eventually(known)


async def ask_as(plane: Plane, tenant: str, token: str, words: str) -> Completion:
    body = {"model": "chat", "messages": [{"role": "user", "content": words}]}
    meta = Meta(request="req_1", tenant=tenant, token=token, deadline=time.time() + 20)
    return await plane.bus.call(LLM_COMPLETE, CompletionRequest("chat", msgspec.Raw(msgspec.json.encode(body))), meta)


def numbered() -> Reply:
    """Every answer is another one."""
    count = iter(range(1_000))

    async def reply(line: Line, received: Received) -> None:
        await plain(f"answer {next(count)}")(line, received)

    return reply


@pytest.mark.parametrize("scope", ["user", "tenant"])
async def test_no_kept_answer_crosses_an_identity(plane: Plane, scope: str) -> None:
    """Exact and alike, whole: by user unless the alias says otherwise, and never beyond the tenant."""
    plane.deploy("vectors", "one-e", kinds=["embeddings"])
    plane.default = {"embed": "vectors"}
    plane.aliases["chat"] = {"deployments": ["one"], "cache": {"scope": scope, "similarity": 0.8}}
    plane.deployments.pop("two")
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    plane.server.script(numbered(), model="one")
    people = [("acme", "user:alice"), ("acme", "user:bob"), ("globex", "user:alice")]
    tokens = [await token_of(plane.bus, plane, *who) for who in people]
    async with plane.router():
        heard: list[list[bytes]] = []
        for (tenant, _), token in zip(people, tokens, strict=True):
            exact = await ask_as(plane, tenant, token, "What is the capital of France?")
            alike = await ask_as(plane, tenant, token, "What is the capital of Franze?")
            heard.append([bytes(exact.body), bytes(alike.body)])
            assert alike.served.cached == "semantic"
    alice, bob, stranger = heard
    assert (alice == bob) is (scope == "tenant")
    assert not {*stranger} & {*alice, *bob}


async def test_who_asks_at_the_same_moment_shares_only_with_itself(plane: Plane) -> None:
    plane.aliases["chat"] = {"deployments": ["one", "two"], "cache": {}}
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    plane.server.script(numbered())
    people = [("acme", "user:alice"), ("acme", "user:bob"), ("globex", "user:alice")]
    tokens = [await token_of(plane.bus, plane, *who) for who in people]
    async with plane.router():
        asked = [
            ask_as(plane, who[0], token, "hi") for who, token in zip(people, tokens, strict=True) for _ in range(4)
        ]
        answers = [bytes(answer.body) for answer in await asyncio.gather(*asked)]
    mine = [set(answers[start : start + 4]) for start in (0, 4, 8)]
    assert [len(each) for each in mine] == [1, 1, 1]
    assert len(set(answers)) == len(plane.server.received) == 3


# No false success --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("death", DEATHS)
async def test_a_stream_that_dies_is_recorded_as_no_success_and_kept_by_nobody(plane: Plane, death: str) -> None:
    plane.deploy("wire", "one", protocols=["openai.chat"])
    plane.aliases["wire"] = {"deployments": ["one"], "cache": {}}
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    plane.server.script(DEATHS[death])
    async with plane.router(breaker_failures_max=1_000, rounds_max=1):
        for surface in SURFACES:
            with pytest.raises(Failure):
                await follow(plane, "wire", surface, request(surface, [Step("hi")], streamed=True))
        outcomes = await plane.outcomes(len(SURFACES))
    assert {outcome.status for outcome in outcomes} == {"error"}
    assert all(outcome.usage.estimated and outcome.usage.output for outcome in outcomes)
    assert plane.server.asked("one") == len(SURFACES)


# Stopping ----------------------------------------------------------------------------------------------------------


async def test_a_stop_lets_a_stream_under_way_come_to_its_end(plane: Plane) -> None:
    """A real process and a real SIGTERM: the stream ends whole and is booked, and only then does the process."""
    gate = asyncio.Event()

    async def slow(line: Line, received: Received) -> None:
        line.head(Content_Type="text/event-stream")
        line.write(chunk({"content": "be"}))
        await gate.wait()
        line.write(chunk({"content": "gun"}, "stop") + b"data: [DONE]\n\n")
        line.end()

    plane.deploy("chat", "one", timeouts={"idle_s": 20.0})
    plane.aliases["chat"] = ["one"]
    plane.deployments.pop("two")
    plane.server.script(slow)
    plane.rewrite()
    seen = Streamed()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_MODELS_FILE": "models.yaml",
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_DRAIN_S": "20",
    }
    async with module_process("services.router", environment=environment) as process:
        await process.says('"event":"ready"')
        reading = asyncio.create_task(plane.stream(into=seen))

        async def begun() -> None:
            assert seen.frames

        await eventually(begun)
        ending = asyncio.create_task(process.terminate(within_s=15.0))
        await process.says('"event":"(stopping|draining|stop)')
        assert not reading.done()
        gate.set()
        await reading
        assert await ending == 0
    assert seen.text.endswith(b"data: [DONE]\n\n")
    assert [outcome.status for outcome in await plane.outcomes(1)] == ["ok"]
