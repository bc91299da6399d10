"""The demonstration's own plane: `penstock up` as a process, its files, and a client of it."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penstock.client import Penstock, Profile, connect
from penstock.client.profile import FILE_NAME, read_profile
from penstock.contracts.services import SERVICES
from penstock.demo.claims import Claims
from penstock.demo.files import write_files
from penstock.demo.shop import Shop
from penstock.local.child import Child, Command
from penstock.local.layout import Layout
from penstock.local.model_server import CHAT_MODEL, EMBEDDING_MODEL
from penstock.local.plane import FIRST_PORTS
from penstock.local.ports import HOST, choose_ports
from penstock.local.state import State, read_state
from services.router.models.made_up import LocalModels

READY_S = 120.0


class _Line(msgspec.Struct):
    ready: State | None = None


@dataclass(frozen=True)
class Stage:
    """What the scenes work with. `hosted`: the provider's model that thinks for the agents, "" for the script."""

    claims: Claims
    layout: Layout
    shop: Shop
    plane: Penstock
    hosted: str

    @property
    def state(self) -> State:
        """As it is now: a process that was started again has another pid. Raises RuntimeError when it has ended."""
        state = read_state(self.layout.root)
        if state is None:
            raise RuntimeError("the plane has ended")
        return state


@asynccontextmanager
async def staged(root: Path, claims: Claims, environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """A fresh folder, a shop, a plane that is ready, a client. All is stopped afterwards."""
    layout = Layout(root)
    with layout.held():
        clear(layout)
    shop = Shop(layout.folder("shop"))
    shop.open()
    try:
        local = _local_models(layout)
        hosted = write_files(layout.config, shop.port, shop.database, local, environment)
        async with _running(layout, environment, claims) as profile, await connect(profile) as plane:
            yield Stage(claims, layout, shop, plane, hosted)
    finally:
        shop.close()


def clear(layout: Layout) -> None:
    """What an earlier demonstration left."""
    for path in layout.root.iterdir():
        if path.name == "lock":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _local_models(layout: Layout) -> LocalModels:
    """The plane takes the ports that stand in its folder, so that the models file can name them beforehand."""
    wanted = dict.fromkeys((*FIRST_PORTS, *(f"health.{service}" for service in SERVICES)), 0)
    ports = choose_ports(layout.root / "ports.json", wanted, {})
    return LocalModels(
        f"http://{HOST}:{ports['chat']}/v1", CHAT_MODEL, f"http://{HOST}:{ports['embeddings']}/v1", EMBEDDING_MODEL
    )


@asynccontextmanager
async def _running(layout: Layout, environment: Mapping[str, str], claims: Claims) -> AsyncIterator[Profile]:
    argv = (sys.executable, "-m", "penstock.cli", "up", "--json", "--free-ports", "--data", str(layout.root))
    child = Child(Command("plane", argv, layout.logs / "plane.log", env=environment))
    child.start()
    found: list[State] = []

    async def ready() -> bool:
        found.extend(_ready_states(child.output()))
        return bool(found)

    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        with claims.screen.working("a broker, a store, seven services and a small model are starting"):
            await child.until_ready(ready, READY_S)
        claims.tell(f"The plane is up after {clock() - began:.1f} s: a broker, a store, {len(SERVICES)} services.")
        yield read_profile(layout.root / FILE_NAME)
    finally:
        await child.stop(grace_s=30.0)


def _ready_states(output: str) -> list[State]:
    found = []
    for line in output.splitlines():
        if '"ready":{' in line:
            state = msgspec.json.decode(line, type=_Line).ready
            if state is not None:
                found.append(state)
    return found
