"""API keys over HTTP, on a real broker with the real policy behind the edge."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from penstock.bus import Bus, BusConfig
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
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.scripted_router import scripted_router
from tests.support.valkey_server import ValkeyServer

ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def admin_edge(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[ScriptedEdge]:
    """With a key that may look after keys, and a public address."""
    setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
    await setup.prepare()
    await setup.close()
    lines: list[str] = []
    log = Log(lines.append)
    common = {"nats_url": broker.url, "data_dir": str(tmp_path), "config_dir": str(tmp_path), "drain_s": 2.0}
    wanted = ApiKey("", "", "acme", "user:alice", scopes=("*", "key:admin"))
    key = create_key(tmp_path / "keys.json", wanted, now=1.0)[1]
    edge_config = msgspec.structs.replace(
        GatewayConfig(),
        **common,
        http_port=0,
        public_url="https://plane.example.com",
        authorization_servers=("https://idp.example.com/",),
    )
    policy_config = msgspec.structs.replace(PolicyConfig(), **common, store_url=Secret(valkey.url))
    async with (
        scripted_router(broker.url) as router,
        running(policy, policy_config, "policy", log=log),
        running(gateway, edge_config, "gateway", log=log),
    ):
        yield ScriptedEdge(f"http://127.0.0.1:{await port_of(lines)}", key, router, lines)


async def made(edge: ScriptedEdge, **wanted: object) -> tuple[str, str]:
    async with edge.client() as client:
        answer = await client.post("/v1/keys", json=wanted)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["id"], answer.json()["key"]


async def status(edge: ScriptedEdge, key: str) -> int:
    async with edge.client(key) as client:
        return (await client.get("/v1/keys/none")).status_code


async def test_a_key_is_made_shown_once_and_works(admin_edge: ScriptedEdge) -> None:
    id, key = await made(admin_edge, name="nightly", scopes=["key.*"], limits=[{"tokens": 1000, "period": "day"}])
    assert await status(admin_edge, key) == 404
    async with admin_edge.client() as client:
        one = (await client.get(f"/v1/keys/{id}")).json()
        listed = (await client.get("/v1/keys?limit=10")).json()["keys"]
    assert (one["name"], one["state"], one["limits"]) == ("nightly", "usable", [{"tokens": 1000, "period": "day"}])
    assert id in [each["id"] for each in listed]
    secret = key.split("_", 2)[2]
    assert secret not in str(one) + str(listed) + "".join(admin_edge.lines)


async def test_a_revoked_key_is_refused_at_once_though_the_edge_remembered_it(admin_edge: ScriptedEdge) -> None:
    id, key = await made(admin_edge)
    assert await status(admin_edge, key) == 404
    began = time.monotonic()
    async with admin_edge.client() as client:
        assert (await client.delete(f"/v1/keys/{id}")).json() == {"ids": [id]}

    async def refused() -> None:
        assert await status(admin_edge, key) == 401

    await eventually(refused)
    assert time.monotonic() - began < 60, "the edge forgot it by time, not by the revocation"


async def test_a_rotated_key_is_another_and_the_old_one_has_its_grace(admin_edge: ScriptedEdge) -> None:
    id, old = await made(admin_edge)
    async with admin_edge.client() as client:
        answer = await client.post(f"/v1/keys/{id}/rotate", json={"grace_s": 3600})
        new = answer.json()["key"]
        assert answer.headers["cache-control"] == "no-store"
        assert (await status(admin_edge, old), await status(admin_edge, new)) == (404, 404)
        assert (await client.post(f"/v1/keys/{id}/expire", json={"at": 1})).status_code == 200

    async def refused() -> None:
        assert (await status(admin_edge, old), await status(admin_edge, new)) == (401, 401)

    await eventually(refused)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"scopes": ["tools:destructive"]}, 403, "scopes"),
        ({"tenant": "umbrella"}, 400, "tenant"),
        ({"digest": "0f" * 32}, 400, "digest"),
        ({"limits": [{"tokens": "many"}]}, 400, None),
        (["a"], 400, None),
    ],
)
async def test_what_may_not_be_asked_for_is_refused(
    admin_edge: ScriptedEdge, body: object, code: int, param: str | None
) -> None:
    async with admin_edge.client() as client:
        answer = await client.post("/v1/keys", json=body)
    assert answer.status_code == code
    if param:
        assert answer.json()["error"]["param"] == param


async def test_who_lacks_a_scope_is_told_which_and_where_to_get_it(admin_edge: ScriptedEdge) -> None:
    _, key = await made(admin_edge, scopes=["model.*"])
    async with admin_edge.client(key) as client:
        answer = await client.post("/v1/keys", json={})
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="penstock", error="insufficient_scope", resource_metadata="https://plane.example.com'
        '/.well-known/oauth-protected-resource/v1/keys", scope="key.create"'
    )


async def test_anybody_may_read_how_to_get_in(admin_edge: ScriptedEdge) -> None:
    async with httpx.AsyncClient(base_url=admin_edge.url) as client:
        whole, part, none = await asyncio.gather(
            client.get("/.well-known/oauth-protected-resource"),
            client.get("/.well-known/oauth-protected-resource/v1/jobs", headers={"host": "evil.example.com"}),
            client.get("/.well-known/oauth-protected-resource/v1/<script>"),
        )
    assert whole.json()["resource"] == "https://plane.example.com"
    assert part.json()["resource"] == "https://plane.example.com/v1/jobs"
    assert none.status_code == 404


async def test_without_an_address_the_edge_publishes_nothing(edge: ScriptedEdge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        assert (await client.get("/.well-known/oauth-protected-resource")).status_code == 404
        assert (await client.get("/v1/models")).headers["www-authenticate"] == 'Bearer realm="penstock"'
