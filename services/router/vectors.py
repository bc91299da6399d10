"""Embeddings and reranking: one request, one whole answer, no protocol of the caller's."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import GEMINI_GENERATE, OPENAI_EMBEDDINGS, Embeddings, EmbedRequest, Reranked, RerankRequest
from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock
from penstock.kit.screened import screened
from services.router import embeddings, reranking
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.chain import Chain
from services.router.choosing.choose import Need
from services.router.completion import deadline, digest, off_loop
from services.router.config import Config
from services.router.estimate import Size
from services.router.models.catalogue import Alias
from services.router.models.current import Models
from services.router.models.deployment import EMBEDDINGS, RERANK
from services.router.models.price import worst_case
from services.router.obliged.request import outward_texts
from services.router.protocols.gemini_generate import embeddings as gemini_embeddings
from services.router.providers.address import GEMINI_EMBED, RERANK_WIRE
from services.router.providers.provider import Ask
from services.router.providers.table import Providers

EMBED = "model.embed"
RERANKING = "model.rerank"


class Vectors:
    """Embeds and ranks."""

    def __init__(self, config: Config, models: Models, chain: Chain, providers: Providers, clock: Clock) -> None:
        self._config = config
        self._models = models
        self._chain = chain
        self._providers = providers
        self._clock = clock

    async def embed(self, request: EmbedRequest, meta: Meta) -> Embeddings:
        """One vector per text."""
        alias = self._models.named(request.model, EMBEDDINGS)
        texts = self._texts(request.texts, "input")
        if request.dimensions < 0:
            raise Failure(Code.INVALID, "dimensions must not be negative", param="dimensions")

        async def work(attempt: Attempt) -> Embeddings:
            deployment = attempt.deployment
            gemini = GEMINI_GENERATE in deployment.protocols
            wire = gemini_embeddings if gemini else embeddings
            sent = outward_texts(texts, attempt.duty.transform)
            asked = wire.request(deployment.model, sent, request.dimensions)
            answer = await self._answer(attempt, asked, GEMINI_EMBED if gemini else OPENAI_EMBEDDINGS)
            vectors, attempt.told = await off_loop(len(answer), wire.read, answer, len(texts))
            return Embeddings(vectors, attempt.served())

        wanted = await self._wanted(EMBED, alias, texts, meta)
        return await self._chain.run(alias, Need(EMBEDDINGS), wanted, work)

    async def rerank(self, request: RerankRequest, meta: Meta) -> Reranked:
        """The documents, the best first."""
        alias = self._models.named(request.model, RERANK)
        documents = self._texts(request.documents, "documents")
        if not request.query:
            raise Failure(Code.INVALID, "query must not be empty", param="query")
        if not 0 <= request.top_n <= len(documents):
            raise Failure(Code.INVALID, f"top_n must be 0 to {len(documents)}", param="top_n")

        async def work(attempt: Attempt) -> Reranked:
            query, *sent = outward_texts([request.query, *documents], attempt.duty.transform)
            asked = reranking.request(attempt.deployment.model, query, sent, request.top_n)
            answer = await self._answer(attempt, asked, RERANK_WIRE)
            results, attempt.told = reranking.read(answer, len(documents), request.top_n)
            return Reranked(results, attempt.served())

        again = len(request.query.encode()) * len(documents)  # the query is read with each document
        wanted = await self._wanted(RERANKING, alias, documents, meta, more_bytes=again, query=request.query)
        return await self._chain.run(alias, Need(RERANK), wanted, work)

    async def _answer(self, attempt: Attempt, asked: bytes, wire: str) -> bytes:
        attempt.sent = True
        attempt.wire = wire
        answer = await self._providers[attempt.deployment.provider].whole(
            Ask(attempt.deployment, asked, attempt.watch, wire)
        )
        attempt.result_digest = await digest(answer)
        return answer

    async def _wanted(
        self, action: str, alias: Alias, texts: list[str], meta: Meta, *, more_bytes: int = 0, query: str = ""
    ) -> Wanted:
        raw = msgspec.json.encode(texts)
        size = Size(len(raw) + more_bytes)
        return Wanted(
            action,
            alias.name,
            meta,
            deadline=deadline(self._config, self._clock, meta),
            digest=await digest(raw),
            input_tokens=size.likely,
            reserve=lambda deployment: worst_case(size.at_most, 0, deployment.rates),
            facts=await screened([query, *texts]) if self._config.screen else {},
        )

    def _texts(self, texts: list[str], param: str) -> list[str]:
        if not 0 < len(texts) <= self._config.embed_texts_max:
            raise Failure(Code.INVALID, f"{param} must hold 1 to {self._config.embed_texts_max} texts", param=param)
        if not all(texts):
            raise Failure(Code.INVALID, "a text must not be empty", param=param)
        return texts
