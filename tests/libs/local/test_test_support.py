"""The tests' own instruments, for a test that trusts a broken one proves nothing."""

import asyncio
import socket

import nats
import pytest

from penstock.local.child import StartFailed
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.process import module_process
from tests.support.wire import wire


async def test_eventually_gives_the_value_of_the_first_check_that_holds() -> None:
    tries = 0

    async def third_time() -> int:
        nonlocal tries
        tries += 1
        assert tries == 3
        return tries

    assert await eventually(third_time, every_s=0.001) == 3


async def test_eventually_gives_up_with_the_last_failure() -> None:
    async def never() -> None:
        raise AssertionError("still not")

    with pytest.raises(AssertionError, match="still not"):
        await eventually(never, within_s=0.02)


async def test_a_module_runs_until_it_says_and_answers_what_is_wanted() -> None:
    async with module_process("http.server", ["--bind", "127.0.0.1", "0"]) as server:
        port = (await server.says(r"port (\d+)")).group(1)
        await server.answers(f"http://127.0.0.1:{port}/pyproject.toml")
        assert await server.terminate() == -15


async def test_a_module_that_ends_early_is_a_failure_with_its_output() -> None:
    async with module_process("no.such.module") as process:
        with pytest.raises(StartFailed, match="No module named"):
            await process.says("ready")


async def test_a_wire_passes_both_ways_and_a_cut_is_an_orderly_end(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        assert (await reader.readline()).startswith(b"INFO ")
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert await reader.readline() == b"PONG\r\n"
        link.cut()
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        assert await reader.read() == b""
        writer.close()


async def test_a_reset_is_seen_as_a_reset(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        await reader.readline()
        link.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_paused_wire_keeps_the_connection_and_delivers_after_it_is_resumed(
    broker: NatsServer,
) -> None:
    async with wire(broker.port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        await reader.readline()
        link.pause()
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.1)
        assert link.connections == 1
        link.resume()
        assert await reader.readline() == b"PONG\r\n"
        writer.close()


async def test_a_delayed_wire_adds_its_delay_each_way(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        connection = await nats.connect(f"nats://127.0.0.1:{link.port}")
        link.delay(0.05)
        assert await connection.rtt() >= 0.1
        await connection.close()


async def test_a_paused_broker_answers_nothing_until_it_is_resumed(broker: NatsServer) -> None:
    broker.pause()

    async def silent() -> None:
        # a signal takes its time: a connection that was taken in before it arrived is greeted
        with socket.create_connection(("127.0.0.1", broker.port), timeout=0.1) as link, pytest.raises(TimeoutError):
            assert link.recv(1) == b""

    await eventually(silent)
    broker.resume()
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as link:
        assert link.recv(4) == b"INFO"
