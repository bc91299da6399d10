"""A TCP proxy that a test puts between two parties, to delay, cut, pause or reset what passes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


class Wire:
    """Every method takes effect at once, for connections that are open and for new ones."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._refusing = False
        self._delay_s = 0.0
        self.port = 0
        self.bytes_passed = 0

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def delay(self, seconds: float) -> None:
        """Each chunk, in each direction, waits so long before it is passed on. 0 ends it."""
        self._delay_s = seconds

    def pause(self) -> None:
        """Nothing passes and nothing is closed: a partition, as both ends see it."""
        self._flows.clear()

    def pause_answers(self) -> None:
        """What clients say passes; what the target answers does not."""
        self._answers.clear()

    def resume(self) -> None:
        self._flows.set()
        self._answers.set()

    def cut(self) -> None:
        """Closes every connection as an orderly end, and refuses new ones until `mend`."""
        self._refusing = True
        self._end_all(reset=False)

    def reset(self) -> None:
        """Ends every connection with RST; new ones are taken."""
        self._end_all(reset=True)

    def mend(self) -> None:
        self._refusing = False

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._end_all(reset=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # close() ends us, and the stream server would report it as an error
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _end(writer, reset=True)
            return
        self._pairs[writer] = far_writer
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pass(reader, far_writer, self._flows))
                directions.create_task(self._pass(far_reader, writer, self._answers))
        finally:
            self._pairs.pop(writer, None)
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_gate: asyncio.Event) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flows.wait()
                await open_gate.wait()
                writer.write(chunk)
                await writer.drain()
                self.bytes_passed += len(chunk)
        if not writer.is_closing():
            with suppress(OSError):
                writer.write_eof()

    def _end_all(self, reset: bool) -> None:
        for near, far in list(self._pairs.items()):
            _end(near, reset)
            _end(far, reset)


def _end(writer: asyncio.StreamWriter, reset: bool) -> None:
    if not reset:
        writer.close()
        return
    with suppress(OSError):
        link = writer.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@asynccontextmanager
async def wire(target_port: int, target_host: str = "127.0.0.1") -> AsyncIterator[Wire]:
    """Clients connect to 127.0.0.1 at `.port`; what they say goes to the target."""
    link = Wire(target_host, target_port)
    await link.open()
    try:
        yield link
    finally:
        await link.close()
