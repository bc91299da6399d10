"""Both fail modes, with a real policy service: closed, and open for what a @fail_open rule permitted a moment ago."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Decision, Entity, Question, Reserve
from penstock.kit.boundary import Boundary
from penstock.kit.clock import SystemClock
from penstock.kit.fail_open import FailOpen
from penstock.kit.identity import Identities
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder
from services.policy.publishing.explain import explain
from services.policy.publishing.past import Past
from services.policy.rules.bundle_cases import load_bundle
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually
from tests.support.process import module_process

READING = (
    '\n@id("reading-goes-on") @fail_open @reason("reading is harmless")\n'
    'permit (principal, action == Action::"context.search", resource);\n'
)
NO_OBLIGATIONS: frozenset[str] = frozenset()


def search(collection: str = "manuals", attempt: str = "") -> Question:
    return Question(ActionName("context.search"), Entity("Collection", collection), attempt or new_id("att"))


async def open_s(plane: Plane, question: Question, token: str) -> float:
    return (await plane.evaluate(question, token)).context.open_s


async def test_only_what_a_rule_lets_go_on_and_counts_nowhere_is_said_to_go_on(plane: Plane) -> None:
    alice, bob = plane.key(), plane.key(subject="user:bob", usd=1.0)
    plane.limits('acme: {"user:carol": {requests: 10, period: week}}')
    carol = plane.key(subject="user:carol")
    folder = plane.bundle(READING)
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(alice)).token
        assert 0 < await open_s(plane, search(attempt="att_1"), token) <= 60
        assert await open_s(plane, search(attempt="att_1"), token) == 0  # an answer of before
        assert await open_s(plane, complete(), token) == 0
        assert await open_s(plane, call_tool("clock", effect="read"), token) == 0
        assert await open_s(plane, search(), (await plane.authenticate(bob)).token) > 0
        priced = Question(
            ActionName("context.search"), Entity("Collection", "manuals"), new_id("att"), reserve=Reserve(1)
        )
        assert await open_s(plane, priced, token) == 0
        assert await open_s(plane, search(), (await plane.authenticate(carol)).token) == 0


async def test_rules_that_look_at_what_only_policy_counts_and_a_setting_of_nothing_close_it(plane: Plane) -> None:
    credential = plane.key()
    busy = (
        '@id("busy") forbid (principal, action == Action::"context.search", resource)'
        " when { context has minute_rate && context.minute_rate > 100 };"
    )
    async with plane.policy(bundle_dir=str(plane.bundle(READING + busy))):
        token = (await plane.authenticate(credential)).token
        assert await open_s(plane, search(), token) == 0
    async with plane.policy(bundle_dir=str(plane.bundle(READING)), fail_open_s=0.0):
        assert await open_s(plane, search(), token) == 0


@asynccontextmanager
async def service(plane: Plane) -> AsyncIterator[tuple[Boundary, Recorder]]:
    """A data-plane service's boundary."""
    bus = await Bus.connect(BusConfig(url=plane.broker.url, principal="router", no_responders_s=0.1))
    log, metrics, clock = Log(plane.lines.append), Metrics("router"), SystemClock()
    recorder, identities = Recorder(bus, "router", clock, metrics, log), Identities(bus, clock, metrics)
    await identities.refresh()
    watching = asyncio.create_task(identities.revocations.watch())
    open_ = FailOpen(identities, recorder, clock, metrics, log, ask_s=1.0)
    await identities.revocations.load()
    yield Boundary(bus, recorder, clock, metrics, identities=identities, fail_open=open_), recorder
    watching.cancel()
    await asyncio.wait({watching})
    assert await recorder.close(10) == 0
    await bus.close()


async def does(boundary: Boundary, question: Question, token: str) -> Decision:
    meta = Meta(request="req_1", tenant="acme", token=token, deadline=time.time() + 20)
    async with boundary.action(question, meta) as action:
        return action.decision


async def closed(boundary: Boundary, question: Question, token: str) -> None:
    with pytest.raises(Failure) as raised:
        await does(boundary, question, token)
    assert raised.value.code is Code.UNAVAILABLE


async def test_a_killed_policy_leaves_reading_open_and_all_else_closed_until_it_is_back(plane: Plane) -> None:
    alice, bob = plane.key(), plane.key(subject="user:bob")
    folder = plane.bundle(READING)
    environment = {
        **os.environ,
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_STORE_URL": plane.valkey.url,
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_BUNDLE_DIR": str(folder),
    }
    async with module_process("services.policy", environment=environment) as process:
        await process.says('"event":"ready"')
        async with service(plane) as (boundary, _):
            token = (await plane.authenticate(alice)).token
            other = (await plane.authenticate(bob)).token
            first = await does(boundary, search(attempt="att_1"), token)
            await does(boundary, complete(), token)
            await process.kill()

            own = await does(boundary, search(attempt="att_2"), token)
            assert own.context.bundle == first.context.bundle
            await closed(boundary, complete(), token)
            await closed(boundary, search("letters"), token)
            await closed(boundary, search(), other)

            process.start()

            async def back() -> None:
                try:
                    assert (await does(boundary, search(), token)).context.reasons[0].policy != "fail_open"
                except Failure as failure:
                    raise AssertionError from failure

            await eventually(back, within_s=30.0)
    found = [one for one in await plane.decisions() if one.decision == own.context.id]
    assert [(one.attempt, one.effect, one.reasons[0].policy, one.who.origin) for one in found] == [
        ("att_2", "allow", "fail_open", "user:alice")
    ]
    again = explain(await Past(plane.bus, 10, 1000).one("acme", own.context.id), load_bundle(folder), NO_OBLIGATIONS)
    assert (again.again, [(rule.id, rule.applies) for rule in again.rules if rule.id != "scoped-use"]) == (
        "allow",
        [("reading-goes-on", True)],
    )
    assert found[0].reasons[0].text.startswith("fail open: policy could not be asked; it permitted the same ")


async def test_a_policy_that_cannot_record_is_one_that_cannot_be_asked(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle(READING)
    async with (
        plane.policy(bundle_dir=str(folder), record_timeout_s=0.3, drain_s=0.5),
        service(plane) as (boundary, recorder),
    ):
        token = (await plane.authenticate(credential)).token
        await does(boundary, search(), token)
        await plane.bus.jetstream.ask("STREAM.DELETE.AUDIT", {}, dict[str, object], "the audit stream")
        own = await does(boundary, search(attempt="att_2"), token)
        await closed(boundary, complete(), token)
        assert recorder.waiting > 0
        await plane.bus.prepare()

        async def told() -> None:
            assert own.context.id in [one.decision for one in await plane.decisions()]

        await eventually(told, within_s=25.0)
