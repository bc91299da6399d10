"""Spans on their way to an OTLP/HTTP receiver. The only module that imports OpenTelemetry; see `kit/tracing.py`.

Spans are made here and not by the SDK's tracer, since their ids are those that are already in `meta.traceparent`.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from types import TracebackType

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from penstock.contracts.errors import Failure
from penstock.contracts.meta import Meta
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import Kind, Span, SpanValue, Tracer, below
from penstock.kit.trace import Trace, parse
from penstock.kit.tracing import SpanLimits

TEXT_MAX_CHARACTERS = 256
"""A name that a provider or a caller wrote may be as long as they like; a span's attribute is not."""
SCOPE = InstrumentationScope("penstock")
CANCELLED = "cancelled"
DECISION = "penstock.decision"
"""Stands on the spans of what policy refused too: a refusal names its decision."""


class OtlpTracer(Tracer):
    """Exports every span of a trace that is sampled."""

    on = True

    def __init__(self, url: str, service: str, instance: str, limits: SpanLimits, metrics: Metrics, log: Log) -> None:
        logging.getLogger("opentelemetry").disabled = True
        for name in ("http.trace_exporter", "http", "common"):
            # they quote addresses and the receiver's answers; the outbox says what is to be said
            logging.getLogger(f"opentelemetry.exporter.otlp.proto.{name}").disabled = True
        named = {SERVICE_NAME: f"penstock-{service}", SERVICE_NAMESPACE: "penstock", SERVICE_INSTANCE_ID: instance}
        self._resource = Resource.create(named)
        self._outbox = Outbox(OTLPSpanExporter(endpoint=url), limits, metrics, log)

    def entry(self, name: str, kind: Kind, meta: Meta) -> Span:
        return self.span(name, kind, meta)

    def span(self, name: str, kind: Kind, meta: Meta) -> Span:
        """With an id of its own in its `meta`; not exported when the caller's trace is not sampled."""
        own = below(meta)
        place = parse(own.traceparent)
        if place is None or not place.sampled:
            return Span(own)
        return _Exported(self._outbox, self._resource, name, kind, own, place, parse(meta.traceparent))

    async def close(self, timeout_s: float) -> None:
        await self._outbox.close(timeout_s)


class _Exported(Span):
    """One that is told of when it ends."""

    __slots__ = ("_attributes", "_began_ns", "_error", "_kind", "_name", "_outbox", "_parent", "_place", "_resource")

    def __init__(
        self,
        outbox: "Outbox",
        resource: Resource,
        name: str,
        kind: Kind,
        meta: Meta,
        place: Trace,
        parent: Trace | None,
    ) -> None:
        super().__init__(meta)
        self._outbox = outbox
        self._resource = resource
        self._name = name
        self._kind = kind
        self._place = place
        self._parent = parent
        self._error = ""
        self._attributes: dict[str, str | bool | int | float | tuple[str, ...]] = {}
        self._began_ns = time.time_ns()

    def tell(self, name: str, value: SpanValue) -> None:
        self._attributes[name] = _short(value)

    def fail(self, error_type: str) -> None:
        self._error = error_type

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._error = _error_type(error)
            if isinstance(error, Failure) and error.decision:
                self._attributes.setdefault(DECISION, error.decision)
        if self._error:
            self._attributes["error.type"] = _short(self._error)
        parent = self._parent
        self._outbox.put(
            ReadableSpan(
                _short_text(self._name),
                _context(self._place, remote=False),
                None if parent is None else _context(parent, remote=True),
                self._resource,
                self._attributes,
                kind=SpanKind[self._kind.value],
                # no description: an error's text may quote what must not be told
                status=Status(StatusCode.ERROR if self._error else StatusCode.UNSET),
                start_time=self._began_ns,
                end_time=time.time_ns(),
                instrumentation_scope=SCOPE,
            )
        )


class Outbox:
    """Ended spans that wait for a thread of its own to send them. `put` never waits: what has no room is counted."""

    def __init__(self, exporter: OTLPSpanExporter, limits: SpanLimits, metrics: Metrics, log: Log) -> None:
        self._exporter = exporter
        self._limits = limits
        self._metrics = metrics
        self._log = log
        self._waiting: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: ReadableSpan) -> None:
        """From the event loop's thread only."""
        if self._closing or len(self._waiting) >= self._limits.queue_max:
            self._metrics.spans.add("dropped")
            return
        self._waiting.append(span)
        if len(self._waiting) >= self._limits.batch_max:
            self._wake.set()

    async def close(self, timeout_s: float) -> None:
        """Sends what waits. What could not be sent in time is dropped, and counted."""
        self._closing = True
        self._wake.set()
        if timeout_s > 0:
            await asyncio.to_thread(self._thread.join, timeout_s)
        # wakes the thread from between two tries
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK does not type it
        self._metrics.spans.add("dropped", by=len(self._waiting))
        self._waiting.clear()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._limits.every_s)
            self._wake.clear()
            while batch := self._batch():
                self._send(batch)

    def _batch(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        while len(batch) < self._limits.batch_max:
            try:
                batch.append(self._waiting.popleft())
            except IndexError:
                break
        return batch

    def _send(self, batch: list[ReadableSpan]) -> None:
        sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
        self._metrics.spans.add("sent" if sent else "failed", by=len(batch))
        if sent is self._failing:
            self._failing = not sent
            if sent:
                self._log.info("spans are taken again")
            else:
                self._log.warning("spans are not taken by their receiver")


def _context(place: Trace, *, remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(place.trace, 16), int(place.span, 16), remote, flags)


def _error_type(error: BaseException) -> str:
    if isinstance(error, Failure):
        return error.code.value
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return CANCELLED
    return type(error).__name__


def _short(value: SpanValue) -> SpanValue:
    if isinstance(value, str):
        return _short_text(value)
    if isinstance(value, tuple):
        return tuple(_short_text(text) for text in value)
    return value


def _short_text(text: str) -> str:
    """What protobuf refuses (lone surrogates) would lose a whole batch."""
    return text[:TEXT_MAX_CHARACTERS].encode(errors="replace").decode()
