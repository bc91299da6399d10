"""uvicorn's HTTP/1.1 with bounds on the head of a request, which it reads for as long and as large as it comes."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX_BYTES = 64 * 1024
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """One connection. Its first head, and any that has begun, has a timer; between two, uvicorn's own holds."""

    head_timeout_s = 30.0
    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._start()
        super().data_received(data)
        if self.transport.is_closing():
            self._stop()
        elif self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout_s, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start()  # the next request has begun while this one is answered
        else:
            self.transport.close()


def bounded_heads(timeout_s: float) -> type[HttpToolsProtocol]:
    """The protocol whose heads must be there within `timeout_s`, from a connection's beginning or their first byte."""

    class Bounded(BoundedHeads):
        head_timeout_s = timeout_s

    return Bounded
