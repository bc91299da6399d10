"""Fixtures that any test may use. Each test has servers of its own: they start in 20 to 30 ms."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.nats_server import NatsServer, nats_server
from tests.support.valkey_server import ValkeyServer, valkey_server

# A busy machine does not turn a slow example into a failure, and the same code gets the same examples: those of chance
# are for `HYPOTHESIS_PROFILE=deep`, which `make fuzz` uses.
hypothesis.settings.register_profile("penstock", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "penstock"))

MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 20 * 1024**3
"""The broker sets aside what its streams may grow to, of three quarters of what is free."""

# Servers sync each write and are thrown away with their test: where there is room for it, what they write is kept in
# memory, which takes a quarter off the suite. TMPDIR says otherwise; benchmarks always write to a disk.
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_MIN_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


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
