"""A service as a process of its own: start, signals, exit status."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import Batch
from penstock.contracts.errors import Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.jobs import Job
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import JOB
from tests.support.echo import ONCE, Ask, Said
from tests.support.nats_server import NatsServer
from tests.support.process import ModuleProcess, module_process

SAMPLE = "tests.support.sample_service"


@pytest.fixture
async def caller(bus: Bus, nats_url: str) -> AsyncIterator[Bus]:
    caller = await Bus.connect(BusConfig(url=nats_url, principal="gateway"))
    yield caller
    await caller.close()


@asynccontextmanager
async def started(url: str, **settings: str) -> AsyncIterator[ModuleProcess]:
    environment = {"PENSTOCK_NATS_URL": url, "PENSTOCK_CHECK_EVERY_S": "0.1"} | settings
    async with module_process(SAMPLE, environment=environment) as process:
        await process.says('"event":"ready"')
        yield process


def said(process: ModuleProcess) -> list[dict[str, object]]:
    return [json.loads(line) for line in process.output.splitlines()]


def saying(process: ModuleProcess, event: str) -> list[dict[str, object]]:
    return [line for line in said(process) if line["event"] == event]


async def records(bus: Bus) -> list[Batch]:
    return [stored.body for stored in await bus.read(AUDIT_BATCH)]


async def test_sigterm_lets_the_running_request_finish_and_ends_with_0(caller: Bus, nats_url: str) -> None:
    async with started(nats_url) as process:
        asking = asyncio.create_task(caller.call(ONCE, Ask("slow", wait_s=0.5), Meta()))
        await process.says('"event":"asked"')
        assert await process.terminate() == 0
        assert await asking == Said("slow")
        assert [line["event"] for line in said(process)][-3:] == ["stopping", "parts closed", "stopped"]


async def test_records_on_their_way_are_flushed_before_the_end(bus: Bus, caller: Bus, nats_url: str) -> None:
    async with started(nats_url) as process:
        await caller.call(ONCE, Ask("record"), Meta())
        assert await process.terminate() == 0
    assert [[record.id for record in batch.records] for batch in await records(bus)] == [["att_1-outcome"]]


async def test_it_ends_with_0_while_the_broker_is_away_when_nothing_is_lost(
    bus: Bus, broker: NatsServer, nats_url: str
) -> None:
    async with started(nats_url) as process:
        await broker.stop()
        await process.says("the broker connection is lost")
        assert await process.terminate() == 0


async def test_it_ends_with_1_and_names_the_records_when_they_are_lost(
    caller: Bus, broker: NatsServer, nats_url: str
) -> None:
    async with started(nats_url, PENSTOCK_DRAIN_S="1") as process:
        asking = asyncio.create_task(caller.call(ONCE, Ask("record", wait_s=0.5), Meta(), timeout_s=2))
        await process.says('"event":"asked"')
        await broker.stop()
        assert await process.terminate(20) == 1
        (line,) = saying(process, "audit records lost")
        assert line["ids"] == ["att_1-outcome"]
        with pytest.raises(Failure):
            await asking


async def test_a_second_signal_ends_it_at_once(caller: Bus, nats_url: str) -> None:
    async with started(nats_url, PENSTOCK_DRAIN_S="300") as process:
        asking = asyncio.create_task(caller.call(ONCE, Ask("slow", wait_s=300), Meta(), timeout_s=30))
        await process.says('"event":"asked"')
        process.child.terminate()
        await process.says('"event":"stopping"')
        assert await process.terminate(15) == 0
        with pytest.raises(Failure, match="unknown_outcome"):
            await asking
        assert saying(process, "stopping what runs")


async def test_a_job_in_hand_is_given_back_when_it_cannot_finish(caller: Bus, nats_url: str) -> None:
    async with started(nats_url, PENSTOCK_DRAIN_S="0.2", PENSTOCK_WORKS="true") as first:
        await caller.assign(JOB, Job(kind="chat", input=msgspec.Raw(b'"x"')), Meta(), tenant="acme", kind="chat")
        await first.says('"event":"took"')
        assert await first.terminate(15) == 0
        async with started(nats_url, PENSTOCK_WORKS="true") as second:
            await second.says('"event":"took"')


async def test_a_signal_during_the_start_ends_it_with_0(broker: NatsServer, nats_url: str) -> None:
    await broker.stop()
    environment = {"PENSTOCK_NATS_URL": nats_url, "PENSTOCK_NATS_CONNECT_TIMEOUT_S": "0.2"}
    async with module_process(SAMPLE, environment=environment) as process:
        await process.says('"event":"waiting"')
        assert await process.terminate() == 0


async def test_a_hopeless_start_ends_with_1_and_says_why(bus: Bus, nats_url: str) -> None:
    environment = {"PENSTOCK_NATS_URL": nats_url, "PENSTOCK_OBSTACLE": "the models file is not YAML"}
    async with module_process(SAMPLE, environment=environment) as process:
        assert await asyncio.wait_for(process.child.exited(), 20) == 1
        (line,) = saying(process, "cannot start")
        assert line["why"] == "invalid: the models file is not YAML"


async def test_bad_settings_end_it_with_2_and_a_sentence() -> None:
    async with module_process(SAMPLE, environment={"PENSTOCK_DRAIN_S": "soon"}) as process:
        assert await asyncio.wait_for(process.child.exited(), 20) == 2
        assert process.output == "PENSTOCK_DRAIN_S must be a number of at least 0, not 'soon'.\n"


async def test_the_settings_are_printed_with_secrets_hidden_and_unknown_names_told(bus: Bus, nats_url: str) -> None:
    async with started(nats_url, PENSTOCK_API_KEY="s3cret-value", PENSTOCK_DRAIN="1") as process:
        (config,) = saying(process, "config")
        assert (config["api_key"], config["drain_s"], config["service"]) == ("[hidden]", 25.0, "router")
        assert saying(process, "settings unknown to this service")[0]["names"] == ["PENSTOCK_DRAIN"]
        assert "s3cret-value" not in process.output
        assert isinstance(saying(process, "ready")[0]["health_port"], int)
