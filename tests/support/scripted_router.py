"""A bus service that plays the router: it answers what a test has written down, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from penstock.bus import Bus, BusConfig
from penstock.contracts import services, subjects
from penstock.contracts.errors import Failure
from penstock.contracts.llm import (
    Completion,
    CompletionEnd,
    CompletionHead,
    CompletionRequest,
    CountRequest,
    Embeddings,
    EmbedRequest,
    ModelInfo,
    Models,
    ModelsRequest,
    Ranked,
    Reranked,
    RerankRequest,
    ResponseDeleted,
    ResponseRef,
    Served,
    StoredResponse,
    TokenCount,
    Usage,
)
from penstock.contracts.meta import Meta

SERVED = Served("att_1", "first", "model-1", Usage(9, output=3), 48_000, "2026-11", "dec_1")
MODELS = Models(
    [
        ModelInfo("chat", ("chat",), "acme", 8192, True),
        ModelInfo("embed", ("embeddings",)),
        ModelInfo("org/llama:8b", ("chat",)),
    ]
)
AnyRequest = CompletionRequest | CountRequest | EmbedRequest | RerankRequest | ResponseRef


class Out(Protocol):
    async def send(self, data: bytes) -> None: ...


@dataclass
class ScriptedRouter:
    """Answers are `bodies`, one after the other, then `body`. `failure` is raised instead (once, if it `relents`),
    `breaks` after the frames of a stream; `pause_s` comes before each frame but the first, `wait_s` before everything.
    `stopped` counts what was given up in between.
    """

    body: bytes = b"{}"
    bodies: list[bytes] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    served: Served = SERVED
    head: Served | None = SERVED
    failure: Failure | None = None
    relents: bool = False
    breaks: Failure | None = None
    wait_s: float = 0.0
    pause_s: float = 0.0
    vectors: list[list[float]] = field(default_factory=lambda: [[0.5, -1.0]])
    counted: TokenCount = field(default_factory=lambda: TokenCount(12))
    ranked: list[Ranked] = field(default_factory=lambda: [Ranked(1, 0.75), Ranked(0, 0.25)])
    asked: list[AnyRequest] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    stopped: int = 0

    @property
    def completion(self) -> CompletionRequest:
        """The last model call."""
        last = self.asked[-1]
        assert isinstance(last, CompletionRequest)
        return last

    async def complete(self, request: CompletionRequest, meta: Meta) -> Completion:
        await self._take(request, meta)
        return Completion(msgspec.Raw(self.bodies.pop(0) if self.bodies else self.body), self.served)

    async def stream(self, request: CompletionRequest, meta: Meta, out: Out) -> CompletionEnd:
        await self._take(request, meta)
        if self.head is not None and request.headed:
            await out.send(msgspec.json.encode(CompletionHead(self.head)))
        for index, frame in enumerate(self.frames):
            await self._sleep(self.pause_s if index else 0.0)
            await out.send(frame)
        if self.breaks is not None:
            raise self.breaks
        return CompletionEnd(self.served, "stop")

    async def count(self, request: CountRequest, meta: Meta) -> TokenCount:
        await self._take(request, meta)
        return self.counted

    async def embed(self, request: EmbedRequest, meta: Meta) -> Embeddings:
        await self._take(request, meta)
        return Embeddings(self.vectors, self.served)

    async def rerank(self, request: RerankRequest, meta: Meta) -> Reranked:
        await self._take(request, meta)
        return Reranked(self.ranked, self.served)

    async def get_response(self, request: ResponseRef, meta: Meta) -> StoredResponse:
        await self._take(request, meta)
        return StoredResponse(msgspec.Raw(self.body))

    async def delete_response(self, request: ResponseRef, meta: Meta) -> ResponseDeleted:
        await self._take(request, meta)
        return ResponseDeleted(request.id)

    async def models(self, request: ModelsRequest, meta: Meta) -> Models:
        self.metas.append(meta)
        if self.failure is not None:
            raise self.failure
        return MODELS

    async def _take(self, request: AnyRequest, meta: Meta) -> None:
        self.asked.append(request)
        self.metas.append(meta)
        await self._sleep(self.wait_s)
        if self.failure is not None:
            failure = self.failure
            if self.relents:
                self.failure = None
            raise failure

    async def _sleep(self, time_s: float) -> None:
        try:
            await asyncio.sleep(time_s)
        except asyncio.CancelledError:
            self.stopped += 1
            raise


@asynccontextmanager
async def scripted_router(url: str) -> AsyncIterator[ScriptedRouter]:
    """On the broker at `url`, under the router's name."""
    bus = await Bus.connect(BusConfig(url=url, principal=services.ROUTER))
    router = ScriptedRouter()
    try:
        await bus.serve_call(subjects.LLM_COMPLETE, router.complete, in_flight_max=100)
        await bus.serve_stream(subjects.LLM_STREAM, router.stream, in_flight_max=100)
        await bus.serve_call(subjects.LLM_COUNT, router.count, in_flight_max=100)
        await bus.serve_call(subjects.LLM_EMBED, router.embed, in_flight_max=100)
        await bus.serve_call(subjects.LLM_RERANK, router.rerank, in_flight_max=100)
        await bus.serve_call(subjects.LLM_RESPONSE_GET, router.get_response, in_flight_max=100)
        await bus.serve_call(subjects.LLM_RESPONSE_DELETE, router.delete_response, in_flight_max=100)
        await bus.serve_call(subjects.LLM_MODELS, router.models, in_flight_max=100)
        yield router
    finally:
        await bus.close()
