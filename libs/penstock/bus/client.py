"""Bus: the seven verbs over one connection. What each promises stands at its method."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import TypeVar

from penstock.bus.blob import BlobStore
from penstock.bus.body import Bodies
from penstock.bus.bucket import BucketHandle
from penstock.bus.call import Caller, time_left
from penstock.bus.codec import encode
from penstock.bus.config import BusConfig
from penstock.bus.connection import Connection, open_connection
from penstock.bus.deposit import Depositing, hand_in
from penstock.bus.event import Events, Listener, Stored
from penstock.bus.headers import meta_headers
from penstock.bus.jetstream import JetStream
from penstock.bus.journal import JournalWriter
from penstock.bus.serve import Server
from penstock.bus.setup import Setup
from penstock.bus.stream import CREDIT, Sender, StreamReader
from penstock.bus.work import Bad, Item, Worker, Works
from penstock.contracts import meta as names
from penstock.contracts.endpoint import Bucket, Call, Consumer, Event, Journal, Stream, Work
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Queued
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import CANCEL

Request = TypeVar("Request")
Reply = TypeVar("Reply")
End = TypeVar("End")
Body = TypeVar("Body")

SWEEP_S = 1.0
BEAT_SWEEPS = 4
"""A stream's reader says every so many sweeps that it is still there."""


class Bus:
    """Made by `Bus.connect`. All methods raise Failure and nothing else of the bus's making."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._config = connection.config
        self.jetstream = JetStream(connection, connection.config.jetstream)
        self.blobs = BlobStore(self.jetstream, connection.config)
        self._bodies = Bodies(connection.config, self.blobs)
        self._caller = Caller(connection, self._bodies)
        self._server = Server(connection, self._bodies)
        self._events = Events(self.jetstream, self._bodies)
        self._works = Works(self.jetstream, self._bodies)
        self._readers: set[StreamReader[object]] = set()
        self._sweeper = asyncio.create_task(self._sweep())
        connection.on_reconnect(self._reconnected)

    @classmethod
    async def connect(cls, config: BusConfig) -> "Bus":
        """Connects, trying for `connect_timeout_s`, and keeps connected for ever. Raises Failure(UNAVAILABLE)."""
        return cls(await open_connection(config))

    @property
    def connected(self) -> bool:
        """Whether the broker answered lately."""
        return self.connection.connected

    async def close(self) -> None:
        """Stops everything and closes; also while the broker is away. Never raises. What waits fails."""
        self._sweeper.cancel()
        await self._server.stop()
        for reader in tuple(self._readers):
            reader.fail(Failure(Code.UNAVAILABLE, "the connection to the broker is closed"))
        await self.connection.close()

    # Call -------------------------------------------------------------------------------------------------------

    async def call(
        self,
        endpoint: Call[Request, Reply],
        request: Request,
        meta: Meta,
        *,
        timeout_s: float | None = None,
        **tokens: str,
    ) -> Reply:
        """One request, one reply. Raises what the answerer raised, or DEADLINE, UNAVAILABLE, UNKNOWN_OUTCOME."""
        return await self._caller.call(endpoint, request, meta, timeout_s=timeout_s, **tokens)

    async def serve_call(
        self,
        endpoint: Call[Request, Reply],
        handler: Callable[[Request, Meta], Awaitable[Reply]],
        *,
        in_flight_max: int,
        **tokens: str,
    ) -> None:
        """Answers `endpoint`, each request in its own task; the handler may raise Failure."""
        await self._server.calls(endpoint, handler, in_flight_max, tokens)

    async def deposit(
        self, endpoint: Call[Body, Queued], body: Body, meta: Meta, *, message_id: str = "", **tokens: str
    ) -> Queued:
        """Hands a task in, and returns when it is stored; tries again with one message id. UNAVAILABLE: it is not."""
        return await hand_in(self.jetstream, endpoint, body, meta, message_id, tokens)

    async def serve_deposit(
        self,
        endpoint: Call[Body, Queued],
        work: Work[Body],
        *,
        slots: int,
        waiting_max_bytes: int,
        around: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
        tenant_per_minute_max: int = 0,
    ) -> Depositing[Body]:
        """Stores what is published at `endpoint`, unread, as tasks of `work`, and answers as a stream would.

        The publisher's `Nats-Msg-Id` holds within its tenant. Without a reply subject it is stored all the same.
        """
        depositing = Depositing(
            self.connection, self.jetstream, endpoint, work, slots, waiting_max_bytes, around, tenant_per_minute_max
        )
        await depositing.start()
        return depositing

    # Stream -----------------------------------------------------------------------------------------------------

    def stream(
        self,
        endpoint: Stream[Request, End],
        request: Request,
        meta: Meta,
        *,
        timeout_s: float | None = None,
        **tokens: str,
    ) -> AbstractAsyncContextManager[StreamReader[End]]:
        """Ordered frames, then an end. Leaving the block before the end stops the producer."""
        return self._stream(endpoint, request, meta, timeout_s, tokens)

    @asynccontextmanager
    async def _stream(
        self,
        endpoint: Stream[Request, End],
        request: Request,
        meta: Meta,
        timeout_s: float | None,
        tokens: dict[str, str],
    ) -> AsyncIterator[StreamReader[End]]:
        subject = endpoint.subject.at(**tokens)
        left_s = time_left(meta, timeout_s or endpoint.timeout_s)
        loop = asyncio.get_running_loop()
        ends = loop.time() + left_s
        headers = meta_headers(meta)
        headers[names.DEADLINE] = f"{time.time() + left_s:.3f}"
        headers[CREDIT] = str(self._config.stream_window_frames)
        data = encode(request)
        if not self._bodies.small(data):
            headers |= await self._bodies.check_in(data, within_s=left_s)
            data = b""
        reader = StreamReader(self.connection, self._bodies, endpoint.end, endpoint.answered_by)
        late = Failure(Code.DEADLINE, f"{endpoint.answered_by} did not finish in time")
        timer = loop.call_at(ends, reader.fail, late)
        self._readers.add(reader)  # type: ignore[arg-type]  # the set only sweeps them
        try:
            await self._start(reader, subject, data, headers, ends)
            yield reader
        finally:
            timer.cancel()
            self._readers.discard(reader)
            reader.close()

    async def _start(
        self, reader: StreamReader[End], subject: str, data: bytes, headers: dict[str, str], ends: float
    ) -> None:
        """Sends the request until a worker takes it. Nobody has begun before that, so trying again is safe."""
        loop = asyncio.get_running_loop()
        nobody_since = 0.0
        pause_s = 0.02
        while True:
            if not await self.connection.wait_connected(min(self._config.silence_s, ends - loop.time())):
                raise Failure(Code.UNAVAILABLE, "the broker cannot be reached")
            reader.nobody = False
            self.connection.publish(subject, data, reply=reader.box.subject, headers=headers)
            await reader.accepted()
            if not reader.nobody:
                return
            nobody_since = nobody_since or loop.time()
            if loop.time() - nobody_since > self._config.no_responders_s:
                raise Failure(Code.UNAVAILABLE, f"nobody answers {subject}", retry_after_s=1.0)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

    async def serve_stream(
        self,
        endpoint: Stream[Request, End],
        handler: Callable[[Request, Meta, Sender], Awaitable[End]],
        *,
        in_flight_max: int,
        **tokens: str,
    ) -> None:
        """Answers `endpoint` with frames; `await sender.send(frame)` waits for the reader's credit."""
        await self._server.streams(endpoint, handler, in_flight_max, tokens)

    # Serving ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests being answered now."""
        return self._server.in_flight

    async def stop_serving(self) -> None:
        """Takes no more requests; those under way go on."""
        await self._server.stop()

    async def idle(self, timeout_s: float) -> bool:
        """Waits until every request is answered; False when some were not in time."""
        return await self._server.idle(timeout_s)

    def stop_handlers(self, why: Failure) -> None:
        """Cancels every running handler; the askers are told `why`."""
        self._server.stop_all(why)

    async def cancel(self, id: str) -> None:
        """Fan-out: whoever works for this run (`run_id(tenant, job)`), or on this request, stops."""
        self.connection.publish(CANCEL.at(id=id), b"")

    # Event ------------------------------------------------------------------------------------------------------

    async def emit(self, event: Event[Body], body: Body, meta: Meta, *, message_id: str = "", **tokens: str) -> int:
        """Returns the stream's sequence once the event is stored; the same `message_id` twice is stored once."""
        return await self._events.emit(event, body, meta, message_id=message_id, **tokens)

    def emit_live(self, event: Event[Body], body: Body, **tokens: str) -> None:
        """Publishes and does not wait."""
        self._events.emit_live(event, body, **tokens)

    async def read(self, event: Event[Body], *, after: int = 0, limit: int = 1000, **tokens: str) -> list[Stored[Body]]:
        """What is stored after sequence `after`, oldest first."""
        return await self._events.read(event, after=after, limit=limit, **tokens)

    def follow(self, event: Event[Body], *, after: int = 0, **tokens: str) -> AsyncGenerator[Stored[Body], None]:
        """What is stored after `after` and then what comes, without gap or repeat, across reconnects."""
        return self._events.follow(event, after=after, **tokens)

    async def listen(
        self,
        event: Event[Body],
        consumer: Consumer,
        handler: Callable[[list[Stored[Body]]], Awaitable[None]],
        *,
        batch_max: int = 256,
    ) -> Listener[Body]:
        """Durable, in order, at least once: a batch is acknowledged after the handler returned."""
        return await self._events.listen(event, consumer, handler, batch_max=batch_max)

    # Work -------------------------------------------------------------------------------------------------------

    async def assign(
        self,
        work: Work[Body],
        body: Body,
        meta: Meta,
        *,
        message_id: str = "",
        first: bool = False,
        **tokens: str,
    ) -> bool:
        """Stores a task; with `first` only if nothing stands on its subject yet (False: something does)."""
        return await self._works.assign(work, body, meta, message_id=message_id, first=first, **tokens)

    async def work(
        self,
        work: Work[Body],
        handler: Callable[[Item[Body]], Awaitable[None]],
        *,
        slots: int,
        on_bad: Callable[[Bad], Awaitable[None]] | None = None,
    ) -> Worker[Body]:
        """Pulls tasks, at most `slots` at once: return is done, Failure is again later, then the dead letter."""
        return await self._works.work(work, handler, slots=slots, on_bad=on_bad)

    # Journal, Bucket, set-up ------------------------------------------------------------------------------------

    def journal(self, journal: Journal[Body], **tokens: str) -> JournalWriter[Body]:
        """The append-only log of one key."""
        return JournalWriter(self.jetstream, journal, **tokens)

    def bucket(self, bucket: Bucket[Body]) -> BucketHandle[Body]:
        """Latest value per key."""
        return BucketHandle(self.jetstream, bucket)

    async def prepare(self) -> list[str]:
        """Makes the streams, buckets and consumers of the table; safe to repeat. What it did, in sentences."""
        return await Setup(self.jetstream).prepare()

    async def drift(self, service: str) -> list[str]:
        """What differs on the broker from the table, for what `service` uses; empty is good."""
        return await Setup(self.jetstream).drift(service)

    # Upkeep -----------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        now = loop.time()
        while True:
            due = now + SWEEP_S
            await asyncio.sleep(SWEEP_S)
            turn += 1
            now = loop.time()
            late_s = max(0.0, now - due)
            self._caller.sweep(now, late_s)
            self._server.sweep(now, late_s)
            if not self.connection.connected:
                continue
            for reader in tuple(self._readers):
                reader.heard += late_s
                if now - reader.heard > self._config.silence_s:
                    reader.fail(Failure(Code.UNKNOWN_OUTCOME, "the worker was lost while it worked"))
                elif turn % BEAT_SWEEPS == 0:
                    reader.beat()

    def _reconnected(self) -> None:
        for reader in tuple(self._readers):
            with contextlib.suppress(Failure):
                reader.reconnected()
