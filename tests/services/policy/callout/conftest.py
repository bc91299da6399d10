"""A policy service on a broker that asks it about tenants' clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from penstock.bus.permissions import SETUP
from penstock.kit.config import Secret
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from services.policy.config import Config
from services.policy.identity.key_file import create_key, revoke_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build
from tests.support.guarded import Guarded, guarded_broker
from tests.support.process import ModuleProcess, module_process
from tests.support.valkey_server import ValkeyServer


@dataclass
class House:
    """The broker, and what it takes to run policy beside it. `lines` is what policy logged."""

    guarded: Guarded
    valkey: ValkeyServer
    folder: Path
    lines: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def policy(self, **changed: object) -> AsyncIterator[Host[Config]]:
        """One policy service; several make replicas."""
        config = Config(
            nats_url=self.guarded.broker.url,
            nats_seed_file=str(self.guarded.seeds / "policy"),
            store_url=Secret(self.valkey.url),
            data_dir=str(self.folder),
            reload_every_s=0.02,
            callout_dir=str(self.guarded.callout_dir),
            callout_sweep_every_s=0.1,
            drain_s=2.0,
        )
        config = msgspec.structs.replace(config, **changed)
        async with running(build, config, "policy", log=Log(self.lines.append, level="debug")) as host:
            yield host

    @asynccontextmanager
    async def process(self) -> AsyncIterator[ModuleProcess]:
        """Another replica, which can be killed."""
        environment = {
            "PENSTOCK_NATS_URL": self.guarded.broker.url,
            "PENSTOCK_NATS_SEED_FILE": str(self.guarded.seeds / "policy"),
            "PENSTOCK_STORE_URL": self.valkey.url,
            "PENSTOCK_DATA_DIR": str(self.folder),
            "PENSTOCK_CALLOUT_DIR": str(self.guarded.callout_dir),
        }
        async with module_process("services.policy", environment=environment) as process:
            yield process

    async def start(self) -> None:
        """Returns only when policy was ready."""
        async with self.policy():
            pass

    def key(self, **wanted: object) -> tuple[str, str]:
        """A new API key of acme: its id and itself."""
        key = msgspec.structs.replace(ApiKey("", "", "acme", "user:alice"), **wanted)
        kept, text = create_key(self.folder / "keys.json", key, now=1.0)
        return kept.id, text

    def revoke(self, key_id: str) -> None:
        revoke_key(self.folder / "keys.json", key_id, now=2.0)


@pytest.fixture
async def house(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[House]:
    async with guarded_broker(tmp_path / "seeds") as guarded:
        async with guarded.bus(guarded.service(SETUP)) as setup:
            await setup.prepare()
        (tmp_path / "policy").mkdir(mode=0o700)
        yield House(guarded, valkey, tmp_path / "policy")
