"""Whether a local server is ready: plain sockets, so that asking needs nothing that may not be installed."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


async def answers_200(url: str, timeout_s: float = 1.0) -> bool:
    """A GET of an http URL on this machine is answered with 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    status = await first_line(host, port, timeout_s, request.encode())
    return status.split(b" ")[1:2] == [b"200"]


async def first_line(host: str, port: int, timeout_s: float, request: bytes = b"") -> bytes:
    """The first line of the answer, or of the greeting when `request` is empty; nothing on any failure."""
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    return b""
