"""Work, events and edges in a service's list: what is counted, what becomes of a bug, what stops how."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from penstock.bus import Bus, Discard, Item, Release, Stored
from penstock.bus.work import Bad
from penstock.contracts.audit import Batch
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH, AUDIT_SINK
from penstock.contracts.jobs import Job
from penstock.contracts.meta import Meta
from penstock.contracts.services import AUDIT, ORCHESTRATOR
from penstock.contracts.subjects import JOB
from penstock.kit.config import KitConfig
from penstock.kit.entry import Endpoint
from penstock.kit.lifecycle import Build, Host
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.service import Parts, Service, edge, listen, running, work
from tests.support.eventually import eventually
from tests.support.otlp_receiver import otlp_receiver

CHAT = Job(kind="chat", input=msgspec.Raw(b'"hello"'))


@pytest.fixture
def config(nats_url: str) -> KitConfig:
    return KitConfig(nats_url=nats_url, drain_s=5.0)


def service_of(name: str, *endpoints: Endpoint) -> Build[KitConfig]:
    @asynccontextmanager
    async def build(config: KitConfig, parts: Parts) -> AsyncIterator[Service]:
        yield Service(name, list(endpoints))

    return build


def worked(metrics: Metrics, result: str) -> float:
    labels = {"work": "JOBS/admit", "result": result}
    return metrics.registry.get_sample_value("penstock_work_deliveries_total", labels) or 0


def dead(metrics: Metrics, code: str) -> float:
    return metrics.registry.get_sample_value("penstock_dead_letters_total", {"store": "JOBS", "code": code}) or 0


async def counted(host: Host[KitConfig], result: str, times: int = 1) -> None:
    async def so_often() -> None:
        assert worked(host.metrics, result) == times

    await eventually(so_often)


async def assigned(bus: Bus) -> None:
    await bus.assign(JOB, CHAT, Meta(request="req_1"), tenant="acme", kind="chat")


async def test_a_job_that_is_done_is_counted(bus: Bus, config: KitConfig, log: Log) -> None:
    taken: list[tuple[str, str]] = []

    async def take(item: Item[Job]) -> None:
        taken.append((item.body.kind, item.meta.tenant))

    async with running(service_of(ORCHESTRATOR, work(JOB, take)), config, ORCHESTRATOR, log=log) as host:
        await assigned(bus)
        await counted(host, "done")
    assert taken == [("chat", "acme")]


@pytest.mark.parametrize(
    ("raised", "result", "code"),
    [
        (Discard(Failure(Code.INVALID, "no such kind")), "discarded", "invalid"),
        (Release(60.0), "released", ""),
        (Failure(Code.UNAVAILABLE, retry_after_s=30.0), "retry", ""),
        (KeyError("a prompt"), "retry", ""),
    ],
)
async def test_what_becomes_of_a_job_is_counted_by_how_its_handler_ends(
    bus: Bus, config: KitConfig, lines: list[str], raised: Exception, result: str, code: str
) -> None:
    async def take(item: Item[Job]) -> None:
        raise raised

    build = service_of(ORCHESTRATOR, work(JOB, take))
    async with running(build, config, ORCHESTRATOR, log=Log(lines.append)) as host:
        await assigned(bus)
        await counted(host, result)
        assert dead(host.metrics, code) == (1 if code else 0)
    bugs = [line for line in map(json.loads, lines) if line["event"] == "bug"]
    assert [(line["type"], line["request"]) for line in bugs] == (
        [("KeyError", "req_1")] if isinstance(raised, KeyError) else []
    )


@pytest.mark.parametrize(
    ("raised", "result", "error"),
    [
        (None, "done", ""),
        (Discard(Failure(Code.INVALID, "no such kind")), "discarded", "invalid"),
        (Release(60.0), "released", ""),
        (Failure(Code.UNAVAILABLE, retry_after_s=30.0), "retry", "unavailable"),
        (KeyError("a prompt"), "retry", "KeyError"),
    ],
)
async def test_a_job_that_is_taken_is_a_span_below_whoever_handed_it_in(
    bus: Bus, config: KitConfig, log: Log, raised: Exception | None, result: str, error: str
) -> None:
    below: list[str] = []

    async def take(item: Item[Job]) -> None:
        below.append(item.meta.traceparent)
        if raised is not None:
            raise raised

    build = service_of(ORCHESTRATOR, work(JOB, take))
    meta = Meta(request="req_1", job="job_1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    async with otlp_receiver() as receiver:
        async with running(build, config, ORCHESTRATOR, log=log, otel=receiver.env) as host:
            await bus.assign(JOB, CHAT, meta, message_id="m1", tenant="acme", kind="chat")
            await counted(host, result)
        (span,) = receiver.spans
    assert (span.name, span.kind) == ("process penstock.job.{tenant}.{kind}", "CONSUMER")
    assert (span.trace, span.parent, span.failed) == ("a" * 32, "b" * 16, bool(error))
    assert below == [f"00-{span.trace}-{span.id}-01"]
    told = dict(span.attributes)
    assert told.pop("error.type", "") == error
    assert told == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "penstock.job.{tenant}.{kind}",
        "messaging.consumer.group.name": "admit",
        "messaging.message.id": "m1",
        "penstock.deliveries": 1,
        "penstock.job": "job_1",
        "penstock.result": result,
    }


async def test_a_job_that_cannot_be_read_is_told_and_counted(bus: Bus, config: KitConfig, log: Log) -> None:
    told: list[tuple[str, Code]] = []

    async def take(item: Item[Job]) -> None:
        raise AssertionError("it cannot be read")

    async def bad(item: Bad) -> None:
        told.append((item.tokens["tenant"], item.reason.code))

    build = service_of(ORCHESTRATOR, work(JOB, take, on_bad=bad))
    async with running(build, config, ORCHESTRATOR, log=log) as host:
        bus.connection.publish("penstock.job.acme.chat", b"not json")

        async def put_away() -> None:
            assert dead(host.metrics, "invalid") == 1

        await eventually(put_away)
    assert told == [("acme", Code.INVALID)]


async def test_a_listener_hears_whole_batches_and_hears_them_again_after_a_bug(
    bus: Bus, config: KitConfig, log: Log
) -> None:
    heard: list[int] = []

    async def hear(batch: list[Stored[Batch]]) -> None:
        heard.extend(stored.sequence for stored in batch)
        if len(heard) == 1:
            raise KeyError("a bug")

    async with running(service_of(AUDIT, listen(AUDIT_BATCH, AUDIT_SINK, hear)), config, AUDIT, log=log) as host:
        await bus.emit(AUDIT_BATCH, Batch([]), Meta(), tenant="acme", service="router")

        async def again() -> None:
            assert heard == [1, 1]

        await eventually(again, within_s=15)
        for result in ("failed", "ok"):
            labels = {"consumer": "notary", "result": result}
            assert host.metrics.registry.get_sample_value("penstock_events_total", labels) == 1


def edge_of(serve: Callable[[asyncio.Event], Awaitable[None]]) -> Build[KitConfig]:
    return service_of(ORCHESTRATOR, edge("http", serve))


async def test_an_edge_finishes_what_is_under_way_before_the_bus_goes(bus: Bus, config: KitConfig, log: Log) -> None:
    ended: list[str] = []

    async def serve(stopping: asyncio.Event) -> None:
        await stopping.wait()
        # the bus still answers while an edge finishes
        await bus.connection.round_trip(2.0)
        ended.append("by itself")

    async with running(edge_of(serve), config, ORCHESTRATOR, log=log) as host:
        assert ended == []
    assert (ended, host.exit_code) == (["by itself"], 0)


async def test_an_edge_that_does_not_end_is_cancelled_when_the_time_is_over(bus: Bus, nats_url: str, log: Log) -> None:
    ended: list[str] = []

    async def serve(stopping: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    hasty = KitConfig(nats_url=nats_url, drain_s=0.05)
    async with running(edge_of(serve), hasty, ORCHESTRATOR, log=log):
        pass
    assert ended == ["cancelled"]


async def test_an_edge_that_ends_too_soon_brings_the_service_down(bus: Bus, config: KitConfig, log: Log) -> None:
    now = asyncio.Event()

    async def serve(stopping: asyncio.Event) -> None:
        await now.wait()

    async with running(edge_of(serve), config, ORCHESTRATOR, log=log) as host:
        now.set()
        async with asyncio.timeout(5):
            await host.failed.wait()
        assert host.readiness.live().reasons == ["http has ended"]
