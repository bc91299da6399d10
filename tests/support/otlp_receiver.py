"""A receiver of spans over OTLP/HTTP on loopback, which reads them as its specification says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Proto
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Received:
    """One span. Ids in hex; `parent` "" for none."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, str | int | tuple[str, ...]]


@dataclass
class Receiver:
    """`raw` is everything that came. While `held`, requests wait; `status` is its answer."""

    port: int = 0
    status: int = 200
    held: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    raw: bytes = b""
    spans: list[Received] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """What a service is told."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def named(self, name: str) -> Received:
        """The one span with this name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]

    async def _take(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        if self.held:
            await self.go.wait()
        if self.status == 200:
            self.raw += body
            self.spans += _read(body)
        return web.Response(status=self.status)


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Receiver]:
    """In this loop."""
    it = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", it._take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.port = runner.addresses[0][1]
    try:
        yield it
    finally:
        it.go.set()
        await runner.cleanup()


def _read(body: bytes) -> list[Received]:
    spans = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {each.key: each.value.string_value for each in group.resource.attributes}
        for scope in group.scope_spans:
            spans += [_received(about["service.name"], span) for span in scope.spans]
    return spans


def _received(service: str, span: Proto) -> Received:
    return Received(
        service,
        span.name,
        Proto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.status.code == Status.STATUS_CODE_ERROR,
        {each.key: _value(each.value) for each in span.attributes},
    )


def _value(value: AnyValue) -> str | int | tuple[str, ...]:
    if value.HasField("array_value"):
        return tuple(each.string_value for each in value.array_value.values)
    return value.int_value if value.HasField("int_value") else value.string_value
