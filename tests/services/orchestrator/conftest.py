"""A real broker, the orchestrator's peers on it, and orchestrators to start and stop."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from services.orchestrator.config import Config
from services.orchestrator.main import orchestrator
from tests.support.run_peers import Peers, run_peers

AGENTS = """
agents:
  - name: helper
    model: fast
    instructions: Help.
    tools: [search_documents, lookup, write, pay]
    collections: [docs, notes]
    limits: {max_steps: 6}
  - name: quick
    instructions: Be quick.
    limits: {max_steps: 2}
    tools: [lookup]
"""

Start = Callable[..., AbstractAsyncContextManager[Host[Config]]]


@pytest.fixture
async def peers(nats_url: str) -> AsyncIterator[Peers]:
    async with run_peers(nats_url) as peers:
        yield peers


@pytest.fixture
def lines() -> list[str]:
    """What orchestrators log."""
    return []


@pytest.fixture
def config(nats_url: str, tmp_path: Path) -> Config:
    file = tmp_path / "agents.yaml"
    file.write_text(AGENTS)
    return Config(
        nats_url=nats_url,
        data_dir=str(tmp_path),
        agents_file=str(file),
        agents_check_every_s=0.02,
        step_first_pause_s=0.01,
        step_pause_max_s=0.1,
        occupied_pause_s=0.1,
        revision_pause_s=0.1,
        policy_pause_s=0.1,
        drain_s=3.0,
    )


@pytest.fixture
def start(config: Config, lines: list[str]) -> Start:
    """`async with start(...)`: one orchestrator in this loop; several are replicas."""

    @asynccontextmanager
    async def started(**changed: object) -> AsyncIterator[Host[Config]]:
        own = msgspec.structs.replace(config, **changed)
        async with running(orchestrator, own, "orchestrator", log=Log(lines.append, level="debug")) as host:
            yield host

    return started
