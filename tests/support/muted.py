"""A line to a server whose answers can be withheld: what is asked arrives and takes effect, and nobody hears of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65536


class Muted:
    """`muted` drops what the server says. `heard` counts what was dropped."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.muted = False
        self.dropped = 0
        self._lines: set[asyncio.Task[None]] = set()

    async def line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        me = asyncio.current_task()
        assert me is not None
        self._lines.add(me)
        try:
            with suppress(OSError, asyncio.CancelledError):
                there, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
                try:
                    await self._both_ways(reader, writer, there, to_server)
                finally:
                    to_server.close()
        finally:
            writer.close()
            self._lines.discard(me)

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.create_task(self._pass(reader, to_server, answers=False)),
            asyncio.create_task(self._pass(there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(CHUNK_BYTES):
            if answers and self.muted:
                self.dropped += 1
                continue
            sink.write(data)
            await sink.drain()

    async def close(self) -> None:
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)


@asynccontextmanager
async def muted(port: int) -> AsyncIterator[Muted]:
    """The line to the server on `port` of this machine; connect to `muted.port`."""
    line = Muted(port)
    server = await asyncio.start_server(line.line, "127.0.0.1", 0)
    line.port = int(server.sockets[0].getsockname()[1])
    try:
        yield line
    finally:
        server.close()
        await line.close()
        await server.wait_closed()
