"""Searches go on for a moment when policy goes, where a @fail_open rule permitted them; nothing else does."""

from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, DecisionRecord, OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.kit.config import Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.policy import config as policy_config
from services.policy import main as policy_main
from tests.services.context.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import model_server
from tests.support.nats_server import NatsServer
from tests.support.policies import written
from tests.support.valkey_server import ValkeyServer

READING = '@id("reading-goes-on") @fail_open permit (principal, action == Action::"context.search", resource);'
TEXT = "# Desk\n\nThe keys hang beside the door.\n"


async def own(plane: Plane) -> list[str]:
    """Of each record that the context service wrote with its own decisions: what it says."""
    stored = await plane.bus.read(AUDIT_BATCH, tenant="acme", service="context")
    records = [record for one in stored for record in one.body.records]
    decisions = [msgspec.json.decode(one.data, type=DecisionRecord) for one in records if one.type == DECISION]
    outcomes = [msgspec.json.decode(one.data, type=OutcomeRecord) for one in records if one.type != DECISION]
    return [
        f"{decision.action} {decision.effect} {decision.reasons[0].policy} {outcome.status}"
        for decision in decisions
        for outcome in outcomes
        if outcome.decision == decision.decision
    ]


async def refused(plane: Plane, query: str) -> None:
    with pytest.raises(Failure) as raised:
        await plane.search(query)
    assert raised.value.code is Code.UNAVAILABLE


async def test_a_search_goes_on_when_policy_is_gone_and_a_new_one_does_not(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    settings = policy_config.Config(
        nats_url=broker.url,
        store_url=Secret(valkey.url),
        data_dir=str(tmp_path),
        bundle_dir=written(tmp_path / "policies", READING),
        reload_every_s=0.02,
        drain_s=2.0,
    )
    async with AsyncExitStack() as stack:
        bus = await Bus.connect(BusConfig(url=broker.url, principal="orchestrator"))
        stack.push_async_callback(bus.close)
        await bus.prepare()
        server = await stack.enter_async_context(model_server())
        silent: list[str] = []
        policy = await stack.enter_async_context(AsyncExitStack())
        await policy.enter_async_context(running(policy_main.build, settings, "policy", log=Log(silent.append)))
        plane = Plane(bus, broker, valkey, server, tmp_path)
        await plane.log_in()
        async with plane.context() as service:
            await plane.ingest("desk.md", TEXT)
            before = await plane.search("keys")
            assert service.readiness.ready().notes is msgspec.UNSET
            await policy.aclose()

            after = await plane.search("keys")
            assert [one.text for one in after.passages] == [one.text for one in before.passages] != []
            await refused(plane, "door")
            with pytest.raises(Failure) as raised:
                await plane.ingest("desk.md", TEXT + "More.\n")
            assert raised.value.code is Code.UNAVAILABLE
            state = service.readiness.ready()
            assert state.ok
            assert state.notes == ["fail open: policy could not be asked: 1 actions went on by @fail_open"]

            async def written_down() -> None:
                assert await own(plane) == ["context.search allow fail_open ok"]

            await eventually(written_down)
