"""One entry of a service's list: an endpoint, its handler and its bound; what `answer`, `stream` and so on make."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from penstock.bus import Bus, Discard, Item, Listener, Release, Sender, Stored, Worker
from penstock.bus.deposit import Depositing as Deposits
from penstock.bus.work import Bad
from penstock.contracts.endpoint import Call, Consumer, Event, Stream, Work
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import Queued
from penstock.contracts.meta import Meta
from penstock.kit.handling import Handling, bug
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics

Request = TypeVar("Request")
Reply = TypeVar("Reply")
End = TypeVar("End")
Body = TypeVar("Body")

IN_FLIGHT_MAX = 256
SLOTS = 16
WAITING_MAX_BYTES = 64 * 1024 * 1024


class Hosting:
    """What an entry is started with. `stopping` is set when the service takes nothing new any more."""

    def __init__(self, bus: Bus, handling: Handling, metrics: Metrics, log: Log, stopping: asyncio.Event) -> None:
        self.bus = bus
        self.handling = handling
        self.metrics = metrics
        self.log = log
        self.stopping = stopping


class Endpoint(Protocol):
    """An entry. `start` raises Failure and may then be tried again. `stop` takes nothing new at once and returns when
    what runs has finished; what has not after `finish_s` is cancelled. It may be called again, with less time."""

    @property
    def name(self) -> str: ...

    async def start(self, hosting: Hosting) -> None: ...

    async def stop(self, finish_s: float) -> None: ...


class Answering(Generic[Request, Reply]):
    """A Call that this service answers."""

    def __init__(
        self,
        endpoint: Call[Request, Reply],
        handler: Callable[[Request, Meta], Awaitable[Reply]],
        in_flight_max: int,
        open_to_all: bool,
        tokens: dict[str, str],
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.subject.within(**tokens)
        self._handler = handler
        self._in_flight_max = in_flight_max
        self._open_to_all = open_to_all
        self._tokens = tokens

    async def start(self, hosting: Hosting) -> None:
        handler = hosting.handling.call(self.endpoint, self._handler, self._open_to_all)
        await hosting.bus.serve_call(self.endpoint, handler, in_flight_max=self._in_flight_max, **self._tokens)

    async def stop(self, finish_s: float) -> None:
        """The bus stops serving, and waits for its handlers, as a whole."""


class Streaming(Generic[Request, End]):
    """A Stream that this service answers."""

    def __init__(
        self,
        endpoint: Stream[Request, End],
        handler: Callable[[Request, Meta, Sender], Awaitable[End]],
        in_flight_max: int,
        open_to_all: bool,
        tokens: dict[str, str],
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.subject.within(**tokens)
        self._handler = handler
        self._in_flight_max = in_flight_max
        self._open_to_all = open_to_all
        self._tokens = tokens

    async def start(self, hosting: Hosting) -> None:
        handler = hosting.handling.stream(self.endpoint, self._handler, self._open_to_all)
        await hosting.bus.serve_stream(self.endpoint, handler, in_flight_max=self._in_flight_max, **self._tokens)

    async def stop(self, finish_s: float) -> None:
        """The bus stops serving, and waits for its handlers, as a whole."""


class Listening(Generic[Body]):
    """A durable consumer of this service."""

    def __init__(
        self,
        event: Event[Body],
        consumer: Consumer,
        handler: Callable[[list[Stored[Body]]], Awaitable[None]],
        batch_max: int,
    ) -> None:
        self.event = event
        self.name = f"{consumer.store.name}/{consumer.name}"
        self._consumer = consumer
        self._handler = handler
        self._batch_max = batch_max
        self._listener: Listener[Body] | None = None

    async def start(self, hosting: Hosting) -> None:
        async def handle(batch: list[Stored[Body]]) -> None:
            result = "failed"
            try:
                await self._handler(batch)
                result = "ok"
            except Failure:
                raise
            except Exception as error:
                raise bug(error, hosting.log, where=self.name) from error
            finally:
                hosting.metrics.events.add(self._consumer.name, result, by=len(batch))

        self._listener = await hosting.bus.listen(self.event, self._consumer, handle, batch_max=self._batch_max)

    async def stop(self, finish_s: float) -> None:
        if self._listener is not None:
            await self._listener.stop()


class Working(Generic[Body]):
    """A queue of tasks that this service carries out."""

    def __init__(
        self,
        work: Work[Body],
        handler: Callable[[Item[Body]], Awaitable[None]],
        slots: int,
        on_bad: Callable[[Bad], Awaitable[None]] | None,
    ) -> None:
        self.work = work
        self.name = f"{work.consumer.store.name}/{work.consumer.name}"
        self._handler = handler
        self._slots = slots
        self._on_bad = on_bad
        self._worker: Worker[Body] | None = None

    async def start(self, hosting: Hosting) -> None:
        loop = asyncio.get_running_loop()

        def dead(reason: Failure) -> None:
            hosting.metrics.dead_letters.add(self.work.consumer.store.name, reason.code)

        async def handle(item: Item[Body]) -> None:
            began = loop.time()
            result = "cancelled"
            span = hosting.handling.taken(self.work, item)
            item.meta = span.meta
            try:
                await self._handler(item)
                result = "done"
            except Discard as discard:
                result = "discarded"
                dead(discard.reason)
                span.fail(discard.reason.code.value)
                raise
            except Release:
                result = "released"
                raise
            except Failure as failure:
                result = self._tried(item, failure, dead)
                span.fail(failure.code.value)
                raise
            except Exception as error:
                unexpected = bug(error, hosting.log.of(item.meta), where=self.name)
                result = self._tried(item, unexpected, dead)
                span.fail(type(error).__name__)
                raise unexpected from error
            finally:
                span.tell("penstock.result", result)
                span.__exit__(None, None, None)
                hosting.metrics.work.add(self.name, result)
                hosting.metrics.work_seconds.see(loop.time() - began, self.name)

        async def bad(item: Bad) -> None:
            dead(item.reason)
            if self._on_bad is not None:
                await self._on_bad(item)

        self._worker = await hosting.bus.work(self.work, handle, slots=self._slots, on_bad=bad)

    def _tried(self, item: Item[Body], failure: Failure, dead: Callable[[Failure], None]) -> str:
        """What becomes of a try that failed; a release that went before makes "exhausted" one try too early."""
        if item.deliveries < self.work.attempts_max:
            return "retry"
        dead(failure)
        return "exhausted"

    async def stop(self, finish_s: float) -> None:
        if self._worker is not None:
            await self._worker.stop(finish_s)


class Depositing(Generic[Body]):
    """Tasks that are published at a Call's subject, and stored as they are for a Work."""

    def __init__(
        self,
        endpoint: Call[Body, Queued],
        work: Work[Body],
        slots: int,
        waiting_max_bytes: int,
        tenant_per_minute_max: int,
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.subject.wildcard
        self._work = work
        self._slots = slots
        self._waiting_max_bytes = waiting_max_bytes
        self._tenant_per_minute_max = tenant_per_minute_max
        self._depositing: Deposits[Body] | None = None

    async def start(self, hosting: Hosting) -> None:
        self._depositing = await hosting.bus.serve_deposit(
            self.endpoint,
            self._work,
            slots=self._slots,
            waiting_max_bytes=self._waiting_max_bytes,
            around=hosting.handling.deposit(self.endpoint),
            tenant_per_minute_max=self._tenant_per_minute_max,
        )

    async def stop(self, finish_s: float) -> None:
        if self._depositing is not None:
            await self._depositing.stop(finish_s)


class Edge:
    """A server of the service's own, such as HTTP: runs until `stopping` is set, then finishes what is under way."""

    def __init__(self, name: str, serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        self.name = name
        self.serve = serve
        self.task: asyncio.Task[None] | None = None

    async def start(self, hosting: Hosting) -> None:
        async def serving() -> None:
            await self.serve(hosting.stopping)

        self.task = asyncio.create_task(serving(), name=self.name)

    async def stop(self, finish_s: float) -> None:
        """`stopping` tells it to; cancelled when it is not over in time."""
        if self.task is not None:
            await asyncio.wait({self.task}, timeout=finish_s)
            self.task.cancel()
            await asyncio.wait({self.task})


def answer(
    endpoint: Call[Request, Reply],
    handler: Callable[[Request, Meta], Awaitable[Reply]],
    *,
    in_flight_max: int = IN_FLIGHT_MAX,
    open_to_all: bool = False,
    **tokens: str,
) -> Endpoint:
    """Answers a Call. The caller's token is verified first, meta.tenant is the token's, meta.traceparent a span of
    its own; whatever is raised other than Failure becomes INTERNAL. `open_to_all`: nobody needs a token.
    """
    return Answering(endpoint, handler, in_flight_max, open_to_all, tokens)


def stream(
    endpoint: Stream[Request, End],
    handler: Callable[[Request, Meta, Sender], Awaitable[End]],
    *,
    in_flight_max: int = IN_FLIGHT_MAX,
    open_to_all: bool = False,
    **tokens: str,
) -> Endpoint:
    """Answers a Stream; the rest as for `answer`."""
    return Streaming(endpoint, handler, in_flight_max, open_to_all, tokens)


def listen(
    event: Event[Body],
    consumer: Consumer,
    handler: Callable[[list[Stored[Body]]], Awaitable[None]],
    *,
    batch_max: int = 256,
) -> Endpoint:
    """Hears an Event through a durable consumer: in order, at least once, whole batches."""
    return Listening(event, consumer, handler, batch_max)


def work(
    work: Work[Body],
    handler: Callable[[Item[Body]], Awaitable[None]],
    *,
    slots: int = SLOTS,
    on_bad: Callable[[Bad], Awaitable[None]] | None = None,
) -> Endpoint:
    """Carries out tasks, at most `slots` at once; `on_bad` is told of one that cannot be read before it is put away.

    `item.meta.token` is not verified here, since a bad one is the handler's to answer: ask `identities.verify`.
    """
    return Working(work, handler, slots, on_bad)


def deposit(
    endpoint: Call[Body, Queued],
    work: Work[Body],
    *,
    slots: int = SLOTS,
    waiting_max_bytes: int = WAITING_MAX_BYTES,
    tenant_per_minute_max: int = 0,
) -> Endpoint:
    """Takes in what is published at `endpoint`, unread, as tasks of `work`, and answers as JetStream does. At most
    `slots` are being stored at once; the others wait in memory, up to `waiting_max_bytes` of them. A tenant may hand in
    `tenant_per_minute_max` (0: any number)."""
    return Depositing(endpoint, work, slots, waiting_max_bytes, tenant_per_minute_max)


def edge(name: str, serve: Callable[[asyncio.Event], Awaitable[None]]) -> Endpoint:
    """A server of the service's own. `serve(stopping)` runs until the event is set, then stops accepting, finishes
    what is under way and returns; cancelled when the time to drain is over. When it ends sooner the service stops."""
    return Edge(name, serve)


Background = Callable[[], Awaitable[None]]
"""A loop beside the handlers: starts before them, is cancelled after them. When it raises, the service stops."""


class Service:
    """A name, what it answers and hears, and what it does beside that."""

    def __init__(self, name: str, endpoints: list[Endpoint], *, background: list[Background] | None = None) -> None:
        self.name = name
        self.endpoints = endpoints
        self.background = background or []
