"""One connection: what cancels a wait does not cost it, and a broker that stalls or refuses is left and found again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.bus import Bus, BusConfig
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import Grants
from penstock.bus.server_config import BusUser, render
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.echo import ECHO, Ask, Said, pair
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer, nats_server
from tests.support.wire import wire


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusConfig(url=nats_url))
    yield bus
    await bus.close()


async def test_a_round_trip_that_is_cancelled_leaves_the_reader_alive(bus: Bus) -> None:
    for _ in range(3):
        trip = asyncio.create_task(bus.connection.round_trip(2.0))
        await asyncio.sleep(0)
        trip.cancel()
        await asyncio.wait([trip])
    assert await bus.connection.round_trip(2.0) >= 0
    assert not bus.connection._client.reader_is_dead()


async def test_an_answer_that_comes_too_late_leaves_the_reader_alive(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        bus = await Bus.connect(BusConfig(url=f"nats://127.0.0.1:{link.port}"))
        link.pause_answers()
        with pytest.raises(Failure) as caught:
            await bus.connection.round_trip(0.05)
        link.resume()
        assert caught.value.code is Code.UNAVAILABLE
        assert await bus.connection.round_trip(2.0) >= 0
        assert not bus.connection._client.reader_is_dead()
        await bus.close()


async def test_a_broker_that_stalled_with_unsent_data_is_left_for_another(broker: NatsServer) -> None:
    async with wire(broker.port) as link, nats_server() as other:
        bus = await Bus.connect(
            BusConfig(url=f"nats://127.0.0.1:{link.port}", watchdog_interval_s=0.2, watchdog_timeout_s=0.2)
        )
        bus.connection._client.set_server_pool([f"nats://127.0.0.1:{link.port}", other.url])
        link.pause()
        for _ in range(20):
            bus.connection.publish("nobody", b"x" * 1_000_000)

        async def moved() -> None:
            assert bus.connection.reconnects == 1
            assert bus.connected

        await eventually(moved, within_s=10)
        await bus.close()


async def test_closing_does_not_wait_for_a_broker_that_reads_nothing(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        bus = await Bus.connect(BusConfig(url=f"nats://127.0.0.1:{link.port}"))
        link.pause()
        for _ in range(20):
            bus.connection.publish("nobody", b"x" * 1_000_000)
        await asyncio.wait_for(bus.close(), 6)


async def test_data_that_a_stalled_broker_does_not_read_is_bounded(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        url = f"nats://127.0.0.1:{link.port}"
        bus = await Bus.connect(BusConfig(url=url, write_buffer_max_bytes=8_000_000))
        link.pause()
        sent = 0
        with pytest.raises(Failure) as caught:
            for _ in range(2000):
                bus.connection.publish("nobody", b"x" * 20_000)
                sent += 20_000
                await asyncio.sleep(0)  # each in a turn of its own
        assert caught.value.code is Code.OVERLOADED
        # what the sockets and the proxy hold comes on top
        assert sent < 20_000_000
        link.resume()

        async def flows() -> None:
            try:
                bus.connection.publish("nobody", b"x" * 20_000)
            except Failure as failure:
                raise AssertionError from failure

        await eventually(flows)
        await bus.close()


async def test_what_waits_for_an_answer_ends_when_the_bus_is_closed(nats_url: str) -> None:
    async with pair(nats_url) as both:
        began = asyncio.Event()

        async def hangs(ask: Ask, meta: Meta) -> Said:
            began.set()
            await asyncio.sleep(60)
            return Said("")

        await both.answerer.serve_call(ECHO, hangs, in_flight_max=1)
        call = asyncio.create_task(both.asker.call(ECHO, Ask("x"), Meta(), timeout_s=60))
        request = asyncio.create_task(both.asker.connection.request("test.echo", b"{", timeout_s=60))
        await asyncio.wait_for(began.wait(), 2)
        await asyncio.wait([request], timeout=2)
        silent = asyncio.create_task(
            both.asker.connection.request(both.asker.connection.inbox_prefix + "x", b"", timeout_s=60)
        )
        await asyncio.sleep(0)
        await both.asker.close()
        for task in (call, silent):
            with pytest.raises(Failure):
                await asyncio.wait_for(task, 2)


async def test_a_key_that_is_taken_away_and_given_back_is_used_again(tmp_path: Path) -> None:
    grants = Grants({"x", "_INBOX.router.>"}, {"x", "_INBOX.router.>"})
    both = [BusUser(name, load_or_make(tmp_path / name), grants) for name in ("router", "other")]
    async with nats_server(render(both)) as broker:
        bus = await Bus.connect(
            BusConfig(url=broker.url, principal="router", seed_file=str(tmp_path / "router"), watchdog_interval_s=0.2)
        )
        broker.reconfigure(render(both[1:]))

        async def gone() -> None:
            assert not bus.connected

        await eventually(gone)
        broker.reconfigure(render(both))

        async def back() -> None:
            assert bus.connected

        await eventually(back, within_s=10)
        assert (await bus.connection.round_trip(2.0)) >= 0
        await bus.close()


async def test_a_line_that_the_broker_does_not_take_costs_a_reconnect_and_not_the_connection(bus: Bus) -> None:
    bus.connection.publish("x" * 5000, b"")

    async def back() -> None:
        assert bus.connection.reconnects == 1
        assert bus.connected

    await eventually(back)
    assert await bus.connection.round_trip(2.0) >= 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://name:pass-w0rd@127.0.0.1:1", "nats://127.0.0.1:1"),
        ("nats://t0ken-of-ours@127.0.0.1:1,nats://127.0.0.1:2", "nats://127.0.0.1:1,nats://127.0.0.1:2"),
    ],
)
async def test_what_is_secret_in_an_address_does_not_stand_in_the_failure(url: str, shown: str) -> None:
    with pytest.raises(Failure) as caught:
        await Bus.connect(BusConfig(url=url, connect_timeout_s=0.3))
    assert shown in caught.value.detail
    assert "pass-w0rd" not in caught.value.detail
    assert "t0ken" not in caught.value.detail


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), (b"", "holds no nkey seed"), (b"not a seed", "holds no nkey seed")]
)
async def test_a_seed_file_that_is_none_is_refused_by_its_name(
    nats_url: str, tmp_path: Path, content: bytes | None, why: str
) -> None:
    seed = tmp_path / "router.seed"
    if content is not None:
        seed.write_bytes(content)
    with pytest.raises(Failure, match=f"router.seed {why}") as refused:
        await Bus.connect(BusConfig(url=nats_url, principal="router", seed_file=str(seed)))
    assert refused.value.code is Code.INVALID
