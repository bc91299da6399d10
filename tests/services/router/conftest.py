"""The router on a real broker, under the real policy service, with a model provider that misbehaves on demand."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import yaml

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.governance import AUDIT_BATCH, POLICY_AUTHENTICATE, POLICY_BALANCES
from penstock.contracts.llm import Completion, CompletionEnd, CompletionRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import AccountQuery, Authenticate, Balance
from penstock.contracts.subjects import LLM_COMPLETE, LLM_STREAM
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from services.policy import config as policy_config
from services.policy import main as policy_main
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.money.limits import Limit
from services.router.config import Config
from services.router.main import build
from tests.support.eventually import eventually
from tests.support.model_server import ModelServer, model_server
from tests.support.nats_server import NatsServer
from tests.support.policies import written
from tests.support.valkey_server import ValkeyServer

Json = dict[str, object]

PRICE: Json = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10, "cache_read_usd_per_mtok": 0.2}
QUICK: Json = {"headers_s": 1.0, "first_content_s": 1.5, "idle_s": 1.0, "total_s": 5.0}


class Streamed:
    """What a reader of a stream has seen."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.end: CompletionEnd | None = None

    @property
    def text(self) -> bytes:
        return b"".join(self.frames)


class Plane:
    """`bus` is the gateway's. `file` is written as the models file before the router starts, and on `rewrite`."""

    def __init__(self, bus: Bus, broker: NatsServer, valkey: ValkeyServer, server: ModelServer, folder: Path) -> None:
        self.bus = bus
        self.broker = broker
        self.valkey = valkey
        self.server = server
        self.folder = folder
        self.lines: list[str] = []
        self.token = ""
        self.key_id = ""
        self.deployments: dict[str, Json] = {}
        self.aliases: dict[str, object] = {}
        self.default: Json = {}
        self.config = Config(
            nats_url=broker.url,
            models_file="models.yaml",
            config_dir=str(folder),
            data_dir=str(folder),
            models_check_every_s=0.02,
            backoff_s=0.02,
            breaker_rest_s=0.2,
            drain_s=2.0,
        )

    def deploy(self, alias: str, *models: str, **more: object) -> None:
        """An alias whose deployments are models of the scripted server, each under its model's name."""
        for model in models:
            self.deployments[model] = {
                "base_url": self.server.url,
                "model": model,
                "price": PRICE,
                "timeouts": QUICK,
            } | more
        self.aliases[alias] = list(models)

    def rewrite(self) -> None:
        content = {"deployments": self.deployments, "aliases": self.aliases, "default": self.default}
        written = self.folder / "models.yaml.new"
        written.write_text(yaml.safe_dump(content), encoding="utf-8")
        written.replace(self.folder / "models.yaml")

    @asynccontextmanager
    async def router(self, *, otel: Mapping[str, str] | None = None, **changed: object) -> AsyncIterator[Host[Config]]:
        self.rewrite()
        config = msgspec.structs.replace(self.config, **changed)
        log = Log(self.lines.append, level="debug")
        async with running(build, config, "router", log=log, otel=otel or {}) as host:
            yield host

    async def log_in(self, *, usd: float = 0.0, scopes: tuple[str, ...] = ("*",), subject: str = "user:alice") -> None:
        limits = (Limit(usd, None),) if usd else ()
        key = ApiKey("", "", "acme", subject, scopes=scopes, limits=limits)
        credential = create_key(self.folder / "keys.json", key, now=1.0)[1]

        async def known() -> None:
            try:
                identity = await self.bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=5)
            except Exception as error:
                raise AssertionError("not known yet") from error
            self.token = identity.token
            self.key_id = identity.key

        await eventually(known)

    def meta(self, **more: object) -> Meta:
        return msgspec.structs.replace(
            Meta(request="req_1", tenant="acme", token=self.token, deadline=time.time() + 20), **more
        )

    async def complete(self, model: str = "chat", meta: Meta | None = None, **fields: object) -> Completion:
        return await self.bus.call(LLM_COMPLETE, asking(model, **fields), meta or self.meta())

    async def stream(self, model: str = "chat", into: Streamed | None = None, **fields: object) -> Streamed:
        seen = into or Streamed()
        async with self.bus.stream(LLM_STREAM, asking(model, **fields), self.meta()) as reader:
            async for frame in reader:
                seen.frames.append(bytes(frame))
            seen.end = reader.end
        return seen

    async def records(self) -> list[Record]:
        stored = await self.bus.read(AUDIT_BATCH, tenant="acme")
        return [record for one in stored for record in one.body.records]

    async def decisions(self) -> list[DecisionRecord]:
        return [msgspec.json.decode(r.data, type=DecisionRecord) for r in await self.records() if r.type == DECISION]

    async def ended(self) -> list[OutcomeRecord]:
        """The outcomes so far."""
        return [msgspec.json.decode(r.data, type=OutcomeRecord) for r in await self.records() if r.type == OUTCOME]

    async def outcomes(self, count: int) -> list[OutcomeRecord]:
        """Once there are so many; there must never be more."""

        async def there() -> list[OutcomeRecord]:
            found = await self.ended()
            assert len(found) == count, found
            return found

        return await eventually(there)

    async def balance(self) -> Balance:
        """Of the key's account."""
        return next(each for each in await self.balances() if each.account == f"key:{self.key_id}")

    async def balances(self) -> list[Balance]:
        """Of all accounts with a limit that the key's actions are paid from."""
        answer = await self.bus.call(POLICY_BALANCES, AccountQuery(), Meta(token=self.token), timeout_s=5)
        return answer.accounts


def asking(model: str, **fields: object) -> CompletionRequest:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]} | fields
    return CompletionRequest(model, msgspec.Raw(msgspec.json.encode(body)))


@pytest.fixture
async def plane(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Plane]:
    """Policy runs, somebody is logged in, `chat` is `one` and then `two`; the test starts the router. A parameter is
    what changes in the policy service's config."""
    bus = await Bus.connect(BusConfig(url=broker.url, principal="gateway"))
    await bus.prepare()
    settings = policy_config.Config(
        nats_url=broker.url,
        store_url=Secret(valkey.url),
        data_dir=str(tmp_path),
        reload_every_s=0.02,
        drain_s=2.0,
    )
    settings = msgspec.structs.replace(settings, **getattr(request, "param", {}))
    if marked := request.node.get_closest_marker("policies"):
        settings = msgspec.structs.replace(settings, bundle_dir=written(tmp_path / "policies", marked.args[0]))
    silent: list[str] = []
    async with model_server() as server, running(policy_main.build, settings, "policy", log=Log(silent.append)):
        made = Plane(bus, broker, valkey, server, tmp_path)
        made.deploy("chat", "one", "two")
        await made.log_in()
        yield made
    await bus.close()
