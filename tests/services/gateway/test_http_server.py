"""The sockets of the edge: heads that never end, and connections that say nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from penstock.kit.log import Log
from services.gateway.config import Config
from services.gateway.http_server import HttpServer
from tests.support.eventually import eventually

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.6 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(head_timeout_s: float = 0.3) -> AsyncIterator[int]:
    lines: list[str] = []
    server = HttpServer(app, Config(http_port=0, head_timeout_s=head_timeout_s, drain_s=1.0), Log(lines.append))
    stopping = asyncio.Event()
    serving = asyncio.create_task(server.serve(stopping))

    async def listening() -> None:
        assert server.port

    await eventually(listening)
    try:
        yield server.port
    finally:
        stopping.set()
        await serving


async def answers(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes."""
    return await asyncio.wait_for(reader.read(), 5)


async def test_a_request_is_answered_and_the_connection_kept() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 2)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET", HEAD, HEAD + b"x-a: b"])
async def test_a_head_that_does_not_come_to_its_end_is_given_up(said: bytes) -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await answers(reader) == b""
        writer.close()


async def test_a_head_that_drips_is_given_up_on_a_kept_connection_too() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b"ok"), 2)

        async def dripping() -> None:
            writer.write(HEAD)
            while True:
                writer.write(b"x-a: b\r\n")
                await asyncio.sleep(0.05)

        drips = asyncio.create_task(dripping())
        assert await answers(reader) == b""
        drips.cancel()
        writer.close()


async def test_a_head_without_end_is_431() -> None:
    async with served(head_timeout_s=30.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        for _ in range(100):
            writer.write(b"x-a: " + b"b" * 1000 + b"\r\n")
        assert (await answers(reader)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_slow_answer_is_not_taken_for_a_slow_head() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.replace(b"/ ", b"/slow ") + b"\r\n" + b"GET")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 3)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
