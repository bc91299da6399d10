"""The router's endpoints."""

from functools import partial

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import (
    Completion,
    CompletionEnd,
    CompletionRequest,
    CountRequest,
    Embeddings,
    EmbedRequest,
    Models,
    ModelsRequest,
    Reranked,
    RerankRequest,
    ResponseDeleted,
    ResponseRef,
    ResumeRequest,
    StoredResponse,
    TokenCount,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question
from penstock.kit.boundary import Boundary
from penstock.kit.identity import Identities
from services.router.cached import Cached
from services.router.completion import COMPLETE, Completions
from services.router.counting import Counting
from services.router.models.catalogue import Alias
from services.router.models.current import Models as LoadedModels
from services.router.models.deployment import CHAT, EMBEDDINGS
from services.router.obliged.duty import HONOURED
from services.router.responses.desk import ResponsesDesk
from services.router.streams.audience import Audience, Reader
from services.router.streams.departures import Departures
from services.router.streams.kept_stream import Keep, KeptStream
from services.router.streams.relay import Out
from services.router.streams.resumption import Resumption
from services.router.vectors import EMBED, RERANKING, Vectors

ASKED_AT_ONCE = 200
"""Aliases that policy is asked about in one question."""


class Handlers:
    """One method an endpoint."""

    def __init__(
        self,
        models: LoadedModels,
        completions: Completions,
        cached: Cached,
        counting: Counting,
        vectors: Vectors,
        desk: ResponsesDesk,
        boundary: Boundary,
        identities: Identities,
        departures: Departures,
        keep: Keep,
        resumption: Resumption,
    ) -> None:
        self._identities = identities
        self._departures = departures
        self._keep = keep
        self._resumption = resumption
        self._desk = desk
        self._cached = cached
        self._models = models
        self._completions = completions
        self._counting = counting
        self._vectors = vectors
        self._boundary = boundary

    async def complete(self, request: CompletionRequest, meta: Meta) -> Completion:
        """A whole answer."""
        return await self._cached.whole(await self._completions.read(request, meta), meta)

    async def stream(self, request: CompletionRequest, meta: Meta, out: Reader) -> CompletionEnd:
        """Frames of whole server-sent events in the caller's protocol."""
        asked = await self._completions.read(request, meta, streamed=True)
        audience = Audience(out, self._kept(request, meta), wished=request.resumable)
        return await self._departures.run(audience, partial(self._cached.stream, asked, meta, audience))

    async def resume(self, request: ResumeRequest, meta: Meta, out: Out) -> CompletionEnd:
        """A kept stream, from where its reader lost it."""
        return await self._resumption.stream(request, meta, out)

    async def count(self, request: CountRequest, meta: Meta) -> TokenCount:
        """Input tokens of a request."""
        return await self._counting.count(request, meta)

    async def embed(self, request: EmbedRequest, meta: Meta) -> Embeddings:
        """One vector per text."""
        return await self._vectors.embed(request, meta)

    async def rerank(self, request: RerankRequest, meta: Meta) -> Reranked:
        """Documents, the best first."""
        return await self._vectors.rerank(request, meta)

    async def response(self, request: ResponseRef, meta: Meta) -> StoredResponse:
        """One that was kept for its owner."""
        return await self._desk.get(request, meta)

    async def delete_response(self, request: ResponseRef, meta: Meta) -> ResponseDeleted:
        """Forgets it."""
        return await self._desk.delete(request, meta)

    async def models(self, request: ModelsRequest, meta: Meta) -> Models:
        """The aliases that policy lets the caller use."""
        catalogue = self._models.current
        aliases = [catalogue.aliases[name] for name in sorted(catalogue.aliases)]
        allowed: list[Alias] = []
        for start in range(0, len(aliases), ASKED_AT_ONCE):
            group = aliases[start : start + ASKED_AT_ONCE]
            decisions = await self._boundary.evaluate_many([_may_use(alias) for alias in group], meta, honours=HONOURED)
            allowed += [alias for alias, decision in zip(group, decisions, strict=True) if decision.decision]
        names = {alias.name for alias in allowed}
        return Models(
            [alias.info() for alias in allowed],
            catalogue.default_chat if catalogue.default_chat in names else "",
            catalogue.default_embed if catalogue.default_embed in names else "",
        )

    def _kept(self, request: CompletionRequest, meta: Meta) -> KeptStream | None:
        """Where the stream may be kept: only who gets a head hears its name."""
        if not request.headed:
            if request.resumable:
                raise Failure(Code.INVALID, "a resumable stream is asked for with a head", param="resumable")
            return None
        claims = self._identities.claims(meta)
        return KeptStream(self._keep, claims.tenant, claims.sub, request.model, request.surface)


def _may_use(alias: Alias) -> Question:
    action = COMPLETE if CHAT in alias.kinds else EMBED if EMBEDDINGS in alias.kinds else RERANKING
    return Question(ActionName(action), Entity("Model", alias.name), new_id("att"))
