"""The embedded store, with its own client."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from penstock.local.child import StartFailed
from penstock.local.store import Store, StoreSettings
from tests.support.valkey_server import ValkeyServer, valkey_server


async def test_a_restart_keeps_the_port_and_the_data(valkey: ValkeyServer) -> None:
    port = valkey.port
    await _set(valkey.url, "k", "kept")
    await valkey.restart()
    assert valkey.port == port
    assert await _get(valkey.url, "k") == b"kept"


async def test_an_answered_write_survives_kill_9(valkey: ValkeyServer) -> None:
    await _set(valkey.url, "k", "kept")
    await valkey.kill()
    await valkey.start()
    assert await _get(valkey.url, "k") == b"kept"


async def test_without_the_password_nothing_is_answered() -> None:
    async with valkey_server(password="opensesame") as server:
        await _set(server.url, "k", "v")
        with pytest.raises(AuthenticationError):
            await _get(f"redis://127.0.0.1:{server.port}", "k")


async def test_the_configuration_with_the_password_is_for_the_owner_alone(tmp_path: Path) -> None:
    store = await _started(tmp_path, "opensesame")
    config = tmp_path / "store" / "store.conf"
    assert 'requirepass "opensesame"' in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    await store.stop()


async def test_the_password_is_not_on_the_command_line(tmp_path: Path) -> None:
    store = await _started(tmp_path, "opensesame")
    assert b"opensesame" not in Path(f"/proc/{store.child.pid}/cmdline").read_bytes()
    await store.stop()


@pytest.mark.parametrize("password", ["", 'a"b', "a\\b", "a\nb"])
async def test_a_password_that_cannot_be_written_down_is_refused(tmp_path: Path, password: str) -> None:
    with pytest.raises(StartFailed, match="the password in"):
        await _started(tmp_path, password)


async def test_a_taken_port_that_was_asked_for_is_a_failure(tmp_path: Path, valkey: ValkeyServer) -> None:
    store = Store(StoreSettings(tmp_path / "store", port=valkey.port))
    with pytest.raises(StartFailed, match="Address already in use"):
        await store.start()


async def _started(folder: Path, password: str) -> Store:
    file = folder / "password"
    file.write_text(password)
    store = Store(StoreSettings(folder / "store", password_file=file))
    await store.start()
    return store


async def _set(url: str, key: str, value: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.set(key, value)


async def _get(url: str, key: str) -> object:
    async with Redis.from_url(url) as redis:
        return await redis.get(key)
