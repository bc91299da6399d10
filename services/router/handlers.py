"""The router's four endpoints."""

import asyncio
import hashlib

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import (
    OPENAI_CHAT,
    OPENAI_EMBEDDINGS,
    Completion,
    CompletionEnd,
    CompletionRequest,
    Embeddings,
    EmbedRequest,
    Models,
    ModelsRequest,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question, Reserve
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from services.router import chat_tap, embeddings
from services.router.attempt import Attempt, Wanted
from services.router.catalogue import Alias, Catalogue
from services.router.chain import Chain
from services.router.chat_body import ChatBody, read_chat
from services.router.chat_tap import ChatTap
from services.router.choose import Need
from services.router.config import Config
from services.router.deployment import CHAT, EMBEDDINGS, Deployment
from services.router.estimate import Size
from services.router.models import Models as LoadedModels
from services.router.price import worst_case
from services.router.providers.provider import Ask
from services.router.providers.table import Providers
from services.router.relay import Out, Relay

COMPLETE = "model.complete"
EMBED = "model.embed"
ASKED_AT_ONCE = 200
"""Aliases that policy is asked about in one question."""
THREAD_ABOVE_BYTES = 1024 * 1024
"""Larger bodies are digested off the event loop."""


class Handlers:
    """Thin: what to ask for and what to answer. Who serves it is the chain's, how it is asked the provider's."""

    def __init__(
        self,
        config: Config,
        models: LoadedModels,
        chain: Chain,
        providers: Providers,
        boundary: Boundary,
        clock: Clock,
    ) -> None:
        self._config = config
        self._models = models
        self._chain = chain
        self._providers = providers
        self._boundary = boundary
        self._clock = clock

    async def complete(self, request: CompletionRequest, meta: Meta) -> Completion:
        """A whole answer."""
        alias, body, wanted = await self._chat(request, meta)

        async def work(attempt: Attempt) -> Completion:
            deployment = attempt.deployment
            attempt.sent = True
            ask = Ask(deployment, body.for_upstream(deployment, streamed=False), attempt.watch)
            answer = await self._providers[deployment.provider].whole(ask)
            attempt.told = chat_tap.read_whole(answer)
            attempt.result_digest = await _digest(answer)
            return Completion(msgspec.Raw(answer), attempt.served())

        return await self._chain.run(alias, _need(body, alias), wanted, work)

    async def stream(self, request: CompletionRequest, meta: Meta, out: Out) -> CompletionEnd:
        """Frames of whole server-sent events, as the provider sent them."""
        alias, body, wanted = await self._chat(request, meta)
        config = self._config

        async def work(attempt: Attempt) -> Attempt:
            deployment = attempt.deployment
            tap = ChatTap(strip_usage=not body.wants_usage)
            attempt.told = tap.told
            relay = Relay(
                attempt, tap, out, event_max_bytes=config.event_max_bytes, held_max_bytes=config.held_max_bytes
            )
            ask = Ask(deployment, body.for_upstream(deployment, streamed=True), attempt.watch)
            attempt.sent = True
            async with self._providers[deployment.provider].stream(ask) as pieces:
                await relay.run(pieces)
            return attempt

        attempt = await self._chain.run(alias, _need(body, alias), wanted, work)
        return CompletionEnd(attempt.served(), attempt.told.finish)

    async def embed(self, request: EmbedRequest, meta: Meta) -> Embeddings:
        """One vector per text."""
        alias = self._named(request.model, self._models.current.default_embed)
        texts = request.texts
        if not 0 < len(texts) <= self._config.embed_texts_max:
            raise Failure(Code.INVALID, f"texts must be 1 to {self._config.embed_texts_max}", param="input")
        if not all(texts):
            raise Failure(Code.INVALID, "a text to embed must not be empty", param="input")
        raw = msgspec.json.encode(texts)
        size = Size(len(raw))
        wanted = Wanted(
            EMBED,
            alias.name,
            meta,
            deadline=self._deadline(meta),
            digest=await _digest(raw),
            input_tokens=size.likely,
            reserve=lambda deployment: worst_case(size.at_most, 0, deployment.rates),
        )

        async def work(attempt: Attempt) -> Embeddings:
            deployment = attempt.deployment
            attempt.sent = True
            ask = Ask(deployment, embeddings.request(deployment.model, texts), attempt.watch, OPENAI_EMBEDDINGS)
            answer = await self._providers[deployment.provider].whole(ask)
            vectors, attempt.told = embeddings.read(answer, len(texts))
            attempt.result_digest = await _digest(answer)
            return Embeddings(vectors, attempt.served())

        return await self._chain.run(alias, Need(EMBEDDINGS), wanted, work)

    async def models(self, request: ModelsRequest, meta: Meta) -> Models:
        """The aliases that policy lets the caller use."""
        catalogue = self._models.current
        aliases = [catalogue.aliases[name] for name in sorted(catalogue.aliases)]
        allowed: list[Alias] = []
        for start in range(0, len(aliases), ASKED_AT_ONCE):
            group = aliases[start : start + ASKED_AT_ONCE]
            decisions = await self._boundary.evaluate_many([_may_use(alias) for alias in group], meta)
            allowed += [alias for alias, decision in zip(group, decisions, strict=True) if decision.decision]
        names = {alias.name for alias in allowed}
        return Models(
            [alias.info() for alias in allowed],
            catalogue.default_chat if catalogue.default_chat in names else "",
            catalogue.default_embed if catalogue.default_embed in names else "",
        )

    async def _chat(self, request: CompletionRequest, meta: Meta) -> tuple[Alias, ChatBody, Wanted]:
        if request.surface != OPENAI_CHAT:
            raise Failure(Code.INVALID, f"the protocol {request.surface[:40]!r} is not spoken here", param="surface")
        alias = self._named(request.model, self._models.current.default_chat)
        body = read_chat(request.body)

        def reserve(deployment: Deployment) -> Reserve:
            return worst_case(body.size.at_most, body.output_for(deployment), deployment.rates)

        wanted = Wanted(
            COMPLETE,
            alias.name,
            meta,
            deadline=self._deadline(meta),
            digest=await _digest(request.body),
            input_tokens=body.size.likely,
            reserve=reserve,
        )
        return alias, body, wanted

    def _named(self, name: str, default: str) -> Alias:
        catalogue: Catalogue = self._models.current
        if not name and not default:
            raise Failure(Code.INVALID, "name a model: there is no default", param="model")
        return catalogue.find(name or default)

    def _deadline(self, meta: Meta) -> float:
        """In the loop's time."""
        left_s = self._config.request_timeout_s
        if meta.deadline:
            left_s = min(left_s, meta.deadline - self._clock.now())
        return asyncio.get_running_loop().time() + left_s


def _need(body: ChatBody, alias: Alias) -> Need:
    output = max(body.output_for(deployment) for deployment in alias.deployments)
    return Need(CHAT, body.has_tools, body.size.at_most + output)


def _may_use(alias: Alias) -> Question:
    action = COMPLETE if CHAT in alias.kinds else EMBED
    return Question(ActionName(action), Entity("Model", alias.name), new_id("att"))


async def _digest(raw: bytes | msgspec.Raw) -> str:
    """sha256 in hex."""
    if len(raw) > THREAD_ABOVE_BYTES:
        return await asyncio.to_thread(_sha256, raw)
    return _sha256(raw)


def _sha256(raw: bytes | msgspec.Raw) -> str:
    return hashlib.sha256(raw).hexdigest()
