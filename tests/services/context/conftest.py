"""The context service on a real broker and store, under the real policy service, with the real router beside it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import yaml

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, DecisionRecord
from penstock.contracts.context import Append, Appended, Found, Ingest, Ingested, Search, Turn
from penstock.contracts.errors import Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_AUTHENTICATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate
from penstock.contracts.subjects import CONTEXT_APPEND, CONTEXT_INGEST, CONTEXT_SEARCH
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from penstock.local.embedder import Embedder
from services.context.config import Config
from services.context.main import build
from services.policy import config as policy_config
from services.policy import main as policy_main
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.router import config as router_config
from services.router import main as router_main
from tests.support.eventually import eventually
from tests.support.model_server import Line, ModelServer, Received, json, model_server
from tests.support.nats_server import NatsServer
from tests.support.policies import written
from tests.support.valkey_server import ValkeyServer


class Plane:
    """`bus` is the orchestrator's. `server` is the embedding model's, until a test scripts it otherwise."""

    def __init__(self, bus: Bus, broker: NatsServer, valkey: ValkeyServer, server: ModelServer, folder: Path) -> None:
        self.bus = bus
        self.broker = broker
        self.valkey = valkey
        self.server = server
        self.folder = folder
        self.lines: list[str] = []
        self.token = ""
        self.tenant = ""
        self.config = Config(
            nats_url=broker.url,
            store_url=Secret(valkey.url),
            store_timeout_s=1.0,
            data_dir=str(folder),
            embed_query_s=5.0,
            drain_s=2.0,
        )

    @asynccontextmanager
    async def context(self, **changed: object) -> AsyncIterator[Host[Config]]:
        config = msgspec.structs.replace(self.config, **changed)
        async with running(build, config, "context", log=Log(self.lines.append, level="debug")) as host:
            yield host

    @asynccontextmanager
    async def with_router(self, **changed: object) -> AsyncIterator[Host[Config]]:
        """The service, and a router whose alias `vectors` is the real small model."""
        embedder = await asyncio.to_thread(Embedder)

        async def reply(line: Line, request: Received) -> None:
            texts = request.fields["input"]
            assert isinstance(texts, list)
            vectors = await asyncio.to_thread(embedder.embed, [str(text) for text in texts])
            data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
            answer: dict[str, object] = {"object": "list", "data": data, "model": "mini"}
            await json(answer | {"usage": {"prompt_tokens": 7, "total_tokens": 7}})(line, request)

        self.server.script(reply, model="mini")
        deployment = {
            "base_url": self.server.url,
            "model": "mini",
            "kinds": ["embeddings"],
            "price": {"input_usd_per_mtok": 0.02, "output_usd_per_mtok": 0},
        }
        models = {
            "deployments": {"mini": deployment},
            "aliases": {"vectors": ["mini"]},
            "default": {"embed": "vectors"},
        }
        (self.folder / "models.yaml").write_text(yaml.safe_dump(models), encoding="utf-8")
        settings = router_config.Config(
            nats_url=self.broker.url,
            models_file="models.yaml",
            config_dir=str(self.folder),
            data_dir=str(self.folder),
            drain_s=2.0,
        )
        silent: list[str] = []
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(router_main.build, settings, "router", log=Log(silent.append)))
            yield await stack.enter_async_context(self.context(**changed))

    async def log_in(self, *, tenant: str = "acme", scopes: tuple[str, ...] = ("*",)) -> None:
        key = ApiKey("", "", tenant, "user:alice", scopes=scopes)
        credential = create_key(self.folder / "keys.json", key, now=1.0)[1]

        async def known() -> None:
            try:
                identity = await self.bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=5)
            except Failure as failure:
                raise AssertionError("not known yet") from failure
            self.token, self.tenant = identity.token, identity.tenant

        await eventually(known)

    def meta(self, **more: object) -> Meta:
        asked_by = Meta(request="req_1", tenant=self.tenant, token=self.token, deadline=time.time() + 20)
        return msgspec.structs.replace(asked_by, **more)

    async def ingest(self, source: str, text: str, **fields: object) -> Ingested:
        request = msgspec.structs.replace(Ingest(source, text), **fields)
        return await self.bus.call(CONTEXT_INGEST, request, self.meta())

    async def search(self, query: str, **fields: object) -> Found:
        return await self.bus.call(CONTEXT_SEARCH, msgspec.structs.replace(Search(query), **fields), self.meta())

    async def append(self, session: str, *ids: str) -> Appended:
        turns = [Turn(id, msgspec.Raw(b'{"role":"user","content":"hello"}')) for id in ids]
        return await self.bus.call(CONTEXT_APPEND, Append(session, turns), self.meta())

    async def decided(self) -> list[tuple[str, str]]:
        """Action and resource of every decision so far."""
        stored = await self.bus.read(AUDIT_BATCH, tenant="acme")
        records = [record for one in stored for record in one.body.records if record.type == DECISION]
        decisions = [msgspec.json.decode(record.data, type=DecisionRecord) for record in records]
        return [(decision.action, decision.resource) for decision in decisions]


@pytest.fixture
async def plane(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Plane]:
    """Policy runs and alice of acme is logged in; the test starts the context service, with a router or without."""
    bus = await Bus.connect(BusConfig(url=broker.url, principal="orchestrator"))
    await bus.prepare()
    settings = policy_config.Config(
        nats_url=broker.url,
        store_url=Secret(valkey.url),
        data_dir=str(tmp_path),
        reload_every_s=0.02,
        drain_s=2.0,
    )
    if marked := request.node.get_closest_marker("policies"):
        settings = msgspec.structs.replace(settings, bundle_dir=written(tmp_path / "policies", marked.args[0]))
    silent: list[str] = []
    async with model_server() as server, running(policy_main.build, settings, "policy", log=Log(silent.append)):
        made = Plane(bus, broker, valkey, server, tmp_path)
        await made.log_in()
        yield made
    await bus.close()
