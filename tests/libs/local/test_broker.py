"""The embedded broker, with its own client: only its promises, none of the bus's."""

from pathlib import Path

import nats
import pytest

from penstock.local.broker import Broker, BrokerSettings
from penstock.local.child import StartFailed
from tests.support.nats_server import NatsServer, nats_server


async def test_a_broker_on_port_0_says_where_it_listens(broker: NatsServer) -> None:
    connection = await nats.connect(broker.url)
    assert broker.port > 0
    assert connection.connected_url is not None
    assert connection.connected_url.port == broker.port
    await connection.close()


async def test_a_restart_keeps_the_port_and_what_was_stored(broker: NatsServer) -> None:
    port = broker.port
    await _store(broker.url, b"kept")
    await broker.restart()
    assert broker.port == port
    assert await _stored(broker.url) == [b"kept"]


async def test_an_acknowledged_message_survives_kill_9(broker: NatsServer) -> None:
    await _store(broker.url, b"kept")
    await broker.kill()
    await broker.start()
    assert await _stored(broker.url) == [b"kept"]


async def test_two_brokers_share_nothing() -> None:
    async with nats_server() as one, nats_server() as other:
        await _store(one.url, b"mine")
        connection = await nats.connect(other.url)
        assert await connection.jetstream().streams_info() == []
        await connection.close()


async def test_a_broken_configuration_is_named_in_the_failure(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    config.write_text("no_such_option: 1\n")
    broker = Broker(BrokerSettings(config, tmp_path / "run", store=tmp_path / "store"))
    with pytest.raises(StartFailed, match="no_such_option"):
        await broker.start()
    assert not broker.child.running


async def test_the_log_is_for_the_owner_alone(broker: NatsServer) -> None:
    assert (broker.folder / "broker.log").stat().st_mode & 0o777 == 0o600


async def _store(url: str, body: bytes) -> None:
    connection = await nats.connect(url)
    await connection.jetstream().add_stream(name="S", subjects=["s"])
    await connection.jetstream().publish("s", body)
    await connection.close()


async def _stored(url: str) -> list[bytes | None]:
    connection = await nats.connect(url)
    message = await connection.jetstream().get_last_msg("S", "s")
    await connection.close()
    return [message.data]
