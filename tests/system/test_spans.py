"""One trace through gateway, router and policy, as an OTLP receiver sees it; and a receiver that fails."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import yaml

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord
from penstock.contracts.governance import AUDIT_BATCH
from penstock.kit.config import KitConfig, Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.gateway.config import Config as GatewayConfig
from services.gateway.main import gateway
from services.policy.config import Config as PolicyConfig
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build as policy
from services.router.config import Config as RouterConfig
from services.router.main import build as router
from tests.support.eventually import eventually
from tests.support.model_server import ModelServer, model_server
from tests.support.nats_server import NatsServer
from tests.support.otlp_receiver import Receiver, otlp_receiver
from tests.support.valkey_server import ValkeyServer

AnyConfig = TypeVar("AnyConfig", bound=KitConfig)

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
PRICE = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10}
PROMPT = "a prompt that is planted"
PROVIDER_KEY = "sk-planted-provider-key"
HEADER = "planted-header-value"


@dataclass
class Traced:
    """The edge of a plane that exports."""

    url: str
    key: str
    provider: ModelServer
    broker: NatsServer

    async def ask(self, model: str = "chat", *, stream: bool = False, traceparent: str = TRACEPARENT) -> httpx.Response:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
        headers = {"authorization": f"Bearer {self.key}", "traceparent": traceparent, "x-planted": HEADER}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20) as client:
            return await client.post("/v1/chat/completions", json=body)


@asynccontextmanager
async def traced(
    broker: NatsServer, valkey: ValkeyServer, folder: Path, otel: Mapping[str, str], drain_s: float = 3.0
) -> AsyncIterator[Traced]:
    """Drained at its end: then every span is with the receiver."""
    setup = await Bus.connect(BusConfig(url=broker.url, principal="setup"))
    await setup.prepare()
    await setup.close()
    lines: list[str] = []
    log = Log(lines.append)
    key = create_key(folder / "keys.json", ApiKey("", "", "acme", "user:alice", scopes=("*",)), now=1.0)[1]

    def settings(kind: type[AnyConfig], **more: object) -> AnyConfig:
        common = {"nats_url": broker.url, "data_dir": str(folder), "config_dir": str(folder), "drain_s": drain_s}
        return msgspec.structs.replace(kind(), **common | more)

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(model_server())
        (folder / "provider.key").write_text(PROVIDER_KEY)
        (folder / "provider.key").chmod(0o600)
        deployment = {
            "base_url": provider.url,
            "protocols": ["openai.chat"],
            "price": PRICE,
            "key": "file:provider.key",
        }
        models = {
            "deployments": {
                "one": {**deployment, "model": "one"},
                "shut": {**deployment, "base_url": "http://127.0.0.1:9", "model": "m"},
            },
            "aliases": {"chat": ["one"], "failing": ["shut"]},
        }
        (folder / "models.yaml").write_text(yaml.safe_dump(models))
        policy_config = settings(PolicyConfig, store_url=Secret(valkey.url))
        await stack.enter_async_context(running(policy, policy_config, "policy", log=log, otel=otel))
        router_config = settings(RouterConfig, models_file="models.yaml", rounds_max=1)
        await stack.enter_async_context(running(router, router_config, "router", log=log, otel=otel))
        edge_config = settings(GatewayConfig, http_port=0)
        await stack.enter_async_context(running(gateway, edge_config, "gateway", log=log, otel=otel))

        async def port() -> int:
            found = [json.loads(line) for line in lines]
            return next(int(line["port"]) for line in found if line.get("event") == "http")

        yield Traced(f"http://127.0.0.1:{await eventually(port)}", key, provider, broker)


async def test_one_chat_request_is_one_tree_of_spans_below_its_caller(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with otlp_receiver() as receiver:
        async with traced(broker, valkey, tmp_path, receiver.env) as plane:
            answer = await plane.ask()
            assert answer.status_code == 200
            records = await _records(broker)
        ours = Receiver(spans=[span for span in receiver.spans if span.trace == TRACE])

    edge = ours.named("POST /v1/chat/completions")
    served = ours.named("penstock.llm.complete")
    attempt = ours.named("chat one")
    decided = ours.named("penstock.policy.evaluate")
    assert (edge.service, edge.kind, edge.parent) == ("penstock-gateway", "SERVER", CALLER)
    assert (served.service, served.kind, served.parent) == ("penstock-router", "SERVER", edge.id)
    assert (attempt.service, attempt.kind, attempt.parent) == ("penstock-router", "CLIENT", served.id)
    assert (decided.service, decided.kind, decided.parent) == ("penstock-policy", "SERVER", attempt.id)
    assert edge.attributes["http.response.status_code"] == 200
    told = dict(attempt.attributes)
    decision, outcome = records
    assert told.pop("penstock.attempt") == outcome.attempt
    assert told.pop("penstock.decision") == outcome.decision == decision.decision
    usage = answer.json()["usage"]
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "one",
        "gen_ai.response.model": answer.json()["model"],
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "server.address": "127.0.0.1",
        "penstock.alias": "chat",
        "penstock.deployment": "one",
    }
    assert outcome.traceparent == f"00-{TRACE}-{attempt.id}-01"
    assert decision.traceparent == f"00-{TRACE}-{decided.id}-01"


async def test_a_stream_and_a_failed_attempt_are_told_too(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with otlp_receiver() as receiver, traced(broker, valkey, tmp_path, receiver.env) as plane:
        assert (await plane.ask(stream=True)).status_code == 200
        assert (await plane.ask("failing")).status_code >= 500
    stream = receiver.named("penstock.llm.stream")
    answered, failed = receiver.named("chat one"), receiver.named("chat m")
    assert (answered.parent, answered.failed) == (stream.id, False)
    assert answered.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert (failed.failed, failed.attributes["error.type"]) == (True, "upstream")
    assert failed.attributes["penstock.fault"] == "transient"
    assert receiver.named("penstock.llm.complete").failed


async def test_no_secret_and_no_prompt_is_in_a_span(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> None:
    async with otlp_receiver() as receiver, traced(broker, valkey, tmp_path, receiver.env) as plane:
        answer = await plane.ask()
        assert (await plane.ask("planted-model-name-of-the-caller")).status_code == 404
    content = answer.json()["choices"][0]["message"]["content"]
    assert len(receiver.spans) > 5
    assert plane.provider.received[0].headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    for planted in (PROMPT, content, plane.key, PROVIDER_KEY, HEADER, "Bearer", "eyJ"):
        assert planted.encode() not in receiver.raw


async def test_a_trace_that_its_caller_does_not_sample_is_not_exported(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with otlp_receiver() as receiver, traced(broker, valkey, tmp_path, receiver.env) as plane:
        assert (await plane.ask(traceparent=f"00-{TRACE}-{CALLER}-00")).status_code == 200
        assert (await plane.ask(traceparent="")).status_code == 200
    assert TRACE not in {span.trace for span in receiver.spans}
    assert receiver.named("chat one").parent == receiver.named("penstock.llm.complete").id


async def test_requests_do_not_notice_a_receiver_that_is_away_or_does_not_answer(
    broker: NatsServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    away = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    async with traced(broker, valkey, tmp_path, away, 0.4) as plane:
        assert [(await plane.ask()).status_code for _ in range(3)] == [200, 200, 200]
    async with otlp_receiver() as receiver:
        receiver.held = True
        async with traced(broker, valkey, tmp_path, receiver.env, 0.4) as plane:
            assert [(await plane.ask()).status_code for _ in range(3)] == [200, 200, 200]


async def _records(broker: NatsServer) -> tuple[DecisionRecord, OutcomeRecord]:
    """Of the one model call that was made."""
    bus = await Bus.connect(BusConfig(url=broker.url, principal="audit"))
    try:

        async def both() -> tuple[DecisionRecord, OutcomeRecord]:
            stored = await bus.read(AUDIT_BATCH, tenant="acme")
            records = [record for one in stored for record in one.body.records]
            decisions = [
                msgspec.json.decode(each.data, type=DecisionRecord) for each in records if each.type == DECISION
            ]
            outcomes = [msgspec.json.decode(each.data, type=OutcomeRecord) for each in records if each.type == OUTCOME]
            (outcome,) = [each for each in outcomes if each.action == "model.complete"]
            (decision,) = [each for each in decisions if each.decision == outcome.decision]
            return decision, outcome

        return await eventually(both)
    finally:
        await bus.close()
