"""A provider that answers every request with a stream of words at a steady pace: python -m tests.support.paced

Each word is the time at which it was sent, in nanoseconds of the machine's monotonic clock, so that whoever reads it
knows how long it was on its way.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_START = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"paced","choices":'
    b'[{"index":0,"delta":{"content":"'
)
_END = b'"},"logprobs":null,"finish_reason":null}]}\n\n'
LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"paced","choices":'
    b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"paced","choices":'
    b'[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
    b"data: [DONE]\n\n"
)


@dataclass(frozen=True)
class Pace:
    """`words` of each answer, `per_s` of them in a second."""

    words: int
    per_s: float


def word() -> bytes:
    """One event."""
    return b"%b%d%b" % (_START, time.monotonic_ns(), _END)


def sent_ns(frame: bytes) -> list[int]:
    """When each word in these events was sent."""
    return [int(part.partition(b'"')[0]) for part in frame.split(b'"content":"')[1:]]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Connection(asyncio.Protocol):
    """One request after the other; what they ask does not matter."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._buffer = b""
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._left = self._pace.words
        self._due = self._loop.time()
        self.transport.write(HEAD)
        self._tick()

    def _tick(self) -> None:
        if not self._left:
            self.transport.write(_chunk(LAST) + b"0\r\n\r\n")
            return
        self._left -= 1
        self.transport.write(_chunk(word()))
        self._due += 1 / self._pace.per_s
        self._timer = self._loop.call_at(self._due, self._tick)


@asynccontextmanager
async def paced_server(pace: Pace) -> AsyncIterator[str]:
    """Its base URL, as a deployment has it. In this loop."""
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(pace), "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await server.wait_closed()


async def _serve(pace: Pace) -> None:
    async with paced_server(pace) as url:
        sys.stdout.write(f"ready {url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.support.paced")
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--per-s", type=float, default=20.0)
    given = parser.parse_args()
    uvloop.run(_serve(Pace(given.words, given.per_s)))
