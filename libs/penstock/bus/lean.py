"""nats-py's client with its hot path replaced: a parser that dispatches at once, and one write per turn of the loop.

Connecting, reconnecting, authentication and TLS stay nats-py's. The replaced parts use private names of nats-py 2.16;
`supported()` says whether they are there, and without them (or with lean=False) nats-py's own reader is kept, behind
the same methods and the same tests.
"""

import asyncio
from collections.abc import Callable
from importlib.metadata import version

from nats.aio.client import Client, Srv
from nats.errors import Error as NatsError
from nats.protocol.parser import PERMISSIONS_ERR, Parser

from penstock.bus.message import Message

Deliver = Callable[[Message], None]

_END = b"\r\n"


def supported() -> bool:
    """Whether the nats-py that is installed is one whose internals we know."""
    return version("nats-py").startswith("2.16.")


class LeanParser(Parser):
    """Finds message frames with `find` and `split`; rare control lines go to nats-py's parser."""

    def __init__(self, client: "LeanClient") -> None:
        self._client = client
        self._parts: list[bytes] = []
        self._held = 0
        self._need = 0
        super().__init__(client)

    def reset(self) -> None:
        """Forgets a half-received frame: the connection is new."""
        super().reset()
        self._parts = []
        self._held = self._need = 0

    async def parse(self, data: bytes = b"") -> None:
        """Dispatches every whole frame in what has come so far and keeps the rest."""
        if self._client.is_reconnecting:
            return  # the rest of a frame whose beginning is forgotten: it would be taken for the protocol
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._need:
                return
            data = b"".join(self._parts)
            self._parts = []
            self._held = self._need = 0
        position = self._messages(data)
        while 0 <= position < len(data):
            line_end = data.find(_END, position)
            if line_end < 0 or data[position : position + 1] in (b"M", b"H"):
                break
            await super().parse(data[position : line_end + 2])
            position = self._messages(data, line_end + 2)
        if position < len(data):
            self._parts = [data[position:]]
            self._held = len(self._parts[0])

    def _messages(self, data: bytes, position: int = 0) -> int:
        """Dispatches the message frames that stand at `position`; the place of the first byte that is none."""
        size = len(data)
        deliver = self._client.deliver
        while position < size:
            kind = data[position]
            if kind != 77 and kind != 72:  # M(SG), H(MSG)
                return position
            line_end = data.find(_END, position)
            if line_end < 0:
                return position
            words = data[position:line_end].split()
            length = int(words[-1])
            start = line_end + 2
            end = start + length
            if end + 2 > size:
                self._need = end + 2 - position
                return position
            if kind == 77:
                deliver(int(words[2]), words[1], words[3] if len(words) == 5 else b"", data[start:end], b"")
            else:
                body = start + int(words[-2])
                deliver(
                    int(words[2]),
                    words[1],
                    words[3] if len(words) == 6 else b"",
                    data[body:end],
                    data[start:body],
                )
            position = end + 2
        return position


class LeanClient(Client):
    """A nats-py client whose `direct` subscriptions are delivered synchronously, without a task or a queue each."""

    def __init__(self, lean: bool) -> None:
        super().__init__()
        self.direct: dict[int, Deliver] = {}
        self.lean = lean
        self.backlog = 0
        self.refused_after_s = 0.0
        self._write_due = False
        if lean:
            self._ps = LeanParser(self)

    async def _connect_to_server(self, server: Srv) -> None:
        # nats-py leaves the socket of a try that failed after it was connected to the garbage collector
        self.abort()
        self.backlog = 0
        await super()._connect_to_server(server)

    async def _process_connect_init(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await super()._process_connect_init()
        except NatsError:
            self.refused_after_s = asyncio.get_running_loop().time() - began
            raise
        # nats-py takes whatever the server says first for a yes, if it is no error: a ping while it still asks
        # somebody else about us
        if not self.is_connected:
            raise NatsError("nats: the server has not let us in")

    async def _attempt_reconnect(self) -> None:
        # nats-py waits until all is sent, which a broker that does not read never lets happen
        self.abort()
        await super()._attempt_reconnect()

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
            return
        # nats-py closes for ever: a key that is changed, or one line too long, would end the service
        error = NatsError(f"nats: {err_msg.strip(chr(39))}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_pong(self) -> None:
        # whoever sent the ping may have gone, which nats-py takes for an error and reads no more
        if self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(True)
            self._pongs_received += 1
            self._pings_outstanding = 0

    def deliver(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Hands one message to its subscription, if we still have it."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        callback = self.direct.get(sid)
        if callback is not None:
            callback(Message(subject.decode("utf-8", "replace"), reply.decode("utf-8", "replace"), data, headers))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # nats-py's own parser ends here; every subscription of ours is direct
        self.deliver(sid, bytes(subject), bytes(reply), bytes(data), bytes(headers or b""))

    def enqueue(self, frame: bytes) -> None:
        """Adds one protocol frame to what goes out in this turn of the loop."""
        self._pending.append(frame)
        self._pending_data_size += len(frame)
        self.stats["out_msgs"] += 1
        if not self._write_due:
            self._write_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._write_due = False
        self.write_now()

    def write_now(self) -> None:
        """Sends what was enqueued in this turn of the loop without waiting for its end."""
        writer = self._writer()
        if self._pending and self.is_connected and writer is not None:
            frames, self._pending = self._pending, []
            self._pending_data_size = 0
            writer.write(b"".join(frames))
            self.backlog = writer.transport.get_write_buffer_size()

    def unsent_bytes(self) -> int:
        """What waits for the broker to read it; `backlog` is what did after our last write."""
        writer = self._writer()
        return self._pending_data_size + (0 if writer is None else writer.transport.get_write_buffer_size())

    def is_closing(self) -> bool:
        """Whether the socket is gone, which the read loop may not have noticed yet: a write would raise."""
        return self._writer() is None

    def abort(self) -> None:
        """Ends the socket without waiting for what was written to it."""
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _writer(self) -> asyncio.StreamWriter | None:
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        return None if writer is None or writer.transport.is_closing() else writer

    def reader_is_dead(self) -> bool:
        """The read loop of nats-py ends at any unexpected exception while the connection still looks whole."""
        return self.is_connected and self._reading_task is not None and self._reading_task.done()
