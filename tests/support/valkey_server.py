"""A real Valkey for a test, in a folder of its own, to be stopped, killed, paused and started again."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.local.store import Store, StoreSettings


class ValkeyServer:
    """What a test may do to the store. The address and the data outlive every stop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def port(self) -> int:
        return self._store.port

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def restart(self) -> None:
        await self._store.restart()

    async def kill(self) -> None:
        """kill -9; `start` brings it back with what was in its append-only file."""
        await self._store.child.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._store.child.pause()

    def resume(self) -> None:
        self._store.child.resume()


@asynccontextmanager
async def valkey_server(password: str = "", port: int = 0) -> AsyncIterator[ValkeyServer]:
    """Every write is on the disk before it is answered, so that a kill loses nothing a test has seen."""
    with tempfile.TemporaryDirectory(prefix="penstock-valkey-") as name:
        folder = Path(name)
        password_file = folder / "password"
        password_file.write_text(password, encoding="utf-8")
        settings = StoreSettings(
            folder / "store",
            password_file=password_file if password else None,
            port=port,
            sync="always",
            grace_s=5,
        )
        store = Store(settings)
        await store.start()
        try:
            yield ValkeyServer(store)
        finally:
            await store.child.kill()
