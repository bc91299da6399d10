"""Call and Stream, the answering side: every message in a task of its own, bounded, stopped when nobody waits."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from penstock.bus.body import Bodies
from penstock.bus.codec import decode, encode
from penstock.bus.connection import Connection, Subscription
from penstock.bus.headers import failure_body, failure_headers, headers_meta, whole_number
from penstock.bus.message import Message
from penstock.bus.stream import CREDIT, Accepted, Flow, Sender
from penstock.bus.wheel import Entry
from penstock.contracts.endpoint import TENANT_CLIENT, Call, Stream, Subject
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, run_id
from penstock.contracts.meta import PARTS, Meta
from penstock.contracts.subjects import CANCEL, FLOW, INBOX, TENANT_INBOX

Request = TypeVar("Request")
Reply = TypeVar("Reply")
End = TypeVar("End")

_log = logging.getLogger("penstock.bus")

REPLY_WAIT_S = 20.0
"""How long a finished answer waits for the broker to come back."""
PART_BYTES = 512 * 1024
WINDOW_MAX_FRAMES = 4096
REPLY_MAX_CHARACTERS = 512
_INBOXES = INBOX.pattern.partition("{")[0]
_TENANTS_INBOXES = TENANT_INBOX.pattern.partition("{")[0]

_flow_decoder = msgspec.json.Decoder(Flow)


class Running:
    """One request that is being answered, or a stream whose reader has not yet said that it has all of it."""

    __slots__ = ("ids", "key", "last_sign", "lingering", "reply", "sender", "stopped", "subject", "task")

    def __init__(self, reply: str, subject: Subject, now: float) -> None:
        self.reply = reply
        self.subject = subject
        self.key = reply.rpartition(".")[2]
        self.ids: list[str] = []
        self.last_sign = now
        self.stopped: Failure | None = None
        self.sender: Sender | None = None
        self.task: asyncio.Task[None] | None = None
        self.lingering: asyncio.TimerHandle | None = None

    def late(self) -> None:
        """The asker's deadline has come."""
        self.stop(Failure(Code.DEADLINE, "not done in time"))

    def left(self, why: str) -> None:
        """Nobody reads the stream any more."""
        if self.sender is not None:
            self.sender.left = True
        self.stop(Failure(Code.CANCELLED, why))

    def stop(self, why: Failure) -> None:
        """Cancels the handler; `why` is what the asker is told."""
        if self.stopped is None and self.task is not None and not self.task.done():
            self.stopped = why
            self.task.cancel()


class Server:
    """Serves endpoints over one connection."""

    def __init__(self, connection: Connection, bodies: Bodies) -> None:
        self._connection = connection
        self._bodies = bodies
        self._config = connection.config
        # by reply subject: some clients count their requests from one, so that its last token alone is not unique
        self._running: dict[str, Running] = {}
        # by what may be cancelled: the last token of the reply subject, and the run
        self._known: defaultdict[str, set[Running]] = defaultdict(set)
        self._subscriptions: list[Subscription] = []
        self._listening_for_signals = False

    @property
    def in_flight(self) -> int:
        """Requests being answered now, and streams that end."""
        return len(self._running)

    async def calls(
        self,
        endpoint: Call[Request, Reply],
        handler: Callable[[Request, Meta], Awaitable[Reply]],
        in_flight_max: int,
        tokens: dict[str, str],
    ) -> None:
        """Answers `endpoint`; above `in_flight_max` at once callers get Failure(OVERLOADED)."""

        async def answer(request: Request, meta: Meta, _running: Running) -> bytes:
            return encode(await handler(request, meta))

        await self._serve(endpoint, answer, in_flight_max, tokens)

    async def streams(
        self,
        endpoint: Stream[Request, End],
        handler: Callable[[Request, Meta, Sender], Awaitable[End]],
        in_flight_max: int,
        tokens: dict[str, str],
    ) -> None:
        """Answers `endpoint` with frames; the handler is cancelled when its reader goes away."""

        async def answer(request: Request, meta: Meta, running: Running) -> bytes:
            if running.sender is None:
                raise Failure(Code.INVALID, "a stream is asked for with credit")
            return encode(await handler(request, meta, running.sender))

        await self._serve(endpoint, answer, in_flight_max, tokens)

    async def _serve(
        self,
        endpoint: Call[Request, Any] | Stream[Request, Any],
        answer: Callable[[Request, Meta, Running], Awaitable[bytes]],
        in_flight_max: int,
        tokens: dict[str, str],
    ) -> None:
        await self._listen_for_signals()
        in_flight = 0
        inside = endpoint.inside if isinstance(endpoint, Call) else None

        def finished(running: Running, task: asyncio.Task[None]) -> None:
            nonlocal in_flight
            in_flight -= 1
            self._finished(running, task)

        def arrived(subject: Subject, message: Message) -> None:
            nonlocal in_flight
            tenants = TENANT_CLIENT in endpoint.called_by and subject is endpoint.subject
            if message.reply in self._running or not answerable(subject, message, tenants=tenants):
                return  # sent again while we work on it, or nobody may be answered there
            running = Running(message.reply, subject, asyncio.get_running_loop().time())
            if in_flight >= in_flight_max:
                self._refuse(running, Failure(Code.OVERLOADED, "too many requests at once", retry_after_s=1.0))
                return
            in_flight += 1
            self._running[running.reply] = running
            self._know(running, running.key)
            running.task = asyncio.create_task(self._run(endpoint, answer, message, running))
            running.task.add_done_callback(partial(finished, running))

        for subject in (endpoint.subject, inside) if inside is not None else (endpoint.subject,):
            hear = partial(arrived, subject)
            self._subscriptions.append(
                await self._connection.subscribe(subject.within(**tokens), hear, queue=endpoint.answered_by)
            )
        # serving means that the broker knows it; without a broker, the subscription is made when it is back
        with contextlib.suppress(Failure):
            await self._connection.round_trip(self._config.watchdog_timeout_s)

    async def _run(
        self,
        endpoint: Call[Request, Any] | Stream[Request, Any],
        answer: Callable[[Request, Meta, Running], Awaitable[bytes]],
        message: Message,
        running: Running,
    ) -> None:
        timer: Entry | None = None
        failure: Failure | None = None
        body = b""
        try:
            meta = self._admit(endpoint, message, running)
            if meta.deadline:
                ends = asyncio.get_running_loop().time() + meta.deadline - time.time()
                timer = self._connection.wheel.at(ends, running.late)
            request = decode(endpoint.request, await self._bodies.of(message))
            body = await answer(request, meta, running)
        except Failure as raised:
            failure = raised
        except asyncio.CancelledError:
            if running.stopped is None:
                raise
            failure = running.stopped
        finally:
            if timer is not None:
                timer.cancel()
        if running.sender is not None:
            self._end(running, running.sender, body, failure)
        else:
            await self._reply(running, body, failure)

    def _finished(self, running: Running, task: asyncio.Task[None]) -> None:
        """Tells the asker where `_run` could not: it was cancelled before its first step, or while it replied, or the
        handler broke its promise to raise Failures only."""
        if not task.cancelled() and task.exception() is None:
            return
        failure = Failure(Code.INTERNAL, "internal error")
        if task.cancelled():
            failure = running.stopped or failure
        else:
            _log.error("a handler failed", exc_info=task.exception())
        self._refuse(running, failure)
        self._forget(running)

    def _admit(self, endpoint: Call[Request, Any] | Stream[Request, Any], message: Message, running: Running) -> Meta:
        """Meta of this request; registers it under its run. What a tenant's client may not say is not believed: the
        tenant is what the subject proves, and only the plane knows of jobs, steps and epochs."""
        headers = message.headers
        meta = headers_meta(headers)
        if "{tenant}" in running.subject.pattern:
            tenant = running.subject.parse(message.subject)["tenant"]
            meta = msgspec.structs.replace(meta, tenant=tenant, job="", step="", epoch=0)
        if meta.deadline and meta.deadline <= time.time():
            raise Failure(Code.DEADLINE, "the caller's deadline has passed")
        if meta.job:
            # under its run, not its job: another tenant may have a job of the same id
            self._know(running, run_id(meta.tenant, meta.job))
        window = whole_number(headers.get(CREDIT, ""))
        if isinstance(endpoint, Stream) and 0 < window <= WINDOW_MAX_FRAMES:
            flow = FLOW.at(service=self._config.principal, instance=self._connection.instance, stream=running.key)
            accepted = encode(Accepted(self._config.principal, flow))
            running.sender = Sender(self._connection, running.reply, window, accepted)
        return meta

    def _end(self, running: Running, sender: Sender, body: bytes, failure: Failure | None) -> None:
        if len(body) > self._connection.payload_max_bytes:
            failure = failure or Failure(Code.TOO_LARGE, f"the end of the stream has {len(body)} bytes")
        sender.close(failure_body(failure) if failure else body, failed=failure is not None)
        # the reader says when it has all; a frame that the broker lost is sent again until then
        loop = asyncio.get_running_loop()
        running.lingering = loop.call_later(self._config.stream_reader_lost_s, self._forget, running)

    async def _reply(self, running: Running, body: bytes, failure: Failure | None) -> None:
        try:
            headers: dict[str, str] | None = None
            if failure is not None:
                body, headers = failure_body(failure), failure_headers(failure)
            elif not self._bodies.small(body):
                tenants = running.reply.startswith(_TENANTS_INBOXES)
                headers = await (
                    self._send_parts(running, body) if tenants else self._bodies.check_in(body, within_s=REPLY_WAIT_S)
                )
                body = b""
            await self._publish(running, body, headers)
        except Failure as undelivered:
            _log.warning("a reply could not be sent", extra={"fields": {"why": undelivered.detail}})
            if undelivered.code is not Code.TOO_LARGE:
                what = f"it was done, but its answer could not be sent: {undelivered.detail}"
                undelivered = Failure(Code.UNKNOWN_OUTCOME, what)
            self._refuse(running, undelivered)
        self._forget(running)

    async def _send_parts(self, running: Running, body: bytes) -> dict[str, str]:
        """A tenant's client may not read the store of large bodies: what is too large for one message comes in several.

        The header for the message that ends them. Raises Failure(TOO_LARGE).
        """
        if len(body) > self._config.body_max_bytes:
            limit = self._config.body_max_bytes
            raise Failure(Code.TOO_LARGE, f"a body of {len(body)} bytes is above the limit of {limit}")
        parts = [body[place : place + PART_BYTES] for place in range(0, len(body), PART_BYTES)]
        for part in parts:
            await self._connection.room(REPLY_WAIT_S)
            self._connection.publish(running.reply + ".p", part)
        return {PARTS: str(len(parts))}

    async def _publish(self, running: Running, body: bytes, headers: dict[str, str] | None) -> None:
        try:
            self._connection.publish(running.reply, body, headers=headers)
        except Failure as failure:
            if failure.code is not Code.UNAVAILABLE or not await self._connection.wait_connected(REPLY_WAIT_S):
                raise
            self._connection.publish(running.reply, body, headers=headers)

    def _refuse(self, running: Running, failure: Failure) -> None:
        with contextlib.suppress(Failure):
            self._connection.publish(running.reply, failure_body(failure), headers=failure_headers(failure))

    def _know(self, running: Running, id: str) -> None:
        running.ids.append(id)
        self._known[id].add(running)

    def _forget(self, running: Running) -> None:
        self._running.pop(running.reply, None)
        if running.lingering is not None:
            running.lingering.cancel()
        for id in running.ids:
            others = self._known[id]
            others.discard(running)
            if not others:
                del self._known[id]
        running.ids.clear()

    # Signals ----------------------------------------------------------------------------------------------------

    async def _listen_for_signals(self) -> None:
        if self._listening_for_signals:
            return
        self._listening_for_signals = True
        await self._connection.subscribe(CANCEL.wildcard, self._cancelled)
        mine = FLOW.within(service=self._config.principal, instance=self._connection.instance)
        await self._connection.subscribe(mine, self._flowed)

    def _cancelled(self, message: Message) -> None:
        why = Failure(Code.CANCELLED, "cancelled")
        for running in tuple(self._known.get(message.subject.rpartition(".")[2], ())):
            running.stop(why)

    def _flowed(self, message: Message) -> None:
        try:
            flow = _flow_decoder.decode(message.data)
        except msgspec.DecodeError:
            return
        for running in tuple(self._known.get(message.subject.rpartition(".")[2], ())):
            if running.sender is None or running.task is None:
                continue
            if not flow.stop:
                running.sender.flow(flow)
            elif running.task.done():
                self._forget(running)
            else:
                running.left("the reader went away")

    def sweep(self, now: float, late_s: float) -> None:
        """Called every second: says of long work that it is alive, and stops streams whose reader is gone.

        `late_s`: how long we ourselves stood still since the last time, and could hear nobody.
        """
        for running in tuple(self._running.values()):
            if running.sender is not None:
                if running.task is not None and running.task.done():
                    continue
                running.sender.keep_alive(now, self._config.keep_alive_s)
                running.sender.flow_heard += late_s
                if now - running.sender.flow_heard > self._config.stream_reader_lost_s and self._connection.connected:
                    running.left("the reader was lost")
            elif now - running.last_sign >= self._config.keep_alive_s:
                running.last_sign = now
                with contextlib.suppress(Failure):
                    self._connection.publish(running.reply + ".k", b"")

    async def stop(self) -> None:
        """Takes no more requests."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(subscription.drain() for subscription in subscriptions))

    async def idle(self, timeout_s: float) -> bool:
        """Waits until every request is answered; False when some were not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(r.task is not None and not r.task.done() for r in self._running.values()):
                    await asyncio.wait([r.task for r in self._running.values() if r.task is not None])
        except TimeoutError:
            return False
        return True

    def stop_all(self, why: Failure) -> None:
        """Cancels every running handler."""
        for running in tuple(self._running.values()):
            running.stop(why)


def answerable(subject: Subject, message: Message, *, tenants: bool) -> bool:
    """Whether its reply subject is an inbox, and for a tenant's client one of that tenant. We answer with our own
    rights: a client that named any subject it likes would publish with them. `tenants`: whether they ask here."""
    reply = message.reply
    if not reply.startswith(_INBOXES) or len(reply) > REPLY_MAX_CHARACTERS or not reply.isascii():
        return False
    if not is_token(reply.rpartition(".")[2]):
        return False
    if tenants or ("{tenant}" in subject.pattern and reply.startswith(_TENANTS_INBOXES)):
        return reply.startswith(f"{_TENANTS_INBOXES}{subject.parse(message.subject)['tenant']}.")
    return True
