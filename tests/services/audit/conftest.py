"""A prepared broker, and a bus that other services' records come from."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from penstock.bus import Bus, BusConfig
from penstock.kit.log import Log
from services.audit.config import Config


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusConfig(url=nats_url, principal="gateway", no_responders_s=0.2))
    await bus.prepare()
    yield bus
    await bus.close()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> Log:
    return Log(lines.append, level="debug")


@pytest.fixture
def config(nats_url: str, tmp_path: Path) -> Callable[..., Config]:
    def make(*, log_new: bool = False, log_origin: str = "example.com/audit", data: str = "audit") -> Config:
        return Config(
            nats_url=nats_url,
            data_dir=str(tmp_path / data),
            check_every_s=0.1,
            checkpoint_every_s=0.05,
            drain_s=5.0,
            log_new=log_new,
            log_origin=log_origin,
        )

    return make
