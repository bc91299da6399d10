"""The small HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.contracts.errors import Failure
from penstock.kit.health import HealthServer, State


@asynccontextmanager
async def served(ready: State) -> AsyncIterator[int]:
    server = HealthServer(lambda: State(True, "router"), lambda: ready, lambda: b"penstock_ready 1\n")
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close()


async def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_live_and_ready_say_200_when_all_is_well() -> None:
    async with served(State(True, "router", checked_s_ago=0.4)) as port:
        assert (await exchange(port, get("/live")))[0] == 200
        status, headers, body = await exchange(port, get("/ready?verbose"))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "service": "router", "reasons": [], "checked_s_ago": 0.4}


async def test_not_ready_is_503_with_the_reasons() -> None:
    async with served(State(False, "router", ["audit: no answer within 2 s"])) as port:
        status, _, body = await exchange(port, get("/ready"))
    assert (status, json.loads(body)["reasons"]) == (503, ["audit: no answer within 2 s"])


async def test_metrics_are_text() -> None:
    async with served(State(True, "router")) as port:
        status, headers, body = await exchange(port, get("/metrics"))
    assert (status, headers["Content-Type"], body) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        b"penstock_ready 1\n",
    )


async def test_head_has_the_length_and_no_body() -> None:
    async with served(State(True, "router")) as port:
        status, headers, body = await exchange(port, get("/metrics", "HEAD"))
    assert (status, headers["Content-Length"], body) == (200, "17", b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/"), 404),
        (get("/live/../metrics"), 404),
        (get("/live", "POST"), 405),
        (get("/live", "DELETE"), 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /live FTP/1.0\r\n\r\n", 400),
        (b"\x00\xff\xfe\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_whatever_else_is_asked_is_refused(request_bytes: bytes, status: int) -> None:
    async with served(State(True, "router")) as port:
        assert (await exchange(port, request_bytes))[0] == status


async def test_clients_that_go_away_or_say_nothing_harm_nobody() -> None:
    async with served(State(True, "router")) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /live")
            writer.transport.abort()
        assert (await exchange(port, get("/live")))[0] == 200
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()


async def test_a_taken_port_is_said_in_words() -> None:
    async with served(State(True, "router")) as port:
        other = HealthServer(lambda: State(True, "x"), lambda: State(True, "x"), lambda: b"")
        with pytest.raises(Failure, match=f"health cannot listen on 127.0.0.1:{port}"):
            await other.start("127.0.0.1", port)
