"""The edge with the real policy and router behind it, on a real broker and store, and every type of provider."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from penstock.bus import Bus, BusConfig
from penstock.kit.config import KitConfig, Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.gateway.config import Config as GatewayConfig
from services.gateway.main import gateway
from services.policy.config import Config as PolicyConfig
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build as policy
from services.policy.money.limits import Limit
from services.router.config import Config as RouterConfig
from services.router.main import build as router
from tests.conformance.provider_types import SCRIPT, Json
from tests.support.eventually import eventually
from tests.support.nats_server import nats_server
from tests.support.providers.server import KEY, Providers
from tests.support.valkey_server import valkey_server

AnyConfig = TypeVar("AnyConfig", bound=KitConfig)


@dataclass(frozen=True)
class Keys:
    """`good` may do everything, `tools_only` may not ask models, `poor` has a thousandth of a cent to spend."""

    good: str
    tools_only: str
    poor: str


@dataclass(frozen=True)
class Edge:
    """`providers` are behind it, and remember what they were asked."""

    url: str
    keys: Keys
    providers: Providers


@asynccontextmanager
async def edge(folder: Path, deployments: Mapping[str, Json], providers: Providers) -> AsyncIterator[Edge]:
    """Each deployment is an alias of its own name. One request is one attempt, and who failed may be asked again at
    once: the tests are about what is said."""
    (folder / "provider.key").write_text(KEY)
    (folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT))
    models = {"deployments": dict(deployments), "aliases": {name: [name] for name in deployments}}
    (folder / "models.yaml").write_text(yaml.safe_dump(models))
    keys = _keys(folder / "keys.json")
    lines: list[str] = []
    log = Log(lines.append)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(nats_server())
        valkey = await stack.enter_async_context(valkey_server())
        setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
        await setup.prepare()
        await setup.close()
        common = {"nats_url": broker.url, "data_dir": str(folder), "config_dir": str(folder), "drain_s": 2.0}
        store = {"store_url": Secret(valkey.url)}
        rules = {"attempts_max": 1, "rounds_max": 1, "breaker_failures_max": 1_000_000, "key_rest_s": 0.0}
        policy_config = _settings(PolicyConfig, common | store)
        router_config = _settings(RouterConfig, common | store | rules | {"models_file": "models.yaml"})
        gateway_config = _settings(GatewayConfig, common | {"http_port": 0})
        await stack.enter_async_context(running(policy, policy_config, "policy", log=log))
        await stack.enter_async_context(running(router, router_config, "router", log=log))
        await stack.enter_async_context(running(gateway, gateway_config, "gateway", log=log))
        yield Edge(f"http://127.0.0.1:{await _port(lines)}", keys, providers)


def _settings(kind: type[AnyConfig], changed: Mapping[str, object]) -> AnyConfig:
    return msgspec.structs.replace(kind(), **changed)


def _keys(file: Path) -> Keys:
    def key(scopes: Sequence[str], limits: Sequence[Limit] = ()) -> str:
        made = ApiKey("", "", "acme", "user:alice", scopes=tuple(scopes), limits=tuple(limits))
        return create_key(file, made, now=1.0)[1]

    return Keys(key(["*"]), key(["tool.*"]), key(["*"], [Limit(0.00001, None)]))


async def _port(lines: list[str]) -> int:
    async def listening() -> int:
        ports = [line["port"] for line in map(json.loads, lines) if line.get("event") == "http"]
        assert ports
        return int(ports[-1])

    return await eventually(listening)
