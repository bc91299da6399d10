"""Fixtures that any test may use. Each test has servers of its own: they start in 20 to 30 ms."""

import os
from collections.abc import AsyncIterator

import hypothesis
import pytest

from tests.support.nats_server import NatsServer, nats_server
from tests.support.valkey_server import ValkeyServer, valkey_server

# A busy machine does not turn a slow example into a failure, and the same code gets the same examples: those of chance
# are for `HYPOTHESIS_PROFILE=deep`, which `make fuzz` uses.
hypothesis.settings.register_profile("penstock", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "penstock"))


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    async with nats_server() as server:
        yield server


@pytest.fixture
async def nats_url(broker: NatsServer) -> str:
    return broker.url


@pytest.fixture
async def valkey() -> AsyncIterator[ValkeyServer]:
    async with valkey_server() as server:
        yield server


@pytest.fixture
async def valkey_url(valkey: ValkeyServer) -> str:
    return valkey.url
