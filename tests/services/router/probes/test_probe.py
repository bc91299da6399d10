"""Probes of deployments on a schedule: decided and recorded under a key of their own, judged, and learned from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Failure
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.money.limits import Limit
from services.router.config import Config
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import WIRES, every_wire
from tests.support.eventually import eventually
from tests.support.model_server import (
    Json,
    Line,
    Received,
    Reply,
    chunk,
    events,
    hang,
    json,
    plain,
    status,
    streamed,
    usage_chunk,
)
from tests.support.otlp_receiver import otlp_receiver

PROBE: Json = {"every_s": 1}
RARELY: Json = {"every_s": 3600}
WORKLOAD = ApiKey("", "", "acme", "workload:probes")


def probed(plane: Plane, probe: Json | None = None, *, key: ApiKey = WORKLOAD, **more: object) -> None:
    """`chat` is `one`, which is probed, and `two`, which is not."""
    plane.deploy("chat", "one", "two")
    plane.deployments["one"] |= {"probe": probe or PROBE, "protocols": ["openai.chat"]} | more
    credential = create_key(plane.folder / "keys.json", key, now=1.0)[1]
    plane.config = msgspec.structs.replace(plane.config, probe_key=Secret(credential))


async def metric(host: Host[Config], name: str, **labels: str) -> float:
    assert host.parts is not None
    value = host.parts.metrics.registry.get_sample_value(name, labels)
    return value or 0.0


async def shown(host: Host[Config], result: str, deployment: str = "one") -> None:
    async def so() -> None:
        assert await metric(host, "penstock_probes_total", deployment=deployment, result=result) > 0

    await eventually(so)


async def probes_recorded(plane: Plane, count: int) -> list[OutcomeRecord]:
    async def so() -> list[OutcomeRecord]:
        found = [outcome for outcome in await plane.ended() if outcome.reason == "probe"]
        assert len(found) >= count
        return found

    return await eventually(so)


async def test_a_deployment_that_is_well_is_asked_whole_and_streamed_decided_and_booked(plane: Plane) -> None:
    probed(plane, key=msgspec.structs.replace(WORKLOAD, limits=(Limit(1.0, None),)))
    async with plane.router() as host:
        whole, flowing, *_ = await probes_recorded(plane, 2)
        decisions = {decision.attempt: decision for decision in await plane.decisions()}
        assert await metric(host, "penstock_probes_total", deployment="one", result="ok") >= 2
        assert await metric(host, "penstock_probe_well", deployment="one") == 1
        assert await metric(host, "penstock_probe_duration_seconds_count", deployment="one", streamed="true") >= 1
    for outcome in (whole, flowing):
        decision = decisions[outcome.attempt]
        assert (decision.who.origin, decision.action) == ("workload:probes", "model.complete")
        assert (outcome.status, outcome.deployment, outcome.resource) == ("ok", "one", 'Model::"chat"')
        assert outcome.cost_nano == 9 * 2_000 + 3 * 10_000
        assert outcome.result_digest
    assert [request.streamed for request in plane.server.received[:2]] == [False, True]
    assert {request.model for request in plane.server.received} == {"one"}
    asked = plane.server.received[0].fields
    assert asked["messages"] == [{"role": "user", "content": "Reply with the word OK."}]
    assert asked["max_completion_tokens"] == 16


async def test_a_probe_is_a_trace_of_its_own(plane: Plane) -> None:
    probed(plane)
    async with otlp_receiver() as receiver:
        async with plane.router(otel=receiver.env):
            whole, flowing, *_ = await probes_recorded(plane, 2)
        roots = [span for span in receiver.spans if span.name == "probe"]
        tries = [span for span in receiver.spans if span.kind == "CLIENT"]
    assert all((span.kind, span.parent) == ("INTERNAL", "") for span in roots)
    assert {span.attributes["penstock.deployment"] for span in roots} == {"one"}
    assert {span.parent for span in tries} == {span.id for span in roots}
    assert {whole.decision, flowing.decision} <= {span.attributes["penstock.decision"] for span in tries}


@pytest.mark.parametrize("wire", WIRES)
async def test_every_kind_of_provider_can_be_probed(plane: Plane, wire: str) -> None:
    probed(plane, RARELY)
    async with every_wire(plane) as server:
        plane.deployments[wire]["probe"] = PROBE
        async with plane.router() as host:

            async def twice() -> None:
                assert await metric(host, "penstock_probes_total", deployment=wire, result="ok") >= 2

            await eventually(twice)
    assert {request.wire for request in server.received} == {wire}
    assert [request.seen.streamed for request in server.received[:2]] == [False, True]


async def test_without_a_key_that_pays_nothing_is_probed(plane: Plane) -> None:
    probed(plane)
    async with plane.router(probe_key=Secret()):
        await plane.complete()
        assert (await plane.complete()).served.deployment == "one"
    assert len(plane.server.received) == 2


async def test_without_a_token_nothing_is_asked_and_it_shows(plane: Plane) -> None:
    probed(plane)
    async with plane.router(probe_key=Secret("psk_nobody_x")) as host:
        await shown(host, "no_token")
    assert plane.server.received == []
    assert not any("psk_nobody_x" in line for line in plane.lines)


async def test_a_probe_that_policy_refuses_asks_nobody_and_blames_nobody(plane: Plane) -> None:
    probed(plane, key=msgspec.structs.replace(WORKLOAD, limits=(Limit(0.0000001, None),)))
    async with plane.router(breaker_failures_max=1) as host:
        await shown(host, "refused")
        assert plane.server.received == []
        assert (await plane.complete()).served.deployment == "one"
        assert {outcome.reason for outcome in await plane.outcomes(1)} != {"probe"}


async def test_a_slow_one_is_found_slow_before_anybody_asks_it(plane: Plane) -> None:
    async def slow(line: Line, request: Received) -> None:
        await asyncio.sleep(0.4)
        await plain()(line, request)

    probed(plane, {"every_s": 1, "streamed": False})
    plane.deployments["two"]["probe"] = {"every_s": 1, "streamed": False}
    plane.aliases["chat"] = {"deployments": ["one", "two"], "strategy": "least_latency"}
    plane.server.script(slow, model="one")
    async with plane.router() as host:
        await shown(host, "ok", "one")
        await shown(host, "ok", "two")
        for _ in range(5):
            assert (await plane.complete()).served.deployment == "two"


LIES: dict[str, tuple[Reply, Reply, str, bool]] = {
    "nothing in it": (plain(""), streamed(), "garbage", True),
    "no answer at all": (json({}), streamed(), "garbage", True),
    "an error": (status(500), streamed(), "transient", True),
    "silence": (hang(), streamed(), "timeout", True),
    "a stream that ends early": (plain(), events(chunk({"content": "O"})), "transient", True),
    "a stream that says nothing": (plain(), events(chunk({}, "stop"), b"data: [DONE]\n\n"), "garbage", True),
    "no usage": (plain(usage=False), streamed(), "no_usage", False),
    "no usage in a stream": (plain(), streamed(usage=False), "no_usage", False),
    "no last event": (
        plain(),
        events(chunk({"content": "OK"}), chunk({}, "stop"), usage_chunk(9, 3, 0)),
        "no_end",
        False,
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_one_that_lies_is_found_out_and_left_out_where_no_client_could_use_it(plane: Plane, lie: str) -> None:
    whole, flowing, result, leaves = LIES[lie]

    async def reply(line: Line, request: Received) -> None:
        await (flowing if request.streamed else whole)(line, request)

    probed(plane, {"every_s": 1, "within_s": 0.5})
    plane.server.script(reply, model="one")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=60.0) as host:
        await shown(host, result)

        async def not_well() -> None:
            assert await metric(host, "penstock_probe_well", deployment="one") == 0

        await eventually(not_well)
        plane.server.script(plain(), model="one")
        assert (await plane.complete()).served.deployment == ("two" if leaves else "one")
        assert any('"event":"probe"' in line and f'"result":"{result}"' in line for line in plane.lines)


async def test_after_a_rest_the_probe_is_the_trial_and_no_request_has_to_be(plane: Plane) -> None:
    probed(plane, {"every_s": 3600, "streamed": False})
    plane.server.script(status(500), model="one")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=0.3) as host:
        assert (await plane.complete()).served.deployment == "two"

        async def tried(times: int) -> None:
            for _ in range(3):
                assert (await plane.complete()).served.deployment == "two"
            assert len([outcome for outcome in await plane.ended() if outcome.reason == "probe"]) >= times

        await eventually(lambda: tried(2), within_s=8.0)
        by_people = [
            outcome for outcome in await plane.ended() if outcome.deployment == "one" and outcome.reason != "probe"
        ]
        assert len(by_people) == 1
        plane.server.script(plain(), model="one")
        await shown(host, "ok")
        assert (await plane.complete()).served.deployment == "one"


async def test_where_nobody_else_is_left_a_request_may_still_be_the_trial(plane: Plane) -> None:
    """A probe that does not come keeps nobody waiting: here policy refuses it."""
    probed(plane, RARELY, key=msgspec.structs.replace(WORKLOAD, limits=(Limit(0.0000001, None),)))
    plane.deployments.pop("two")
    plane.aliases["chat"] = ["one"]
    plane.server.script(status(500), plain(), model="one")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=0.2, rounds_max=2, backoff_s=0.4):

        async def served() -> str:
            try:
                return (await plane.complete()).served.reason
            except Failure as failure:  # the probe that will be refused is still being decided
                raise AssertionError("not yet") from failure

        reason = await eventually(served)
    assert reason.startswith("nobody else is left")


async def test_a_trial_that_policy_refuses_is_not_asked_for_again_and_again(plane: Plane) -> None:
    probed(plane, RARELY, key=msgspec.structs.replace(WORKLOAD, limits=(Limit(0.0000001, None),)))
    plane.server.script(status(500), model="one")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=0.2) as host:
        assert (await plane.complete()).served.deployment == "two"
        await shown(host, "refused")
        looks = asyncio.get_running_loop().time() + 1.5

        async def some_looks_later() -> None:
            assert asyncio.get_running_loop().time() > looks

        await eventually(some_looks_later)
        refused = [decision for decision in await plane.decisions() if decision.effect == "deny"]
        assert len(refused) == 1
    assert plane.server.asked("one") == 1


@asynccontextmanager
async def three(plane: Plane) -> AsyncIterator[list[Host[Config]]]:
    async with plane.router() as one, plane.router() as two, plane.router() as third:
        yield [one, two, third]


async def test_of_three_routers_one_probes_at_a_time(plane: Plane) -> None:
    """Over three intervals there are about three probes, not nine; each interval has one, whoever's."""
    probed(plane, {"every_s": 1, "streamed": False})
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    under_way = most = 0

    async def watched(line: Line, request: Received) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        await plain()(line, request)
        under_way -= 1

    plane.server.script(watched, model="one")
    loop = asyncio.get_running_loop()
    async with three(plane):
        began = loop.time()
        await probes_recorded(plane, 3)
        took_s = loop.time() - began
    assert most == 1
    assert plane.server.asked("one") <= 2 + took_s / 0.9


async def test_a_lost_store_leaves_each_router_to_probe_by_itself(plane: Plane) -> None:
    probed(plane, {"every_s": 1, "streamed": False})
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret("redis://127.0.0.1:1/0"))
    async with three(plane) as hosts:
        for host in hosts:
            await shown(host, "ok")


async def test_a_stop_in_the_middle_of_a_probe_settles_it_as_cancelled(plane: Plane) -> None:
    probed(plane)
    plane.deployments["one"]["timeouts"] = {"total_s": 60.0}
    plane.server.script(hang(), model="one")
    async with plane.router():

        async def under_way() -> None:
            assert plane.server.asked("one") == 1

        await eventually(under_way)
    (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.reason) == ("cancelled", "probe")


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        ({"every_s": 0.5}, "probe: every_s must be 1 to 86400 seconds"),
        ({"every_s": 60, "output_tokens": 0}, "output_tokens 1 to 4096"),
        ({"every_s": 60, "within_s": 0}, "probe: within_s must be above 0"),
        ({"every_s": 60, "prompt": ""}, "probe: prompt must be 1 to 1000 characters"),
    ],
)
async def test_a_probe_that_cannot_be_is_refused(plane: Plane, probe: Json, sentence: str) -> None:
    probed(plane, probe)
    with pytest.raises(Exception, match=sentence):
        async with plane.router():
            raise AssertionError("it started")


async def test_what_does_no_chat_is_not_probed(plane: Plane) -> None:
    probed(plane)
    plane.deploy("vectors", "one-e", kinds=["embeddings"], probe=PROBE)
    with pytest.raises(Exception, match="only deployments that do chat are probed"):
        async with plane.router():
            raise AssertionError("it started")
