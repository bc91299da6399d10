"""The edge on a real broker, with the real policy, router and orchestrator behind it and a scripted provider."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest
import yaml

from penstock.bus import Bus, BusConfig
from penstock.kit.config import KitConfig, Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.gateway.config import Config as GatewayConfig
from services.gateway.main import gateway
from services.orchestrator.config import Config as OrchestratorConfig
from services.orchestrator.main import orchestrator
from services.policy.config import Config as PolicyConfig
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build as policy
from services.policy.money.limits import Limit
from services.policy.rulebook import STARTER
from services.router.config import Config as RouterConfig
from services.router.main import build as router
from tests.support.eventually import eventually
from tests.support.model_server import ModelServer, model_server
from tests.support.nats_server import NatsServer
from tests.support.scripted_router import ScriptedRouter, scripted_router
from tests.support.valkey_server import ValkeyServer

AnyConfig = TypeVar("AnyConfig", bound=KitConfig)

PRICE = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10}
TIMEOUTS = {"headers_s": 2.0, "first_content_s": 2.0, "idle_s": 2.0, "total_s": 10.0}


@dataclass
class EdgePlane:
    url: str
    folder: Path
    provider: ModelServer
    broker: NatsServer
    lines: list[str]

    async def key(self, tenant: str = "acme", subject: str = "user:alice", usd: float = 0.0, team: str = "") -> str:
        """A new API key that the edge knows."""
        limits = (Limit(usd, None),) if usd else ()
        made = ApiKey("", "", tenant, subject, scopes=("*",), limits=limits, team=team)
        credential = create_key(self.folder / "keys.json", made, now=1.0)[1]

        async def known() -> None:
            async with self.client(credential) as client:
                assert (await client.get("/v1/models")).status_code == 200

        await eventually(known)
        return credential

    def policies(self, more: str) -> None:
        """Adds to what is in force, as one atomic change of a file."""
        written = self.folder / "bundle" / "written"
        written.write_text(more, encoding="utf-8")
        written.replace(self.folder / "bundle" / "more.cedar")

    def client(self, credential: str = "", **headers: str) -> httpx.AsyncClient:
        if credential:
            headers["authorization"] = f"Bearer {credential}"
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20)


@dataclass
class ScriptedEdge:
    """The edge with the real policy behind it, and a router that says what a test has written down."""

    url: str
    key: str
    router: ScriptedRouter
    lines: list[str]

    def client(self, credential: str | None = None, **headers: str) -> httpx.AsyncClient:
        headers.setdefault("authorization", f"Bearer {self.key if credential is None else credential}")
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20)


async def port_of(lines: list[str]) -> int:
    """Where the gateway that writes these log lines listens."""

    async def listening() -> int:
        found = [json.loads(line) for line in lines]
        ports = [line["port"] for line in found if line.get("event") == "http"]
        assert ports
        return int(ports[-1])

    return await eventually(listening)


@pytest.fixture
async def edge(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[ScriptedEdge]:
    setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
    await setup.prepare()
    await setup.close()
    lines: list[str] = []
    log = Log(lines.append)
    common = {"nats_url": broker.url, "data_dir": str(tmp_path), "config_dir": str(tmp_path), "drain_s": 2.0}
    key = create_key(tmp_path / "keys.json", ApiKey("", "", "acme", "user:alice", scopes=("*",)), now=1.0)[1]
    policy_config = msgspec.structs.replace(PolicyConfig(), **common, store_url=Secret(valkey.url))
    edge_config = msgspec.structs.replace(
        GatewayConfig(), **common, http_port=0, sse_keep_alive_s=0.3, body_max_bytes=2_000_000, request_timeout_s=30.0
    )
    async with (
        scripted_router(broker.url) as router,
        running(policy, policy_config, "policy", log=log),
        running(gateway, edge_config, "gateway", log=log),
    ):
        yield ScriptedEdge(f"http://127.0.0.1:{await port_of(lines)}", key, router, lines)


@pytest.fixture
async def plane(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[EdgePlane]:
    setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
    await setup.prepare()
    await setup.close()
    lines: list[str] = []
    log = Log(lines.append)

    def settings(kind: type[AnyConfig], **more: object) -> AnyConfig:
        common = {"nats_url": broker.url, "data_dir": str(tmp_path), "config_dir": str(tmp_path), "drain_s": 2.0}
        return msgspec.structs.replace(kind(), **common | more)

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(model_server())
        spoken = ["openai.chat"]
        deployment = {"base_url": provider.url, "protocols": spoken, "price": PRICE, "timeouts": TIMEOUTS}
        models = {
            "deployments": {name: {**deployment, "model": name} for name in ("one", "two", "stall", "hang")},
            "aliases": {"chat": ["one", "two"], "stalling": ["stall"], "hanging": ["hang"]},
            "default": {"chat": "chat"},
        }
        (tmp_path / "models.yaml").write_text(yaml.safe_dump(models))
        shutil.copytree(STARTER, tmp_path / "bundle", ignore=shutil.ignore_patterns("tests.yaml"))
        await stack.enter_async_context(
            running(
                policy,
                settings(
                    PolicyConfig,
                    store_url=Secret(valkey.url),
                    reload_every_s=0.02,
                    bundle_dir=str(tmp_path / "bundle"),
                ),
                "policy",
                log=log,
            )
        )
        await stack.enter_async_context(
            running(router, settings(RouterConfig, models_file="models.yaml"), "router", log=log)
        )
        await stack.enter_async_context(running(orchestrator, settings(OrchestratorConfig), "orchestrator", log=log))
        await stack.enter_async_context(
            running(
                gateway,
                settings(
                    GatewayConfig,
                    http_port=0,
                    sse_keep_alive_s=0.3,
                    body_timeout_s=1.0,
                    body_max_bytes=2_000_000,
                    bodies_max_bytes=5_000_000,
                    request_timeout_s=8.0,
                    requests_max=50,
                ),
                "gateway",
                log=log,
            )
        )

        port = await port_of(lines)
        yield EdgePlane(f"http://127.0.0.1:{port}", tmp_path, provider, broker, lines)
