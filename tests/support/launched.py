"""The whole plane as its users run it: `penstock up` as a process, with its parts to be killed one by one."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from penstock.bus import Bus, BusConfig
from penstock.client import Penstock
from penstock.client.profile import FILE_NAME, Profile, read_profile
from penstock.contracts.audit import Record
from penstock.contracts.errors import Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_BALANCES, TOKEN
from penstock.contracts.jobs import TokenRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import AccountQuery, Balance
from penstock.contracts.services import ORCHESTRATOR, POLICY, SERVICES
from penstock.local.environment import seed_file
from penstock.local.layout import Layout
from penstock.local.readiness import answers_200
from penstock.local.state import State, read_state
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from tests.support.eventually import eventually
from tests.support.process import ModuleProcess, module_process

TENANT = "default"
BROKER, STORE = "broker", "store"
PARTS = (BROKER, STORE, *SERVICES)
START_S = 60.0
READY = r'"ready":\{'
BACK_S = 45.0

Json = dict[str, object]


class LaunchedPlane:
    """What a test may ask of it and do to it. `process` is the launcher, `folder` its data folder."""

    def __init__(self, process: ModuleProcess, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.layout = Layout(folder)

    @property
    def state(self) -> State:
        state = read_state(self.folder)
        assert state is not None
        return state

    @property
    def profile(self) -> Profile:
        return read_profile(self.folder / FILE_NAME)

    # Parts ------------------------------------------------------------------------------------------------------

    def pid(self, part: str) -> int:
        """The process of a part as it is now; AssertionError while there is none."""
        if part in SERVICES:
            found = self.state.pids.get(part, 0)
        else:
            found = _child(self.process.child.pid, {BROKER: "nats-server", STORE: "valkey-server"}[part])
        assert found, part
        return found

    def kill(self, part: str) -> int:
        """kill -9; the launcher starts it again. Returns the pid that was killed."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def back(self, part: str, killed: int) -> None:
        """Returns when another process of this part is ready, and everybody can work with it."""

        async def there() -> None:
            assert self.pid(part) != killed
            await self._all_ready()

        await eventually(there, BACK_S, every_s=0.1)

    async def whole(self) -> None:
        """Returns when every part is ready."""
        await eventually(self._all_ready, BACK_S, every_s=0.1)

    async def start_again(self) -> None:
        """After the launcher has ended: with the same arguments, in the same folder."""
        self.process.start()
        await self.process.says(READY)

    async def _all_ready(self) -> None:
        for part in (BROKER, STORE):
            self.pid(part)
        answers = await asyncio.gather(*(answers_200(f"{url}/ready") for url in self.state.health.values()))
        assert all(answers), dict(zip(self.state.health, answers, strict=True))

    # Clients ----------------------------------------------------------------------------------------------------

    def key(self, **fields: object) -> str:
        """A new API key of the plane's tenant, good within a second."""
        wanted = ApiKey(**{"id": "", "digest": "", "tenant": TENANT, "subject": "user:alice", **fields})  # type: ignore[arg-type]  # checked by create_key
        return create_key(self.layout.config / "keys.json", wanted, time.time())[1]

    async def known_key(self, **fields: object) -> str:
        """A new API key of the plane's tenant that the policy service has seen."""
        key = self.key(**fields)

        async def known() -> None:
            try:
                await self.token(key)
            except Failure as failure:
                raise AssertionError from failure

        await eventually(known, 10, every_s=0.1)
        return key

    @asynccontextmanager
    async def client(self, api_key: str = "") -> AsyncIterator[Penstock]:
        """The tenant's own client, over NATS."""
        profile = self.profile
        plane = await Penstock.connect(
            profile.url,
            tenant=profile.tenant,
            api_key=api_key or profile.key(),
            connect_timeout_s=20.0,
        )
        async with plane:
            yield plane

    @asynccontextmanager
    async def bus(self, principal: str) -> AsyncIterator[Bus]:
        """A connection as one of the services: this is our own plane."""
        seed = seed_file(self.layout, principal)
        config = BusConfig(url=self.state.url, principal=principal, seed_file=str(seed), connect_timeout_s=20.0)
        bus = await Bus.connect(config)
        try:
            yield bus
        finally:
            await bus.close()

    @asynccontextmanager
    async def tenant_bus(self) -> AsyncIterator[Bus]:
        """The tenant's own connection, without the client's good manners."""
        profile = self.profile
        config = BusConfig(
            url=profile.url,
            tenant=profile.tenant,
            token=profile.key(),
            connect_timeout_s=20.0,
            claim_check_bytes=1 << 40,
        )
        bus = await Bus.connect(config)
        try:
            yield bus
        finally:
            await bus.close()

    async def token(self, api_key: str = "") -> str:
        """A transaction token for the API key."""
        async with self.tenant_bus() as bus:
            request = TokenRequest(api_key or self.profile.key())
            return (await bus.call(TOKEN, request, Meta(), timeout_s=10, tenant=TENANT)).token

    # Evidence ---------------------------------------------------------------------------------------------------

    async def records(self) -> list[Record]:
        """Every audit record of the tenant, in the stream's order."""
        found: list[Record] = []
        after = 0
        async with self.bus(POLICY) as bus:
            while stored := await bus.read(AUDIT_BATCH, after=after, tenant=TENANT):
                found += [record for one in stored for record in one.body.records]
                after = stored[-1].sequence
        return found

    async def balances(self, token: str) -> dict[str, Balance]:
        """The accounts of the token's bearer, by name."""
        async with self.bus(ORCHESTRATOR) as bus:
            answer = await bus.call(POLICY_BALANCES, AccountQuery(), Meta(token=token), timeout_s=10)
        return {balance.account: balance for balance in answer.accounts}

    def resident_mib(self, part: str) -> float:
        """Resident memory of a part's process."""
        pages = int(Path(f"/proc/{self.pid(part)}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def log(self, part: str) -> str:
        """What a service has logged so far."""
        return (self.layout.logs / f"{part}.log").read_text(encoding="utf-8", errors="replace")


@asynccontextmanager
async def launched_plane(
    files: Mapping[str, Json], *, environment: Mapping[str, str] | None = None, options: tuple[str, ...] = ()
) -> AsyncIterator[LaunchedPlane]:
    """A plane in a folder of its own, ready. `files`: what stands in config/<name>.yaml.

    It must end with status 0 on SIGTERM, and leave no process behind.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-plane-") as name:
        folder = Path(name) / "data"
        (folder / "config").mkdir(parents=True)
        folder.chmod(0o700)
        for stem, content in files.items():
            (folder / "config" / f"{stem}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        arguments = ["up", "--json", "--no-model", "--free-ports", *options, "--data", str(folder)]
        async with module_process("penstock.cli", arguments, environment, start_timeout_s=START_S) as process:
            await process.says(READY)
            plane = LaunchedPlane(process, folder)
            yield plane
            pids = [plane.pid(part) for part in PARTS if _runs(plane, part)]
            assert await process.terminate(within_s=40.0) == 0
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _runs(plane: LaunchedPlane, part: str) -> bool:
    try:
        return plane.pid(part) > 0
    except AssertionError:
        return False


def _child(parent: int, name: str) -> int:
    """The child with this command name, 0 for none. The kernel keeps 15 characters of it."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == name[:15]:
                return int(child)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return 0
