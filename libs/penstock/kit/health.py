"""/live, /ready and /metrics on one small HTTP/1.1 server: GET and HEAD, one request per connection, all bounded."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.metrics import CONTENT_TYPE

REQUEST_MAX_BYTES = 8 * 1024
REQUEST_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 64
JSON = "application/json"
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class State(msgspec.Struct, frozen=True):
    """`ok`, and if not why, in sentences. `checked_s_ago`: how old this knowledge is, seconds (-1: never checked).
    `notes`: what else is worth knowing."""

    ok: bool
    service: str
    reasons: list[str] = []
    checked_s_ago: float = 0.0
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    kind: str = JSON
    head: bool = False

    def encoded(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status == 405:
            lines.append("Allow: GET, HEAD")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if self.head else self.body)


class HealthServer:
    """`live` and `ready` are asked at every request; `metrics` is rendered in a thread."""

    def __init__(self, live: Callable[[], State], ready: Callable[[], State], metrics: Callable[[], bytes]) -> None:
        self._live = live
        self._ready = ready
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises Failure(UNAVAILABLE) when the address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=REQUEST_MAX_BYTES)
        except OSError as error:
            raise Failure(Code.UNAVAILABLE, f"health cannot listen on {host}:{port}: {error.strerror}") from None
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stops listening; a request under way is given up."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._connections < CONNECTIONS_MAX:
                self._connections += 1
                try:
                    async with asyncio.timeout(REQUEST_TIMEOUT_S):
                        writer.write((await self._answer(reader)).encoded())
                        await writer.drain()
                finally:
                    self._connections -= 1
        except (TimeoutError, OSError):
            pass  # who asked is gone or too slow: there is nobody to tell
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> _Answer:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _Answer(431, b"{}")
        except asyncio.IncompleteReadError:
            return _Answer(400, b"{}")
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _Answer(400, b"{}")
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _Answer(405, b"{}")
        answer = await self._page(target.partition("?")[0])
        return msgspec.structs.replace(answer, head=method == "HEAD")

    async def _page(self, path: str) -> _Answer:
        if path == "/live":
            return _state(self._live())
        if path == "/ready":
            return _state(self._ready())
        if path == "/metrics":
            return _Answer(200, await asyncio.to_thread(self._metrics), CONTENT_TYPE)
        return _Answer(404, b"{}")


def _state(state: State) -> _Answer:
    return _Answer(200 if state.ok else 503, msgspec.json.encode(state) + b"\n")
