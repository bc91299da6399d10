"""A prepared broker and a bus on it, for the kit's tests."""

from collections.abc import AsyncIterator

import pytest

from penstock.bus import Bus, BusConfig
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """Connected as `router`; the streams of the table are there."""
    bus = await Bus.connect(BusConfig(url=nats_url, principal="router"))
    await bus.prepare()
    yield bus
    await bus.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("router")


@pytest.fixture
def lines() -> list[str]:
    """What was logged."""
    return []


@pytest.fixture
def log(lines: list[str]) -> Log:
    return Log(lines.append, level="debug")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()
