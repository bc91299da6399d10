"""Streams out: bytes as they come, something harmless while there is silence, and an end when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from types import MappingProxyType

from starlette.types import Message, Receive, Send

from penstock.contracts.errors import Code, Failure
from services.gateway import problems, served
from services.gateway.dialects.dialect import Dialect, Form
from services.gateway.leaving import WhileConnected

NONE: Mapping[str, str] = MappingProxyType({})


async def answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """A whole JSON answer."""
    await _head(send, status, {"content-type": "application/json", "content-length": str(len(body)), **headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(
    send: Send, failure: Failure, dialect: Dialect, request: str, challenge: Mapping[str, str] = NONE
) -> None:
    """A failure as a whole answer to the request with this id; `challenge`: what the client is told to bring."""
    headers = {**problems.headers(failure), **challenge, "x-request-id": request, **dialect.headers(request)}
    await answer(send, dialect.status(failure), dialect.document(failure, request), headers)


async def _head(send: Send, status: int, headers: Mapping[str, str]) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})


class Relay:
    """One stream to one client.

    A failure before the first frame is a plain error answer with its status. Later the stream ends with an error event,
    so that a client can always tell a whole answer from a broken one.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        dialect: Dialect,
        form: Form,
        request: str,
        *,
        keep_alive_s: float,
        send_timeout_s: float,
    ) -> None:
        self._send = send
        self._dialect = dialect
        self._form = form
        self._request = request
        self._headers = {"x-request-id": request, **dialect.headers(request)}
        self._keep_alive_s = keep_alive_s
        self._send_timeout_s = send_timeout_s
        self._connected = WhileConnected(receive)
        self._sending = asyncio.Lock()
        self._started = False
        self._ended = False
        self._silent = True
        self._tail = b""
        self._late = b""

    def say(self, headers: Mapping[str, str]) -> None:
        """More for the answer's head; when that is gone, a comment before the next frame, where comments may be."""
        if not self._started:
            self._headers.update(headers)
        elif self._form.comments:
            self._late += served.comment(headers)

    async def run(self, frames: AsyncGenerator[bytes, None]) -> Failure | None:
        """Sends `frames` until they end or the client leaves, and closes them; what made them fail, or None.

        A client that leaves what is sent unread for `send_timeout_s` counts as one that left.
        """
        beating = asyncio.create_task(self._beat())
        try:
            async with self._connected, aclosing(frames):
                async for frame in frames:
                    await self._put(self._form.frame(frame))
                await self._end(self._late + self._form.end())
        except Failure as failure:
            if failure.code is not Code.CANCELLED or not self._started:
                await self._fail(failure)
            return failure
        finally:
            beating.cancel()
        return None

    async def _put(self, frame: bytes) -> None:
        self._silent = False
        if self._late and self._between_events():
            frame, self._late = self._late + frame, b""
        if not frame:
            return
        self._tail = (self._tail + frame)[-4:]
        await self._write({"type": "http.response.body", "body": frame, "more_body": True})

    async def _end(self, last: bytes) -> None:
        self._ended = True
        await self._write({"type": "http.response.body", "body": last})

    async def _write(self, message: Message) -> None:
        """One at a time, the head before the first."""
        try:
            async with self._sending, asyncio.timeout(self._send_timeout_s):
                if not self._started:
                    self._started = True
                    await self._start()
                await self._send(message)
        except TimeoutError:
            raise Failure(Code.CANCELLED, "the client does not read its answer") from None

    async def _start(self) -> None:
        # nothing on the way may hold events back, join them or compress them
        await _head(
            self._send,
            200,
            {
                "content-type": self._form.content_type,
                "cache-control": "no-cache, no-transform",
                "x-accel-buffering": "no",
                **self._headers,
            },
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._keep_alive_s)
            if self._ended:
                return
            due = self._silent and (self._started or self._form.early)
            if due and self._between_events() and not self._sending.locked():
                try:
                    await self._put(self._form.keep_alive)
                except Failure:
                    self._connected.give_up()
            self._silent = True

    def _between_events(self) -> bool:
        """A frame may end inside of an event: a comment there would become part of it."""
        return not self._tail or self._tail.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))

    async def _fail(self, failure: Failure) -> None:
        if not self._started:
            self._ended = True
            await refuse(self._send, failure, self._dialect, self._request)
            return
        event = self._form.failure(failure)
        with suppress(Failure):
            await self._end(event if self._between_events() else b"\n\n" + event)
