"""Around every handler: who asks, which trace, how long, and what becomes of a bug."""

import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

from penstock.bus import Item, Sender
from penstock.contracts.endpoint import Call, Stream, Work
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Kind, Span, Tracer

Request = TypeVar("Request")
Reply = TypeVar("Reply")
End = TypeVar("End")
Body = TypeVar("Body")

FRAMES_LOGGED_MAX = 20


class Tally:
    """What happened at one endpoint since the start."""

    __slots__ = ("errors", "in_flight", "last_error", "requests", "seconds", "subject")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.in_flight = 0
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self.seconds = 0.0


class Handling:
    """Wraps handlers alike."""

    def __init__(
        self, identities: Identities, clock: Clock, metrics: Metrics, log: Log, tracer: Tracer = UNTRACED
    ) -> None:
        self._identities = identities
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._tracer = tracer
        self.tallies: dict[str, Tally] = {}

    def call(
        self, endpoint: Call[Request, Reply], handler: Callable[[Request, Meta], Awaitable[Reply]], open_to_all: bool
    ) -> Callable[[Request, Meta], Awaitable[Reply]]:
        """The handler as the bus gets it. Raises nothing but Failure."""
        name = self._named(endpoint)
        tenant_proven = "{tenant}" in endpoint.subject.pattern

        async def handle(request: Request, meta: Meta) -> Reply:
            with self._around(name, meta) as own:
                return await handler(request, await self._admit(own, open_to_all, tenant_proven))

        return handle

    def stream(
        self,
        endpoint: Stream[Request, End],
        handler: Callable[[Request, Meta, Sender], Awaitable[End]],
        open_to_all: bool,
    ) -> Callable[[Request, Meta, Sender], Awaitable[End]]:
        """The handler as the bus gets it. Raises nothing but Failure."""
        name = self._named(endpoint)
        tenant_proven = "{tenant}" in endpoint.subject.pattern

        async def handle(request: Request, meta: Meta, sender: Sender) -> End:
            with self._around(name, meta) as own:
                return await handler(request, await self._admit(own, open_to_all, tenant_proven), sender)

        return handle

    def deposit(self, endpoint: Call[Request, Reply]) -> Callable[[], AbstractContextManager[object]]:
        """What surrounds each message that is taken in unread: it has no span, since its trace is not read either."""
        name = self._named(endpoint)
        return lambda: _Around(self, name, Meta(), UNTRACED)

    def taken(self, work: Work[Body], item: Item[Body]) -> Span:
        """The span of one try at a task, below whoever handed it in, in the words of OpenTelemetry's conventions for
        messaging (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/)."""
        name = work.subject.pattern
        span = self._tracer.entry(f"process {name}", Kind.CONSUMER, item.meta)
        if self._tracer.on:
            span.tell("messaging.system", "nats")
            span.tell("messaging.operation.name", "process")
            span.tell("messaging.operation.type", "process")
            span.tell("messaging.destination.template", name)
            span.tell("messaging.consumer.group.name", work.consumer.name)
            span.tell("penstock.deliveries", item.deliveries)
            if item.message_id:
                span.tell("messaging.message.id", item.message_id)
            if item.meta.job:
                span.tell("penstock.job", item.meta.job)
        return span

    def _named(self, endpoint: Call[Request, Reply] | Stream[Request, Reply]) -> str:
        name = endpoint.subject.pattern
        tally = self.tallies[name] = Tally(endpoint.subject.wildcard)
        self._metrics.in_flight.watch(lambda: float(tally.in_flight), name)
        return name

    async def _admit(self, meta: Meta, open_to_all: bool, tenant_proven: bool) -> Meta:
        return meta if open_to_all else await self._identities.admit(meta, tenant_proven=tenant_proven)

    def _around(self, name: str, meta: Meta) -> "_Around":
        return _Around(self, name, meta, self._tracer)


class _Around:
    """Counts one call, traces it, and turns what nobody expected into a Failure."""

    __slots__ = ("_began", "_handling", "_meta", "_name", "_span")

    def __init__(self, handling: Handling, name: str, meta: Meta, tracer: Tracer) -> None:
        self._handling = handling
        self._name = name
        self._meta = meta
        self._span = tracer.entry(name, Kind.SERVER, meta)
        if tracer.on:
            self._span.tell("rpc.system.name", "nats")
            self._span.tell("rpc.method", name)
            self._span.tell("messaging.system", "nats")
            self._span.tell("messaging.destination.template", name)
            self._span.tell("penstock.request", meta.request)

    def __enter__(self) -> Meta:
        """The context of what is done inside: its span is this one's."""
        self._began = self._handling._clock.monotonic()
        self._handling.tallies[self._name].in_flight += 1
        return self._span.meta

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handling, name = self._handling, self._name
        code = "ok"
        if isinstance(error, Failure):
            code = error.code
        elif isinstance(error, Exception):
            code = Code.INTERNAL
        elif error is not None:
            code = Code.CANCELLED
        self._span.__exit__(kind, error, trace)
        seconds = handling._clock.monotonic() - self._began
        tally = handling.tallies[name]
        tally.in_flight -= 1
        tally.requests += 1
        tally.seconds += seconds
        if code != "ok":
            tally.errors += 1
            tally.last_error = code
        handling._metrics.calls.add(name, code)
        handling._metrics.call_seconds.see(seconds, name)
        if isinstance(error, Exception) and not isinstance(error, Failure):
            raise bug(error, handling._log.of(self._meta), where=name) from error


def bug(error: Exception, log: Log, *, where: str) -> Failure:
    """Logs an exception that nobody expected and returns the failure that may be shown instead.

    Its message may hold a prompt or a key, so that it is logged at level debug only; its type and frames always.
    """
    id = new_id("log")
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("bug", id=id, where=where, type=type(error).__name__, frames=frames[-FRAMES_LOGGED_MAX:])
    log.debug("bug", id=id, message=str(error))
    return Failure(Code.INTERNAL, f"internal error, see log {id}")
