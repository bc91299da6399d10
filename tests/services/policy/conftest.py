"""A whole policy service on a real broker and a real store, and a caller beside it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, Batch, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.governance import AUDIT_BATCH, POLICY_AUTHENTICATE, POLICY_BALANCES, POLICY_EVALUATE
from penstock.contracts.ids import new_id
from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.contracts.policy import (
    AccountQuery,
    ActionName,
    Authenticate,
    Balances,
    Decision,
    Entity,
    Fact,
    Identity,
    Question,
    Reserve,
)
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.recorder import envelope
from penstock.kit.service import running
from services.policy.config import Config
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build
from services.policy.money.limits import Limit
from services.policy.rulebook import STARTER
from tests.support.books import Books
from tests.support.nats_server import NatsServer
from tests.support.valkey_server import ValkeyServer

WANTED = ApiKey("", "", "acme", "user:alice")


class Plane:
    """The service's surroundings. `bus` is a data-plane service's; files lie in `folder`."""

    def __init__(self, bus: Bus, broker: NatsServer, valkey: ValkeyServer, folder: Path) -> None:
        self.bus = bus
        self.broker = broker
        self.valkey = valkey
        self.folder = folder
        self.lines: list[str] = []
        self.config = Config(
            nats_url=broker.url,
            store_url=Secret(valkey.url),
            store_timeout_s=1.0,
            data_dir=str(folder),
            reload_every_s=0.02,
            expire_every_s=0.05,
            record_timeout_s=2.0,
            drain_s=2.0,
        )

    @asynccontextmanager
    async def policy(self, **changed: object) -> AsyncIterator[Host[Config]]:
        """One policy service; several make replicas."""
        config = msgspec.structs.replace(self.config, **changed)
        async with running(build, config, "policy", log=Log(self.lines.append, level="debug")) as host:
            yield host

    def key(self, *, usd: float = 0, tokens: int = 0, expires: float = 0, **wanted: object) -> str:
        """A new API key, with a budget of its own if one is named."""
        limits = (Limit(usd or None, tokens or None),) if usd or tokens else ()
        key = msgspec.structs.replace(WANTED, limits=limits, expires=expires, **wanted)
        return create_key(self.folder / "keys.json", key, now=1.0)[1]

    def limits(self, text: str) -> None:
        written = self.folder / "accounts.yaml.new"
        written.write_text(text, encoding="utf-8")
        written.replace(self.folder / "accounts.yaml")

    def bundle(self, more: str) -> Path:
        """The starter bundle with more policies, as one atomic change of its file."""
        folder = self.folder / "bundle"
        folder.mkdir(exist_ok=True)
        for file in STARTER.iterdir():
            if file.suffix == ".cedarschema" and not (folder / file.name).exists():
                (folder / file.name).write_bytes(file.read_bytes())
        written = folder / "written"
        shipped = "\n".join(path.read_text(encoding="utf-8") for path in sorted(STARTER.glob("*.cedar")))
        written.write_text(shipped + more, encoding="utf-8")
        written.replace(folder / "policies.cedar")
        return folder

    async def authenticate(self, credential: str) -> Identity:
        return await self.bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=5)

    async def evaluate(self, question: Question, token: str, *, within_s: float = 8, **meta: object) -> Decision:
        stamped = msgspec.structs.replace(Meta(request="req_1", token=token), **meta)
        return await self.bus.call(POLICY_EVALUATE, question, stamped, timeout_s=within_s)

    def patient(self, **changed: object) -> AbstractAsyncContextManager[Host[Config]]:
        """A policy service that answers a crowd on a busy machine too: whoever asks waits as long (`within_s`)."""
        return self.policy(store_timeout_s=20.0, record_timeout_s=20.0, **changed)

    async def balances(self, token: str) -> Balances:
        return await self.bus.call(POLICY_BALANCES, AccountQuery(), Meta(token=token), timeout_s=5)

    async def outcome(
        self, attempt: str, cost_nano: int, status: str = "ok", tenant: str = "acme", tokens: int = 0
    ) -> None:
        """As a data-plane service writes it."""
        record = OutcomeRecord(
            decision="dec_x", attempt=attempt, status=status, cost_nano=cost_nano, usage=Usage(output=tokens)
        )
        batch = Batch([envelope(record, service="router", tenant=tenant, now=1.0)])
        await self.bus.emit(AUDIT_BATCH, batch, Meta(), tenant=tenant, service="router")

    async def records(self, tenant: str = "acme") -> list[Record]:
        stored = await self.bus.read(AUDIT_BATCH, tenant=tenant)
        return [record for one in stored for record in one.body.records]

    async def decisions(self, tenant: str = "acme") -> list[DecisionRecord]:
        records = await self.records(tenant)
        return [msgspec.json.decode(r.data, type=DecisionRecord) for r in records if r.type == DECISION]


def complete(
    cost_nano: int = 0, tokens: int = 0, *, attempt: str = "", model: str = "default", due_s: float = 60.0
) -> Question:
    """May I ask a model?"""
    reserve = Reserve(cost_nano, tokens) if cost_nano or tokens else None
    return Question(
        ActionName("model.complete"),
        Entity("Model", model),
        attempt=attempt or new_id("att"),
        reserve=reserve,
        outcome_due_s=due_s,
    )


def call_tool(name: str, *, attempt: str = "", **properties: Fact) -> Question:
    """May I call this tool?"""
    return Question(ActionName("tool.call"), Entity("Tool", name, properties), attempt=attempt or new_id("att"))


@pytest.fixture
async def plane(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Plane]:
    bus = await Bus.connect(BusConfig(url=broker.url, principal="router"))
    await bus.prepare()
    yield Plane(bus, broker, valkey, tmp_path)
    await bus.close()


@pytest.fixture
async def books(valkey_url: str) -> AsyncIterator[Books]:
    books = Books(valkey_url)
    yield books
    await books.store.close()
