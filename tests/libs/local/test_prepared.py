"""The set-up of a broker that comes and goes."""

import asyncio

import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import TokenFrame
from penstock.contracts.meta import Meta
from penstock.contracts.services import ORCHESTRATOR
from penstock.contracts.subjects import JOB_TOKEN
from penstock.local.child import StartFailed
from penstock.local.prepared import SetUp
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer


async def test_what_the_broker_kept_in_memory_is_made_again_after_it_was_killed(broker: NatsServer) -> None:
    part = SetUp(lambda: broker.url)
    await part.start()
    watching = asyncio.create_task(part.exited())
    bus = await Bus.connect(BusConfig(url=broker.url, principal=ORCHESTRATOR))
    try:
        await broker.kill()
        await broker.start()

        async def whole() -> None:
            try:
                assert await bus.drift(ORCHESTRATOR) == []
                await bus.emit(JOB_TOKEN, TokenFrame("job_1", "s1", 0, "hi"), Meta(), tenant="acme", job="job_1")
            except Failure as failure:
                raise AssertionError from failure

        await eventually(whole, 15, every_s=0.1)
        assert not watching.done()
    finally:
        watching.cancel()
        await part.stop()
        await bus.close()


async def test_without_a_broker_it_does_not_start_and_can_be_started_later(broker: NatsServer) -> None:
    part = SetUp(lambda: broker.url)
    await broker.stop()
    with pytest.raises(StartFailed, match="set-up did not start: unavailable"):
        await part.start()
    await broker.start()
    await part.start()
    await part.stop()
    await part.stop()
