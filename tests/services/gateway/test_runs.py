"""Chains and the end of runs over HTTP, with the real policy behind the edge."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.governance import POLICY_AUTHENTICATE, POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate, Delegate
from penstock.kit.config import Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.gateway.config import Config as GatewayConfig
from services.gateway.main import gateway
from services.policy.config import Config as PolicyConfig
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build as policy
from tests.services.gateway.conftest import ScriptedEdge, port_of
from tests.support.nats_server import NatsServer
from tests.support.scripted_router import scripted_router
from tests.support.valkey_server import ValkeyServer


@pytest.fixture
async def governed_edge(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[ScriptedEdge]:
    """With one run, and one below it."""
    common = {"nats_url": broker.url, "data_dir": str(tmp_path), "config_dir": str(tmp_path), "drain_s": 2.0}
    key = create_key(tmp_path / "keys.json", ApiKey("", "", "acme", "user:alice"), now=1.0)[1]
    edge = msgspec.structs.replace(GatewayConfig(), **common, http_port=0)
    policies = msgspec.structs.replace(PolicyConfig(), **common, store_url=Secret(valkey.url))
    lines: list[str] = []
    log = Log(lines.append)
    setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
    await setup.prepare()
    try:
        async with (
            scripted_router(broker.url) as router,
            running(policy, policies, "policy", log=log),
            running(gateway, edge, "gateway", log=log),
        ):
            token = (await setup.call(POLICY_AUTHENTICATE, Authenticate(key), Meta(), timeout_s=5)).token
            for run in ("run_1", "run_2"):
                asked = Delegate(run, f"agent:{run}")
                token = (await setup.call(POLICY_DELEGATE, asked, Meta(token=token), timeout_s=5)).token
            yield ScriptedEdge(f"http://127.0.0.1:{await port_of(lines)}", key, router, lines)
    finally:
        await setup.close()


async def test_a_chain_is_shown_and_a_run_is_ended(governed_edge: ScriptedEdge) -> None:
    async with governed_edge.client() as client:
        chain = (await client.get("/v1/runs/run_2/chain")).json()
        txn = chain["links"][0]["link"]["txn"]
        page = (await client.get(f"/v1/runs/{txn}/chain?limit=1")).json()
        rest = (await client.get(f"/v1/runs/{txn}/chain?limit=5&after={page['next']}")).json()
        ended = await client.post("/v1/runs/run_2/revoke", json={"reason": "astray"})
        again = await client.post("/v1/runs/run_2/revoke")
        after = (await client.get("/v1/runs/run_2/chain")).json()

    assert [one["link"]["actor"] for one in chain["links"]] == ["agent:run_1", "agent:run_2"]
    assert [one["link"]["run"] for one in page["links"] + rest["links"]] == ["run_1", "run_2"]
    assert (ended.status_code, ended.json()) == (200, {"run": "run_2"})
    assert again.status_code == 200
    assert [one.get("revoked", False) for one in after["links"]] == [False, True]


async def test_what_is_no_run_is_not_found_and_what_cannot_be_meant_is_refused(governed_edge: ScriptedEdge) -> None:
    async with governed_edge.client() as client:
        answers = [
            await client.get("/v1/runs/run_9/chain"),
            await client.get("/v1/runs/run.1/chain"),
            await client.post("/v1/runs/*/revoke"),
            await client.get("/v1/runs/run_1/chain?limit=x"),
            await client.get("/v1/runs/run_1/chain?limit=0"),
            await client.post("/v1/runs/run_1/revoke", json={"below": True}),
        ]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 400, 400, 400]
