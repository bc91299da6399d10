"""The tool executor on a real broker and store, under the real policy service, with a site that its tools call."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import yaml
from aiohttp import web

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.errors import Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_AUTHENTICATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate
from penstock.contracts.subjects import TOOL_CALL, TOOL_LIST
from penstock.contracts.tools import ToolCall, ToolListRequest, ToolResult
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from services.policy import config as policy_config
from services.policy import main as policy_main
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.tool_executor.config import Config
from services.tool_executor.main import build
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.policies import written
from tests.support.valkey_server import ValkeyServer

Json = dict[str, object]


class Counter:
    """A site that counts: `/hit` answers with the number of the visit; while `held` is set it does not answer."""

    def __init__(self) -> None:
        self.port = 0
        self.visits = 0
        self.queries: list[dict[str, str]] = []
        self.waiting = 0
        self.left = 0
        self.held = False
        self.go = asyncio.Event()

    async def hit(self, request: web.Request) -> web.StreamResponse:
        self.visits += 1
        self.queries.append(dict(request.query))
        visit = self.visits
        if self.held:
            self.waiting += 1
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.left += 1
                raise
            finally:
                self.waiting -= 1
        return web.Response(text=f"visit {visit}")


@asynccontextmanager
async def counter() -> AsyncIterator[Counter]:
    it = Counter()
    app = web.Application()
    app.router.add_route("*", "/hit", it.hit)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.port = runner.addresses[0][1]
    try:
        yield it
    finally:
        await runner.cleanup()


class Plane:
    """`bus` is the orchestrator's. `tools` becomes the tools file before the executor starts, and on `rewrite`."""

    def __init__(self, bus: Bus, broker: NatsServer, valkey: ValkeyServer, site: Counter, folder: Path) -> None:
        self.bus = bus
        self.broker = broker
        self.valkey = valkey
        self.site = site
        self.folder = folder
        self.lines: list[str] = []
        self.token = ""
        self.tenant = ""
        self.tools: list[Json] = []
        self.config = Config(
            nats_url=broker.url,
            store_url=Secret(valkey.url),
            store_timeout_s=1.0,
            config_dir=str(folder),
            data_dir=str(folder),
            tools_reload_s=0.02,
            drain_s=2.0,
        )

    def tool(self, name: str, *, http: Json | None = None, **fields: object) -> None:
        """An HTTP tool that calls the site, unless `fields` say another kind."""
        site: Json = {"url": f"http://127.0.0.1:{self.site.port}/hit", "private_hosts": ["127.0.0.1"], **(http or {})}
        settings: Json = {} if "sql" in fields else {"http": site}
        self.tools.append({"name": name, "description": "d", "kind": "http", **settings, **fields})

    def rewrite(self) -> None:
        written = self.folder / "tools.yaml.new"
        written.write_text(yaml.safe_dump({"tools": self.tools}), encoding="utf-8")
        written.replace(self.folder / "tools.yaml")

    @asynccontextmanager
    async def executor(self, **changed: object) -> AsyncIterator[Host[Config]]:
        self.rewrite()
        config = msgspec.structs.replace(self.config, **changed)
        async with running(build, config, "tool_executor", log=Log(self.lines.append, level="debug")) as host:
            yield host

    async def log_in(self, *, tenant: str = "acme", scopes: tuple[str, ...] = ("*", "tools:dangerous")) -> None:
        key = ApiKey("", "", tenant, "user:alice", scopes=scopes)
        credential = create_key(self.folder / "keys.json", key, now=1.0)[1]

        async def known() -> None:
            try:
                identity = await self.bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=5)
            except Failure as failure:
                raise AssertionError("not known yet") from failure
            self.token, self.tenant = identity.token, identity.tenant

        await eventually(known)

    async def call(self, tool: str, arguments: Json | None = None, **meta: object) -> ToolResult:
        """`call` among the rest is the call's id."""
        asked_by = Meta(request="req_1", tenant=self.tenant, token=self.token, deadline=time.time() + 10)
        id = str(meta.pop("call", "c1"))
        stamped = msgspec.structs.replace(asked_by, **meta)
        asked = ToolCall(id, tool, msgspec.Raw(msgspec.json.encode(arguments or {})))
        return await self.bus.call(TOOL_CALL, asked, stamped, pool="default")

    async def listed(self, *names: str) -> list[str]:
        answer = await self.bus.call(TOOL_LIST, ToolListRequest(names), Meta(token=self.token), pool="default")
        return [tool.name for tool in answer.tools]

    async def records(self, kind: str) -> list[Record]:
        stored = await self.bus.read(AUDIT_BATCH, tenant="acme")
        return [record for one in stored for record in one.body.records if record.type == kind]

    async def decisions(self) -> list[DecisionRecord]:
        return [msgspec.json.decode(record.data, type=DecisionRecord) for record in await self.records(DECISION)]

    async def outcomes(self, count: int) -> list[OutcomeRecord]:
        """Once there are so many; there must never be more."""

        async def there() -> list[OutcomeRecord]:
            records = await self.records(OUTCOME)
            assert len(records) == count, records
            return [msgspec.json.decode(record.data, type=OutcomeRecord) for record in records]

        return await eventually(there)


@pytest.fixture
async def plane(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Plane]:
    """Policy runs and alice of acme is logged in; the test writes tools and starts the executor."""
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
    async with counter() as site, running(policy_main.build, settings, "policy", log=Log(silent.append)):
        made = Plane(bus, broker, valkey, site, tmp_path)
        await made.log_in()
        yield made
    await bus.close()
