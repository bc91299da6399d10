"""Answers of chat models, whole and streamed, in the protocol that the caller speaks, from any provider."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import (
    ACCEPT_LOSSES,
    ANTHROPIC_MESSAGES,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    Completion,
    CompletionEnd,
    CompletionHead,
    CompletionRequest,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Fact, Reserve
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities
from penstock.kit.screened import screened_json
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.chain import Chain
from services.router.choosing.choose import Need
from services.router.composed import Composed
from services.router.config import Config
from services.router.minted import Minted, artefacts_of, may_hold
from services.router.models.catalogue import Alias
from services.router.models.current import Models
from services.router.models.deployment import CHAT, Deployment
from services.router.models.price import prices_sound, worst_case
from services.router.obliged.passage import screened
from services.router.passage import Passage, Terms, passage
from services.router.protocols.anthropic_messages.body import MessagesBody
from services.router.protocols.openai_responses.body import ResponsesBody
from services.router.protocols.protocol import Body, Needs, Protocol, Shape
from services.router.providers.provider import Ask
from services.router.providers.table import Providers
from services.router.responses.continued import Continued
from services.router.responses.keeper import Keeper, Keeping, Owner
from services.router.streams.audience import Audience
from services.router.streams.relay import Out, Relay
from services.router.target import headers_for, target_of, wire_of

Made = TypeVar("Made")
NOBODY = Owner("", "")

COMPLETE = "model.complete"
OUTPUT_GUESS_TOKENS = 4096
"""The output that is reserved for when neither the caller nor the deployment bounds it."""
THREAD_ABOVE_BYTES = 1024 * 1024
"""Larger bodies are read, translated and digested off the event loop."""
_ID_PREFIXES = {OPENAI_CHAT: "chatcmpl-", OPENAI_RESPONSES: "resp_", ANTHROPIC_MESSAGES: "msg_"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read."""

    request: CompletionRequest
    surface: Protocol
    body: Body
    alias: Alias
    need: Need
    wanted: Wanted
    terms: Terms
    created: int
    template: str = ""
    minted: Mapping[str, str] = field(default_factory=dict)
    """Where what the conversation holds was minted, "" where that is not known."""
    owner: Owner = NOBODY
    stored: ResponsesBody | None = None
    """Where the protocol keeps conversations: the caller's own request, with what it continues."""

    def shape(self, model: str, id: str = "") -> Shape:
        """How an answer of the provider's `model` is to be written."""
        named = _ID_PREFIXES.get(self.surface.name, "") + (id or new_id("att")).partition("_")[2]
        return Shape(model, named, self.created, self.body.wants_usage, self.body.echo)


class Completions:
    """Who serves a request is the chain's affair, how it is said the passage's; this brings them together."""

    def __init__(
        self,
        config: Config,
        models: Models,
        chain: Chain,
        providers: Providers,
        protocols: Mapping[str, Protocol],
        minted: Minted,
        keeper: Keeper,
        identities: Identities,
        clock: Clock,
    ) -> None:
        self._minted = minted
        self._keeper = keeper
        self._identities = identities
        self._config = config
        self._models = models
        self._chain = chain
        self._providers = providers
        self._protocols = protocols
        self._clock = clock

    async def whole(self, asked: Asked) -> Completion:
        """A whole answer."""

        async def work(attempt: Attempt) -> Completion:
            way = self._way(asked, attempt, streamed=False)
            ask = await self._ask(asked, attempt, way)
            attempt.sent = True
            sent = attempt.elapsed_s
            raw = await self._providers[attempt.deployment.provider].whole(ask)
            came = attempt.elapsed_s
            attempt.upstream_ms = (came - sent) * 1000
            answer, attempt.told = await off_loop(len(raw), way.answer, raw)
            attempt.translated_ms += (attempt.elapsed_s - came) * 1000
            attempt.losses = way.losses.all
            attempt.result_digest = await digest(raw)
            await self._note(asked, attempt)
            await self._keeper.keep(asked.owner, asked.stored, answer, attempt.deployment.endpoint)
            return Completion(msgspec.Raw(answer), attempt.served())

        return await self._chain.run(asked.alias, asked.need, asked.wanted, work, self._copy(asked))

    async def stream(self, asked: Asked, out: Out, audience: Audience) -> CompletionEnd:
        """Frames of whole server-sent events, after a head where one is wanted. `audience` is told who answers."""
        config = self._config

        async def work(attempt: Attempt) -> Attempt:
            way = self._way(asked, attempt, streamed=True)
            ask = await self._ask(asked, attempt, way)
            conveyor = way.conveyor()
            attempt.told = conveyor.told
            relay = Relay(
                attempt,
                conveyor,
                self._outward(asked, attempt, out, audience),
                event_max_bytes=config.event_max_bytes,
                held_max_bytes=config.held_max_bytes,
            )
            attempt.sent = True
            async with self._providers[attempt.deployment.provider].stream(ask) as pieces:
                await relay.run(pieces)
            attempt.losses = way.losses.all
            await self._note(asked, attempt)
            return attempt

        attempt = await self._chain.run(asked.alias, asked.need, asked.wanted, work, self._copy(asked))
        return CompletionEnd(attempt.served(), attempt.told.finish)

    async def read(self, request: CompletionRequest, meta: Meta, *, streamed: bool = False) -> Asked:
        """What is asked, of whom, under which conditions. Raises Failure(INVALID, NOT_FOUND)."""
        surface = self._protocols.get(request.surface)
        if surface is None:
            raise Failure(Code.INVALID, f"the protocol {request.surface[:40]!r} is not spoken here", param="surface")
        catalogue = self._models.current
        alias = self._models.named(request.model, CHAT)
        raw = bytes(request.body)
        body: Body = await off_loop(len(raw), surface.read, raw, request.model)
        claims = self._identities.claims(meta)
        owner = Owner(claims.tenant, claims.sub)
        stored = await self._keeper.opened(owner, body)
        body = stored or body
        template, title = request.prompt, ""
        if template is not None:
            found = catalogue.templates.find(template)
            title = found.title
            body = Composed(surface, body, found.render(template.variables))
            raw += msgspec.json.encode((title, template.variables))

        def reserve(deployment: Deployment) -> Reserve:
            most, rates = output_most(body, deployment), deployment.rates
            return worst_case(body.size.at_most, most, rates, audio=prices_sound(rates) and body.needs.audio)

        wanted = Wanted(
            COMPLETE,
            alias.name,
            meta,
            deadline=deadline(self._config, self._clock, meta),
            digest=await digest(raw),
            input_tokens=body.size.likely,
            reserve=reserve,
            facts=await self._facts(request, stored),
        )
        need = need_of(request, body, alias, owner, streamed=streamed)
        minted = await self._where_minted(owner, alias, surface, body, raw)
        created = int(self._clock.now())
        return Asked(
            request, surface, body, alias, need, wanted, Terms(request.losses), created, title, minted, owner, stored
        )

    async def _facts(self, request: CompletionRequest, stored: ResponsesBody | None) -> dict[str, Fact]:
        """What policy is told of the prompt, with what it continues and what it puts into a template."""
        if not self._config.screen:
            return {}
        raws = [bytes(request.body)]
        if request.prompt is not None:
            raws.append(msgspec.json.encode(request.prompt.variables))
        if stored is not None:
            raws += [bytes(item) for segment in stored.history for item in segment.items]
        return await screened_json(raws)

    async def _where_minted(
        self, owner: Owner, alias: Alias, surface: Protocol, body: Body, raw: bytes
    ) -> Mapping[str, str]:
        """The endpoint of everything in the conversation that only its endpoint honours; "" where nobody knows."""
        if (surface.name in alias.protocols and alias.endpoints == 1) or not may_hold(raw):
            return {}
        found = list(body.artefacts() if isinstance(body, MessagesBody) else artefacts_of(body.prompt()))
        return dict.fromkeys(found, "") | dict(await self._minted.endpoints(owner.tenant, found))

    def _way(self, asked: Asked, attempt: Attempt, *, streamed: bool) -> Passage:
        deployment = attempt.deployment
        wire = wire_of(asked.surface.name, deployment.protocols)
        headers = headers_for(wire, asked.surface.name, asked.request.headers)
        target = target_of(deployment, wire, headers, streamed=streamed)
        target = replace(target, output_tokens_max=attempt.duty.capped(deployment.output_tokens_max))
        shape = asked.shape(deployment.model, attempt.id)
        foreign = _foreign(asked, deployment)
        body = asked.body
        if isinstance(body, ResponsesBody) and OPENAI_RESPONSES not in deployment.protocols:
            body = body.honoured_at(deployment.endpoint)
        if foreign and isinstance(body, MessagesBody):
            body = body.without(foreign)
        elif foreign:
            body = Composed(asked.surface, body, foreign=foreign)
        way = passage(self._protocols, asked.surface.name, deployment.protocols, body, target, shape, asked.terms)
        way = screened(way, attempt.duty, self._protocols, asked.surface, shape)
        if asked.stored is not None and asked.stored.history:
            way = Continued(way, asked.stored.previous)
        if foreign:
            way.losses.note("messages", "thoughts and signatures that another endpoint minted are left out")
        attempt.surface, attempt.wire, attempt.template = asked.surface.name, way.wire, asked.template
        return way

    def _copy(self, asked: Asked) -> Callable[[Attempt], Awaitable[None]]:
        """The same for a deployment whose answer nobody sees: whole, and nothing of it is kept."""

        async def work(attempt: Attempt) -> None:
            way = self._way(asked, attempt, streamed=False)
            ask = await self._ask(asked, attempt, way)
            attempt.sent = True
            raw = await self._providers[attempt.deployment.provider].whole(ask)
            _, attempt.told = await off_loop(len(raw), way.answer, raw)
            attempt.result_digest = await digest(raw)

        return work

    def _outward(self, asked: Asked, attempt: Attempt, out: Out, audience: Audience) -> Out:
        if asked.stored is not None:
            out = Keeping(out, self._keeper, asked.owner, asked.stored, attempt.deployment.endpoint)
        return _Opening(out, attempt, audience, headed=asked.request.headed)

    async def _note(self, asked: Asked, attempt: Attempt) -> None:
        if attempt.told.artefacts:
            await self._minted.note(asked.need.tenant, attempt.told.artefacts, attempt.deployment.endpoint)

    async def _ask(self, asked: Asked, attempt: Attempt, way: Passage) -> Ask:
        """Raises Fault(UNFIT) before anybody was asked."""
        began = attempt.elapsed_s
        body = await off_loop(len(asked.request.body), way.request)
        attempt.translated_ms += (attempt.elapsed_s - began) * 1000
        attempt.losses = way.losses.all
        return Ask(
            attempt.deployment,
            body,
            attempt.watch,
            way.wire,
            headers_for(way.wire, asked.surface.name, asked.request.headers),
        )


def _foreign(asked: Asked, deployment: Deployment) -> frozenset[str]:
    """What this deployment would not honour. What nobody knows was minted by a provider of the caller's protocol."""
    if not asked.minted:
        return frozenset()
    own = {deployment.endpoint} | ({""} if asked.surface.name in deployment.protocols else set())
    return frozenset(name for name, endpoint in asked.minted.items() if endpoint not in own)


class _Opening:
    """Says who answers before the first frame of the answer."""

    __slots__ = ("_attempt", "_audience", "_headed", "_out", "_said")

    def __init__(self, out: Out, attempt: Attempt, audience: Audience, *, headed: bool) -> None:
        self._out = out
        self._attempt = attempt
        self._audience = audience
        self._headed = headed
        self._said = False

    async def send(self, data: bytes) -> None:
        if not self._said:
            self._said = True
            self._audience.serving(self._attempt)
            if self._headed:
                await self._out.send(msgspec.json.encode(CompletionHead(self._attempt.introduced())))
        await self._out.send(data)


def need_of(request: CompletionRequest, body: Body, alias: Alias, owner: Owner, *, streamed: bool) -> Need:
    """What the choice among deployments goes by."""
    output = max(output_most(body, deployment) for deployment in alias.deployments)
    needs = body.needs if alias.particular else Needs()
    return Need(
        CHAT,
        tools=needs.tools,
        tokens=body.size.at_most + output,
        schema=needs.schema,
        images=needs.images,
        documents=needs.documents,
        audio=needs.audio,
        reasoning=needs.reasoning,
        output_tokens=output,
        streamed=streamed,
        surface=request.surface,
        session=request.session,
        labels=request.labels,
        lossy_ok=request.losses == ACCEPT_LOSSES,
        tenant=owner.tenant,
        user=owner.subject,
    )


def output_most(body: Body, deployment: Deployment) -> int:
    """The longest output that this deployment may give, over all choices."""
    most = deployment.output_tokens_max
    own = body.output_tokens or most or OUTPUT_GUESS_TOKENS
    return body.choices * (min(own, most) if most else own)


def deadline(config: Config, clock: Clock, meta: Meta) -> float:
    """Of all attempts together, in the loop's time."""
    left_s = config.request_timeout_s
    if meta.deadline:
        left_s = min(left_s, meta.deadline - clock.now())
    return asyncio.get_running_loop().time() + left_s


async def off_loop(size: int, make: Callable[..., Made], *arguments: object) -> Made:
    """Calls `make`, in a thread where `size` bytes would hold up everybody else."""
    if size > THREAD_ABOVE_BYTES:
        return await asyncio.to_thread(make, *arguments)
    return make(*arguments)


async def digest(raw: bytes | msgspec.Raw) -> str:
    """sha256 in hex."""
    return await off_loop(len(raw), _sha256, raw)


def _sha256(raw: bytes | msgspec.Raw) -> str:
    return hashlib.sha256(raw).hexdigest()
