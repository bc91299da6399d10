"""An agent job through the real orchestrator, policy, router, tool executor and context, on a real broker and store."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.delegation import RunRevoke
from penstock.contracts.governance import AUDIT_BATCH, RUN_REVOKE, TOKEN
from penstock.contracts.jobs import FINAL, Job, JobEvent, JobRef, JobView, TokenRequest
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import JOB_EVENT, JOB_GET, JOB_PUBLISH
from penstock.kit.config import Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.context import config as context_config
from services.context import main as context
from services.orchestrator import config as orchestrator_config
from services.orchestrator import main as orchestrator
from services.policy import config as policy_config
from services.policy import main as policy
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.router import config as router_config
from services.router import main as router
from services.tool_executor import config as tools_config
from services.tool_executor import main as tools
from tests.support.eventually import eventually

MODELS = """
deployments:
  scripted:
    provider: scripted
    model: scripted-1
    script: script.yaml
    kinds: [chat]
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}
aliases: {fast: [scripted]}
default: {chat: fast}
"""
SCRIPT = """
rules:
  - when: {turn: 0, contains: stock}
    calls:
      - {name: stock, arguments: {item: valve}}
      - {name: search_documents, arguments: {query: how a valve is opened}}
      - {name: drop_all, arguments: {}}
  - when: {turn: 1, contains: stock}
    calls: [{name: order, arguments: {item: valve, count: 3}}]
  - when: {turn: 2, contains: stock}
    say: Three valves are ordered.
  - when: {turn: 0, contains: slowly}
    say: one two three four five six
    pause_s: 0.25
    calls: [{name: order, arguments: {item: valve, count: 9}}]
  - say: I only know about stock.
"""
TOOLS = """
tools:
  - name: stock
    description: How many of an item there are.
    kind: sql
    parameters: {type: object, properties: {item: {type: string}}, required: [item]}
    sql: {database: "sqlite:shop.db", statement: "SELECT count FROM stock WHERE item = :item"}
  - name: order
    description: Orders an item.
    kind: sql
    effect: idempotent
    parameters: {type: object, properties: {item: {type: string}, count: {type: integer}}, required: [item, count]}
    sql: {database: "sqlite:shop.db", statement: "INSERT INTO orders VALUES (:item, :count)", writes: true}
  - name: drop_all
    description: Empties the shop.
    kind: sql
    effect: idempotent
    labels: [destructive]
    sql: {database: "sqlite:shop.db", statement: "DELETE FROM stock", writes: true}
"""
AGENTS = """
agents:
  - name: clerk
    instructions: You keep the shop.
    tools: [search_documents, stock, order, drop_all]
"""


class World:
    """A tenant's client beside the plane."""

    def __init__(self, bus: Bus, folder: Path, lines: list[str], key: str) -> None:
        self.bus = bus
        self.key = key
        self.folder = folder
        self.lines = lines

    async def token(self) -> str:
        reply = await self.bus.call(TOKEN, TokenRequest(self.key), Meta(), timeout_s=5, tenant="acme")
        return reply.token

    async def publish(self, kind: str, input: object, token: str, **fields: object) -> None:
        raw = msgspec.Raw(msgspec.json.encode(input))
        job = msgspec.convert({"kind": kind, "input": raw, **fields}, Job)
        await self.bus.deposit(JOB_PUBLISH, job, Meta(token=token, request="req_1"), tenant="acme", kind=kind)

    async def events(self, job: str) -> list[JobEvent]:
        return [stored.body for stored in await self.bus.read(JOB_EVENT, tenant="acme", job=job)]

    async def ended(self, job: str, token: str) -> JobView:
        async def check() -> None:
            events = await self.events(job)
            types = [event.type for event in events]
            assert types and types[-1] in FINAL | {"refused", "blocked"}, (types, self.lines[-20:])

        await eventually(check, 20, every_s=0.05)
        return await self.bus.call(JOB_GET, JobRef(job), Meta(token=token), timeout_s=5, tenant="acme")

    async def records(self) -> list[Record]:
        stored = await self.bus.read(AUDIT_BATCH, tenant="acme")
        return [record for one in stored for record in one.body.records]


@pytest.fixture
async def world(nats_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[World]:
    for name, text in (("models", MODELS), ("script", SCRIPT), ("tools", TOOLS), ("agents", AGENTS)):
        (tmp_path / f"{name}.yaml").write_text(text)
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE stock (item TEXT, count INTEGER)")
        shop.execute("CREATE TABLE orders (item TEXT, count INTEGER)")
        shop.execute("INSERT INTO stock VALUES ('valve', 2)")
    bus = await Bus.connect(BusConfig(url=nats_url, tenant="acme"))
    await bus.prepare()
    key = create_key(tmp_path / "keys.json", ApiKey("", "", "acme", "user:alice"), now=1.0)[1]
    lines: list[str] = []
    log = Log(lines.append, level="info")
    folder, store = str(tmp_path), Secret(valkey_url)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        at = {"nats_url": nats_url, "data_dir": folder, "config_dir": folder, "drain_s": 3.0}
        policies = msgspec.structs.replace(policy_config.Config(store_url=store), reload_every_s=0.05, **at)
        await enter(running(policy.build, policies, "policy", log=log))
        models = msgspec.structs.replace(router_config.Config(models_file="models.yaml"), **at)
        await enter(running(router.build, models, "router", log=log))
        await enter(
            running(
                tools.build,
                msgspec.structs.replace(tools_config.Config(store_url=store), **at),
                "tool_executor",
                log=log,
            )
        )
        await enter(
            running(
                context.build, msgspec.structs.replace(context_config.Config(store_url=store), **at), "context", log=log
            )
        )
        await enter(
            running(
                orchestrator.orchestrator,
                msgspec.structs.replace(orchestrator_config.Config(), **at),
                "orchestrator",
                log=log,
            )
        )
        yield World(bus, tmp_path, lines, key)
    await bus.close()


async def test_an_agent_job_is_carried_out_decided_and_recorded(world: World) -> None:
    token = await world.token()
    document = {"source": "valves.md", "text": "# Valves\n\nA valve is opened by turning it to the left."}
    await world.publish("ingest", document, token, id="job_doc")
    assert (await world.ended("job_doc", token)).state == "completed"
    await world.publish("agent", "Look after the stock, please", token, id="job_a", agent="clerk", session="s1")
    view = await world.ended("job_a", token)
    assert view.state == "completed", (view, world.lines[-20:])
    assert msgspec.json.decode(view.output) == {
        "text": "Three valves are ordered.",
        "finish": "stop",
        "model": "scripted-1",
    }
    assert view.cost_nano > 0 and view.usage.total > 0
    with sqlite3.connect(world.folder / "shop.db") as shop:
        assert shop.execute("SELECT * FROM orders").fetchall() == [("valve", 3)]
        assert shop.execute("SELECT * FROM stock").fetchall() == [("valve", 2)]
    refused = [event for event in await world.events("job_a") if event.error is not None]
    assert [(event.name, event.error.code if event.error else "") for event in refused] == [("drop_all", "denied")]
    assert "destructive" in (refused[0].error.detail if refused[0].error else "")


async def test_every_decision_that_permits_has_one_outcome(world: World) -> None:
    token = await world.token()
    await world.publish("agent", "Look after the stock", token, id="job_a", agent="clerk")
    await world.ended("job_a", token)

    async def settled() -> None:
        records = await world.records()
        decisions = [msgspec.json.decode(r.data, type=DecisionRecord) for r in records if r.type == DECISION]
        outcomes = [msgspec.json.decode(r.data, type=OutcomeRecord) for r in records if r.type == OUTCOME]
        permitted = sorted(d.attempt for d in decisions if d.effect == "allow" and d.outcome_due)
        assert permitted == sorted(outcome.attempt for outcome in outcomes)
        actions = {(d.action, d.effect) for d in decisions if d.job == "job_a"}
        assert actions >= {
            ("job.submit", "allow"),
            ("agent.delegate", "allow"),
            ("model.complete", "allow"),
            ("tool.call", "allow"),
            ("tool.call", "deny"),
            ("context.search", "allow"),
        }

    await eventually(settled, 5)


async def test_a_budget_that_runs_out_ends_the_job(world: World) -> None:
    token = await world.token()
    await world.publish("chat", "Tell me about pipes", token, id="job_a", budget={"usd": 0.000001})
    view = await world.ended("job_a", token)
    assert view.state == "failed"
    assert view.error is not None and view.error.code == "budget_exhausted"


async def test_a_run_that_is_revoked_does_nothing_more_and_its_job_fails(world: World) -> None:
    token = await world.token()
    await world.publish("agent", "Think slowly", token, id="job_a", agent="clerk")

    async def thinks() -> None:
        decided = [
            msgspec.json.decode(r.data, type=DecisionRecord) for r in await world.records() if r.type == DECISION
        ]
        assert "model.complete" in {decision.action for decision in decided}

    await eventually(thinks, 10)
    await world.bus.call(RUN_REVOKE, RunRevoke("job_a"), Meta(token=token), timeout_s=5, tenant="acme")
    view = await world.ended("job_a", token)
    assert view.state == "failed"
    assert view.error is not None and view.error.code == "unauthenticated"
    with sqlite3.connect(world.folder / "shop.db") as shop:
        assert shop.execute("SELECT * FROM orders").fetchall() == []


async def test_a_job_without_a_token_is_refused_where_its_submitter_sees_it(world: World) -> None:
    await world.publish("chat", "hi", "", id="job_a")
    await world.ended("job_a", await world.token())
    (event,) = await world.events("job_a")
    assert event.type == "refused"
    assert event.error is not None and event.error.code == "unauthenticated"
