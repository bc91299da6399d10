"""Deposit: a task that a client hands in is stored unread, and answered as JetStream answers a publish.

A stream on the client's own subject would answer wherever the client says, with the broker's rights. We answer at
inboxes only.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Generic, TypeVar

import msgspec

from penstock.bus.codec import decode, encode
from penstock.bus.connection import Connection, Subscription
from penstock.bus.headers import failure_headers, meta_headers, read_failure
from penstock.bus.jetstream import MESSAGE_ID, ApiError, JetStream, Refused
from penstock.bus.message import Message
from penstock.bus.pace import Pace
from penstock.bus.serve import REPLY_WAIT_S, answerable
from penstock.contracts import meta as names
from penstock.contracts.endpoint import TENANT_CLIENT, Call, Work
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import InvalidToken, new_id
from penstock.contracts.jobs import Queued
from penstock.contracts.meta import Meta

Body = TypeVar("Body")

_log = logging.getLogger("penstock.bus")

MESSAGE_BYTES = 1024
"""Of memory for a message beside its body and headers."""
EXPECTED_STREAM = "Nats-Expected-Stream"
KEPT = (
    names.REQUEST,
    names.TOKEN,
    "Authorization",
    names.TRACEPARENT,
    names.IDEMPOTENCY_KEY,
    names.JOB,
)
"""What of the client's headers is stored: all that it may say about its task."""

_BAD_REQUEST = 10003
_WRONG_STREAM = 10060
# code and err_code of JetStream's own refusals
_NUMBERS = {
    Code.INVALID: (400, _BAD_REQUEST),
    Code.TOO_LARGE: (400, 10054),
    Code.OVERLOADED: (503, 10077),
    Code.RATE_LIMITED: (429, 10077),
    Code.UNAVAILABLE: (503, 10008),
    Code.DEADLINE: (503, 10008),
}
_ANY_OTHER = (500, 10077)


class _Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure as both kinds of clients read it: ours by its fields, a JetStream client by `error`."""

    error: ApiError
    code: str
    detail: str = ""
    retry_after_s: float = 0.0


class WrongStream(Failure):
    """The publisher expects another stream than the one that takes it."""

    def __init__(self, stream: str) -> None:
        super().__init__(Code.INVALID, f"expected stream does not match: it is {stream}")


class Depositing(Generic[Body]):
    """Takes in what is published at one endpoint. What comes waits, in order, until one of `slots` is free; beyond
    `waiting_max_bytes` it is refused, and so is what a tenant hands in beyond `tenant_per_minute_max`, before it can
    take anybody else's room. `around` surrounds each one (the caller's counting)."""

    def __init__(
        self,
        connection: Connection,
        jetstream: JetStream,
        endpoint: Call[Body, Queued],
        work: Work[Body],
        slots: int,
        waiting_max_bytes: int,
        around: Callable[[], AbstractContextManager[object]],
        tenant_per_minute_max: int = 0,
    ) -> None:
        self._connection = connection
        self._jetstream = jetstream
        self._endpoint = endpoint
        self._tenants = TENANT_CLIENT in endpoint.called_by
        self._work = work
        self._slots = slots
        self._waiting_max_bytes = waiting_max_bytes
        self._around = around
        self._pace = Pace(tenant_per_minute_max)
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begins to take in, as one of the queue group of the service that answers."""
        endpoint = self._endpoint
        self._subscription = await self._connection.subscribe(
            endpoint.subject.wildcard, self._arrived, queue=endpoint.answered_by
        )
        # as for calls: it is there when the broker knows it, or when that is back
        with suppress(Failure):
            await self._connection.round_trip(self._connection.config.watchdog_timeout_s)

    async def stop(self, finish_s: float) -> None:
        """Takes no more; what is not stored after `finish_s` is given up, and its publisher hears nothing."""
        if self._subscription is not None:
            await self._subscription.drain()
        try:
            async with asyncio.timeout(finish_s):
                while self._running:
                    await asyncio.wait(self._running)
        except TimeoutError:
            count = len(self._running) + len(self._waiting)
            _log.warning("messages were perhaps not stored", extra={"fields": {"count": count}})
        self._waiting.clear()
        self._waiting_bytes = 0
        for task in tuple(self._running):
            task.cancel()

    def _arrived(self, message: Message) -> None:
        if message.reply and not answerable(self._endpoint.subject, message, tenants=self._tenants):
            return
        if self._waiting_bytes + _size(message) > self._waiting_max_bytes:
            self._turn_away(
                message, Failure(Code.OVERLOADED, "maximum of waiting messages exceeded", retry_after_s=1.0)
            )
            return
        wait_s = self._pace.wait_s(self._tenant(message), asyncio.get_running_loop().time())
        if wait_s:
            self._turn_away(message, Failure(Code.RATE_LIMITED, "too many a minute", retry_after_s=wait_s))
            return
        self._waiting_bytes += _size(message)
        self._waiting.append(message)
        self._fill()

    def _tenant(self, message: Message) -> str:
        """As the broker lets the publisher say it."""
        try:
            return self._endpoint.subject.parse(message.subject).get("tenant", "")
        except ValueError:
            return ""  # refused when its turn comes

    def _turn_away(self, message: Message, why: Failure) -> None:
        try:
            with self._around():
                raise why
        except Failure as failure:
            self._tell(message, *_refusal(failure))

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            message = self._waiting.popleft()
            self._waiting_bytes -= _size(message)
            task = asyncio.create_task(self._take(message))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a message could not be taken in", exc_info=task.exception())
        self._fill()

    async def _take(self, message: Message) -> None:
        body, headers = b"", None
        try:
            with self._around():
                body = encode(await self._store(message))
        except Failure as failure:
            if not message.reply:
                fields = {"subject": message.subject, "why": str(failure)}
                _log.warning("a message is not stored, and nobody waits to be told", extra={"fields": fields})
                return
            body, headers = _refusal(failure)
        if not self._connection.connected:
            # a publisher that outlived the outage still listens
            await self._connection.wait_connected(REPLY_WAIT_S)
        self._tell(message, body, headers)

    async def _store(self, message: Message) -> Queued:
        headers = message.headers
        stream = self._work.consumer.store.name
        _check_conditions(headers, stream)
        try:
            tokens = self._endpoint.subject.parse(message.subject)
            subject = self._work.subject.at(**tokens)
        except InvalidToken as error:
            raise Failure(Code.INVALID, str(error)) from error
        kept = {name: headers[name] for name in KEPT if name in headers}
        id = headers.get(MESSAGE_ID, "")
        # the stream knows ids of all tenants: nobody's may hide another's
        message_id = f"{tokens['tenant']}.{id}" if id else new_id("msg")
        stored = await self._jetstream.store(subject, message.data, kept, message_id)
        return Queued(stream, stored.seq, stored.duplicate)

    def _tell(self, message: Message, body: bytes, headers: dict[str, str] | None) -> None:
        if not message.reply:
            return
        try:
            self._connection.publish(message.reply, body, headers=headers)
        except Failure as failure:
            _log.warning("a publisher could not be answered", extra={"fields": {"why": failure.detail}})


async def hand_in(
    jetstream: JetStream, endpoint: Call[Body, Queued], body: Body, meta: Meta, message_id: str, tokens: dict[str, str]
) -> Queued:
    """Publishes with one message id until it is stored. Raises Failure UNAVAILABLE when nobody takes it in in time, and
    OVERLOADED at once when there is no room for it."""
    patience = jetstream.patience()
    subject = endpoint.subject.at(**tokens)
    data = encode(body)
    headers = meta_headers(meta) | {MESSAGE_ID: message_id or new_id("msg")}
    while True:
        try:
            message = await jetstream.connection.request(subject, data, headers=headers, timeout_s=patience.attempt_s)
            if message.status == "503":
                raise Failure(Code.UNAVAILABLE, f"nobody answers {endpoint.subject.pattern}", retry_after_s=1.0)
        except Failure as failure:
            await patience.after(failure)
            continue
        if names.ERROR_CODE not in message.headers:
            return decode(Queued, message.data)
        told = read_failure(message.data)
        if told.code in (Code.OVERLOADED, Code.RATE_LIMITED):
            raise told
        await patience.after(told)


def _size(message: Message) -> int:
    """What it takes up while it waits, an empty one too."""
    return len(message.data) + len(message.raw) + MESSAGE_BYTES


def _check_conditions(headers: dict[str, str], stream: str) -> None:
    """A condition that is passed over would be a promise broken: those that we do not keep are refused."""
    for name, value in headers.items():
        if name == EXPECTED_STREAM:
            if value != stream:
                raise WrongStream(stream)
        elif name.startswith("Nats-") and name != MESSAGE_ID:
            raise Failure(Code.INVALID, f"a message with the header {name[:64]} is not taken")


def _refusal(failure: Failure) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a publish that failed."""
    code, number = _NUMBERS.get(failure.code, _ANY_OTHER)
    if isinstance(failure, Refused):
        number = failure.number
    elif isinstance(failure, WrongStream):
        number = _WRONG_STREAM
    error = ApiError(code, number, failure.detail)
    return encode(_Refusal(error, failure.code, failure.detail, failure.retry_after_s)), failure_headers(failure)
