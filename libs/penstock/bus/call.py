"""Call, the asking side: one request, one reply, a deadline, and a worker whose silence is noticed."""

import asyncio
import contextlib
import time
from typing import TypeVar

from penstock.bus.body import Bodies
from penstock.bus.codec import decode, encode
from penstock.bus.connection import Connection
from penstock.bus.headers import meta_headers, read_failure
from penstock.bus.message import Message
from penstock.contracts import meta as names
from penstock.contracts.endpoint import Call
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import CANCEL

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 0.5


class Lost(Exception):
    """The worker fell silent, or the broker forgot the request; whether it took effect is unknown."""


class Pending:
    """One request that waits for its reply."""

    __slots__ = ("answer", "heard", "parts", "resend_on_reconnect")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.resend_on_reconnect = False
        self.heard = loop.time()
        self.parts: list[bytes] = []
        self.answer: asyncio.Future[Message] = loop.create_future()

    def again(self) -> None:
        """The request is sent once more."""
        loop = asyncio.get_running_loop()
        self.heard = loop.time()
        self.parts = []
        self.answer = loop.create_future()

    def arrived(self, message: Message) -> None:
        """A reply, a part of one, or a sign of life of whoever works on it."""
        if message.subject.endswith(".k"):
            self.heard = asyncio.get_running_loop().time()
        elif message.subject.endswith(".p"):
            self.heard = asyncio.get_running_loop().time()
            self.parts.append(message.data)
        elif not self.answer.done():
            self._ended(message)

    def _ended(self, message: Message) -> None:
        count = message.headers.get(names.PARTS) if message.raw else None
        if count is None:
            self.answer.set_result(message)
        elif count == str(len(self.parts)):
            message.data = b"".join(self.parts)
            self.answer.set_result(message)
        else:
            self.answer.set_exception(Lost())  # a part was lost with a connection

    def late(self) -> None:
        """The deadline has come."""
        self.fail(TimeoutError())

    def fail(self, error: Exception) -> None:
        """Ends the wait."""
        if not self.answer.done():
            self.answer.set_exception(error)


def time_left(meta: Meta, limit_s: float) -> float:
    """Seconds until the sooner of the caller's deadline and `limit_s` from now. Raises Failure(DEADLINE) when over."""
    if not meta.deadline:
        return limit_s
    left = min(meta.deadline - time.time(), limit_s)
    if left <= 0:
        raise Failure(Code.DEADLINE, "the caller's deadline has passed")
    return left


class Caller:
    """Sends calls over one connection."""

    def __init__(self, connection: Connection, bodies: Bodies) -> None:
        self._connection = connection
        self._config = connection.config
        self._bodies = bodies
        self._waiting: dict[str, Pending] = {}
        connection.on_reconnect(self._reconnected)

    async def call(
        self,
        endpoint: Call[Request, Reply],
        request: Request,
        meta: Meta,
        *,
        timeout_s: float | None = None,
        **tokens: str,
    ) -> Reply:
        """The reply, or the Failure that the answerer raised. Also raises

        DEADLINE: no reply in time; UNAVAILABLE: nobody answers this subject, or no broker (nothing was done);
        UNKNOWN_OUTCOME: the worker was lost while it worked, and the call is not repeatable.
        """
        subject = endpoint.asked_at(by_tenant=bool(self._config.tenant)).at(**tokens)
        left_s = time_left(meta, timeout_s or endpoint.timeout_s)
        ends = asyncio.get_running_loop().time() + left_s
        data = encode(request)
        headers = meta_headers(meta)
        headers[names.DEADLINE] = f"{time.time() + left_s:.3f}"
        if not self._bodies.small(data):
            headers |= await self._bodies.check_in(data, within_s=left_s)
            data = b""
        message = await self._ask(endpoint, subject, data, headers, ends)
        if message.raw and names.ERROR_CODE in message.headers:
            raise read_failure(message.data)
        try:
            return decode(endpoint.reply, await self._bodies.of(message))
        except Failure as failure:
            if failure.code is Code.INVALID:
                raise Failure(Code.INTERNAL, f"the reply of {endpoint.answered_by} cannot be read") from failure
            raise

    async def _ask(
        self, endpoint: Call[Request, Reply], subject: str, data: bytes, headers: dict[str, str], ends: float
    ) -> Message:
        loop = asyncio.get_running_loop()
        pending = Pending()
        box = self._connection.inbox(pending.arrived)
        timer = self._connection.wheel.at(ends, pending.late)
        self._waiting[box.key] = pending
        nobody_since = 0.0
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                message = await self._try(endpoint, subject, data, headers, pending, box.subject, ends)
                if message is not None and message.status != "503":
                    return message
                now = loop.time()
                if message is not None:
                    nobody_since = nobody_since or now
                    if now - nobody_since > self._config.no_responders_s or now + pause_s >= ends:
                        raise Failure(Code.UNAVAILABLE, f"nobody answers {endpoint.subject.pattern}", retry_after_s=1.0)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LAST_PAUSE_S)
                if loop.time() >= ends:
                    # the timer found nobody waiting
                    raise Failure(Code.DEADLINE, f"{endpoint.answered_by} did not answer in time")
                pending.again()
        except asyncio.CancelledError:
            with contextlib.suppress(Failure):
                self._connection.publish(CANCEL.at(id=box.key), b"")
            raise
        finally:
            timer.cancel()
            del self._waiting[box.key]
            box.close()

    async def _try(
        self,
        endpoint: Call[Request, Reply],
        subject: str,
        data: bytes,
        headers: dict[str, str],
        pending: Pending,
        reply: str,
        ends: float,
    ) -> Message | None:
        """Sends it once: the reply, or None when it may be sent again."""
        try:
            self._connection.publish(subject, data, reply=reply, headers=headers)
            pending.resend_on_reconnect = endpoint.repeatable
            return await pending.answer
        except TimeoutError:
            raise Failure(Code.DEADLINE, f"{endpoint.answered_by} did not answer in time") from None
        except Lost:
            if not endpoint.repeatable:
                raise Failure(Code.UNKNOWN_OUTCOME, f"{endpoint.answered_by} was lost while it worked") from None
        except Failure as failure:
            # only publishing raises it here without anything having been sent
            if failure.code is not Code.UNAVAILABLE or not await self._broker_back(ends):
                raise
        return None

    async def _broker_back(self, ends: float) -> bool:
        left_s = ends - asyncio.get_running_loop().time()
        return left_s > 0 and await self._connection.wait_connected(min(left_s, self._config.silence_s))

    def sweep(self, now: float, late_s: float) -> None:
        """Called every second: a worker that was silent for too long is lost. While we ourselves stood still, for
        `late_s` since the last time, we could hear nobody: that is no silence."""
        if not self._connection.connected:
            return
        for pending in tuple(self._waiting.values()):
            pending.heard += late_s
            if now - pending.heard > self._config.silence_s:
                pending.fail(Lost())

    def _reconnected(self) -> None:
        now = asyncio.get_running_loop().time()
        for pending in tuple(self._waiting.values()):
            pending.heard = now
            if pending.resend_on_reconnect:
                # the broker has forgotten it; an answerer that is at work knows a repeat by its reply subject
                pending.fail(Lost())
