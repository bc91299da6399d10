"""A service in the test's own loop: how it starts, what surrounds its handlers, how it stops."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.bus import Bus, BusConfig, Sender
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.services import ROUTER
from penstock.kit.clock import SystemClock
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import Parts, Service, running, stream
from penstock.kit.trace import parse
from tests.support.echo import COUNT, ECHO, ONCE, TENANT_ECHO, Ask, Said
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.sample_service import Config, sample
from tests.support.tokens import TestSigner


@pytest.fixture
def config(nats_url: str) -> Config:
    return Config(nats_url=nats_url, check_every_s=0.05, drain_s=5.0)


@pytest.fixture
async def caller(bus: Bus, nats_url: str) -> AsyncIterator[Bus]:
    """Who asks the service."""
    caller = await Bus.connect(BusConfig(url=nats_url, principal="gateway", no_responders_s=0.2))
    yield caller
    await caller.close()


async def http(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


def events(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


async def test_a_service_answers_and_says_that_it_is_ready(caller: Bus, config: Config, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(caller)
    async with running(sample, config, ROUTER, log=log) as host:
        reply = await caller.call(ECHO, Ask("hello"), Meta(token=signer.token(), tenant="acme"))
        assert reply == Said("hello for user:alice")
        assert (await http(host.health_port, "/live"))[0] == 200
        status, body = await http(host.health_port, "/ready")
        assert (status, json.loads(body)["reasons"]) == (200, [])
        assert "penstock_calls_total" in (await http(host.health_port, "/metrics"))[1]
        assert (
            host.metrics.registry.get_sample_value("penstock_calls_total", {"endpoint": "test.echo", "code": "ok"}) == 1
        )
    assert host.exit_code == 0


async def test_without_a_token_only_what_is_open_is_answered(caller: Bus, config: Config, log: Log) -> None:
    async with running(sample, config, ROUTER, log=log):
        assert await caller.call(ONCE, Ask("hello"), Meta()) == Said("hello")
        for token in ("", "made.up.token"):
            with pytest.raises(Failure) as failure:
                await caller.call(ECHO, Ask("hello"), Meta(token=token))
            assert failure.value.code is Code.UNAUTHENTICATED


async def test_a_token_is_good_for_its_own_tenants_subjects_only(caller: Bus, config: Config, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(caller)
    meta = Meta(token=signer.token(tenant="acme"), tenant="globex")
    async with running(sample, config, ROUTER, log=log):
        assert (await caller.call(TENANT_ECHO, Ask("x"), meta, tenant="acme")).text == "x for user:alice"
        with pytest.raises(Failure) as failure:
            await caller.call(TENANT_ECHO, Ask("x"), meta, tenant="globex")
    assert failure.value.code is Code.DENIED


async def test_a_bug_becomes_internal_and_its_message_stays_here(caller: Bus, config: Config, lines: list[str]) -> None:
    signer = TestSigner()
    await signer.publish(caller)
    async with running(sample, config, ROUTER, log=Log(lines.append)):
        with pytest.raises(Failure) as failure:
            await caller.call(ECHO, Ask("bug"), Meta(token=signer.token(), request="req_9"))
        with pytest.raises(Failure) as refusal:
            await caller.call(ECHO, Ask("refuse"), Meta(token=signer.token()))
    assert failure.value.code is Code.INTERNAL
    (line,) = [line for line in map(json.loads, lines) if line["event"] == "bug"]
    assert failure.value.detail == f"internal error, see log {line['id']}"
    assert (line["type"], line["where"], line["request"]) == ("KeyError", "test.echo", "req_9")
    assert "must not be logged" not in "".join(lines)
    assert (refusal.value.code, refusal.value.detail) == (Code.NOT_FOUND, "there is no such thing")


async def test_a_handler_works_in_a_span_of_its_own_within_the_callers_trace(
    caller: Bus, config: Config, log: Log
) -> None:
    seen: list[Meta] = []

    async def count(request: Ask, meta: Meta, out: Sender) -> Said:
        seen.append(meta)
        await out.send(request.text.encode())
        return Said("counted")

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        yield Service(ROUTER, [stream(COUNT, count, open_to_all=True)])

    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    async with (
        running(build, config, ROUTER, log=log),
        caller.stream(COUNT, Ask("frame"), Meta(traceparent=parent)) as reader,
    ):
        assert [frame async for frame in reader] == [b"frame"]
        assert reader.end == Said("counted")
    span = parse(seen[0].traceparent)
    assert span is not None
    assert (span.trace, span.sampled, span.span == "b" * 16) == ("a" * 32, True, False)


async def test_a_service_waits_for_a_broker_that_is_not_there_yet(
    broker: NatsServer, config: Config, lines: list[str]
) -> None:
    await broker.stop()
    quick = Config(nats_url=config.nats_url, nats_connect_timeout_s=0.2, check_every_s=0.05)
    host = Host(sample, quick, ROUTER, log=Log(lines.append), clock=SystemClock())
    starting = asyncio.create_task(host.start())

    async def waits() -> None:
        status, body = await http(host.health_port, "/ready")
        assert (status, "starting: the broker: the broker at" in body) == (503, True)
        assert (await http(host.health_port, "/live"))[0] == 200

    async def listens() -> None:
        assert host.health_port

    await eventually(listens)
    await eventually(waits)
    await broker.start()

    async def wants_streams() -> None:
        assert "starting: streams and consumers" in (await http(host.health_port, "/ready"))[1]

    await eventually(wants_streams)
    setup = await Bus.connect(BusConfig(url=quick.nats_url, principal="setup"))
    await setup.prepare()
    await starting
    assert (await http(host.health_port, "/ready"))[0] == 200
    await setup.close()
    assert await host.stop(asyncio.Event()) == 0
    said = [line for line in map(json.loads, lines) if line["event"] == "waiting"]
    assert {line["what"] for line in said} == {"the broker", "streams and consumers"}


async def test_a_service_is_not_ready_while_the_broker_is_away_and_ready_again_after(
    bus: Bus, broker: NatsServer, config: Config, log: Log
) -> None:
    async with running(sample, config, ROUTER, log=log) as host:
        await broker.stop()

        async def not_ready() -> None:
            status, body = await http(host.health_port, "/ready")
            assert (status, "broker: it cannot be reached" in body) == (503, True)

        await eventually(not_ready)
        await broker.start()

        async def ready() -> None:
            assert (await http(host.health_port, "/ready"))[0] == 200

        await eventually(ready, within_s=15)

        async def counted() -> None:
            assert host.metrics.registry.get_sample_value("penstock_bus_reconnects_total") == 1

        await eventually(counted)


async def test_a_service_is_not_ready_without_the_audit_stream(bus: Bus, config: Config, log: Log) -> None:
    async with running(sample, config, ROUTER, log=log) as host:
        await bus.connection.request("$JS.API.STREAM.DELETE.AUDIT", b"", timeout_s=5)

        async def not_ready() -> None:
            status, body = await http(host.health_port, "/ready")
            assert (status, "audit: " in body) == (503, True)

        await eventually(not_ready)
        await bus.prepare()

        async def ready() -> None:
            assert (await http(host.health_port, "/ready"))[0] == 200

        await eventually(ready)


async def test_a_stop_lets_running_handlers_finish(caller: Bus, config: Config, lines: list[str]) -> None:
    async with running(sample, config, ROUTER, log=Log(lines.append)):
        asking = asyncio.create_task(caller.call(ONCE, Ask("slow", wait_s=0.3), Meta()))

        async def asked() -> None:
            assert "asked" in events(lines)

        await eventually(asked)
    assert await asking == Said("slow")
    assert events(lines)[-3:] == ["stopping", "parts closed", "stopped"]
    assert json.loads(lines[-2])["edge_ended"] is True


async def test_a_handler_that_takes_too_long_is_stopped_and_its_caller_told(
    caller: Bus, nats_url: str, lines: list[str]
) -> None:
    hasty = Config(nats_url=nats_url, drain_s=0.1)
    async with running(sample, hasty, ROUTER, log=Log(lines.append)) as host:
        asking = asyncio.create_task(caller.call(ONCE, Ask("slow", wait_s=60), Meta(), timeout_s=10))

        async def asked() -> None:
            assert "asked" in events(lines)

        await eventually(asked)
    with pytest.raises(Failure) as failure:
        await asking
    assert failure.value.code is Code.UNKNOWN_OUTCOME
    assert host.exit_code == 0


async def test_a_background_that_fails_brings_the_service_down(bus: Bus, config: Config, lines: list[str]) -> None:
    now = asyncio.Event()

    async def broken() -> None:
        await now.wait()
        raise KeyError("x")

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        yield Service(ROUTER, [], background=[broken])

    async with running(build, config, ROUTER, log=Log(lines.append)) as host:
        now.set()
        async with asyncio.timeout(5):
            await host.failed.wait()
        status, body = await http(host.health_port, "/live")
        assert (status, "broken has ended" in body) == (503, True)
    assert "bug" in events(lines)


async def test_a_background_that_fails_at_once_ends_the_start(bus: Bus, config: Config, log: Log) -> None:
    async def broken() -> None:
        raise Failure(Code.INVALID, "no such folder")

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        yield Service(ROUTER, [], background=[broken])

    with pytest.raises(Failure, match=r"broken has ended"):
        async with running(build, config, ROUTER, log=log):
            raise AssertionError("it started all the same")


async def test_a_builder_that_cannot_go_on_ends_the_start(bus: Bus, config: Config, log: Log) -> None:
    blocked = Config(nats_url=config.nats_url, obstacle="the models file is not YAML")
    with pytest.raises(Failure, match="the models file is not YAML"):
        async with running(sample, blocked, ROUTER, log=log):
            raise AssertionError("it started all the same")


async def test_a_builder_that_lacks_something_is_tried_again(bus: Bus, config: Config, lines: list[str]) -> None:
    tries: list[int] = []

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        tries.append(1)
        if len(tries) < 3:
            raise Failure(Code.UNAVAILABLE, "the store cannot be reached")
        yield Service(ROUTER, [])

    async with running(build, config, ROUTER, log=Log(lines.append)):
        assert len(tries) == 3
    (waiting,) = [line for line in map(json.loads, lines) if line["event"] == "waiting"]
    assert waiting["why"] == "the store cannot be reached"


async def test_a_check_of_the_services_own_counts_too(bus: Bus, config: Config, log: Log) -> None:
    reachable = [True]

    async def store() -> None:
        if not reachable[0]:
            raise Failure(Code.UNAVAILABLE, "no answer")

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        parts.readiness.add("store", store)
        yield Service(ROUTER, [])

    async with running(build, config, ROUTER, log=log) as host:
        reachable[0] = False

        async def not_ready() -> None:
            assert "store: no answer" in (await http(host.health_port, "/ready"))[1]

        await eventually(not_ready)


async def test_a_service_describes_itself(caller: Bus, config: Config, log: Log) -> None:
    async with running(sample, config, ROUTER, log=log):
        await caller.call(ONCE, Ask("x"), Meta())
        message = await caller.connection.request("$SRV.STATS.router", b"", timeout_s=5)
    stats = json.loads(message.data)
    assert stats["name"] == "router"
    assert {"test-once": 1, "test-echo": 0}.items() <= {
        each["name"]: each["num_requests"] for each in stats["endpoints"]
    }.items()


async def test_of_two_replicas_one_stops_and_no_caller_notices(caller: Bus, config: Config, log: Log) -> None:
    async with running(sample, config, ROUTER, log=log):
        failures: list[Failure] = []
        done = asyncio.Event()

        async def ask_all_the_time() -> None:
            while not done.is_set():
                try:
                    await caller.call(ONCE, Ask("x"), Meta(), timeout_s=3)
                except Failure as failure:
                    failures.append(failure)

        async with running(sample, config, ROUTER, log=log) as host:
            asking = [asyncio.create_task(ask_all_the_time()) for _ in range(50)]

            async def both_answer() -> None:
                labels = {"endpoint": "test.once", "code": "ok"}
                assert (host.metrics.registry.get_sample_value("penstock_calls_total", labels) or 0) > 100

            await eventually(both_answer)
        done.set()
        await asyncio.gather(*asking)
    assert failures == []


async def test_a_service_whose_store_was_away_at_its_start_is_ready_when_it_is_back(
    bus: Bus, config: Config, log: Log, lines: list[str]
) -> None:
    tries = 0

    async def store() -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Failure(Code.UNAVAILABLE, "the store cannot be reached")

    @asynccontextmanager
    async def with_a_store(config: Config, parts: Parts) -> AsyncIterator[Service]:
        parts.readiness.add("store", store)
        yield Service(ROUTER, [])

    async with asyncio.timeout(10), running(with_a_store, config, ROUTER, log=log) as host:
        status, body = await http(host.health_port, "/ready")
        assert (status, json.loads(body)["reasons"]) == (200, [])
    waits = [json.loads(line)["why"] for line in lines if json.loads(line)["event"] == "waiting"]
    assert waits == ["store: the store cannot be reached"]
