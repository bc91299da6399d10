"""How many input tokens a request has: asked of a provider that counts, or estimated where none does."""

import asyncio
from collections.abc import Mapping

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import REPORT_LOSSES, CountRequest, TokenCount
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Fact, Question, Reserve
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from penstock.kit.screened import screened_json
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.chain import Chain
from services.router.choosing.choose import Need
from services.router.completion import COMPLETE, deadline, digest, off_loop
from services.router.config import Config
from services.router.counters import COUNTERS, counts
from services.router.fault import Fault, FaultKind
from services.router.models.catalogue import Alias
from services.router.models.current import Models
from services.router.models.deployment import CHAT
from services.router.obliged.duty import HONOURED
from services.router.obliged.passage import screened
from services.router.passage import Terms, passage
from services.router.protocols.protocol import Body, Protocol, Shape
from services.router.providers.provider import Ask
from services.router.providers.table import Providers
from services.router.target import headers_for, target_of, wire_of

NO_SHAPE = Shape("", "", 0)
"""Nothing is answered in the caller's protocol but a number."""


class Counting:
    """Counting costs nothing at a provider, but it sends the prompt there: policy is asked as for an answer."""

    def __init__(
        self,
        config: Config,
        models: Models,
        chain: Chain,
        providers: Providers,
        protocols: Mapping[str, Protocol],
        boundary: Boundary,
        clock: Clock,
    ) -> None:
        self._boundary = boundary
        self._config = config
        self._models = models
        self._chain = chain
        self._providers = providers
        self._protocols = protocols
        self._clock = clock

    async def count(self, request: CountRequest, meta: Meta) -> TokenCount:
        """`estimated` unless a provider counted."""
        surface = self._protocols.get(request.surface)
        if surface is None:
            raise Failure(Code.INVALID, f"the protocol {request.surface[:40]!r} is not spoken here", param="surface")
        alias = self._models.named(request.model, CHAT)
        raw = bytes(request.body)
        body = await off_loop(len(raw), surface.read, raw, request.model)
        digested = await digest(raw)
        facts = await screened_json([raw]) if self._config.screen else {}
        counting = tuple(each for each in alias.deployments if counts(each, request.surface))
        if counting:
            try:
                return await self._counted(request, meta, alias.only(counting), surface, body, digested, facts)
            except Failure as failure:
                if failure.decision or (isinstance(failure, Fault) and failure.kind is FaultKind.CALLER):
                    raise
        question = Question(
            ActionName(COMPLETE), Entity("Model", alias.name), new_id("att"), arguments_digest=digested, context=facts
        )
        async with self._boundary.action(question, meta, honours=HONOURED):
            return TokenCount(body.size.likely, estimated=True)

    async def _counted(
        self,
        request: CountRequest,
        meta: Meta,
        alias: Alias,
        surface: Protocol,
        body: Body,
        digested: str,
        facts: dict[str, Fact],
    ) -> TokenCount:
        """By one of the deployments. Raises what `Chain.run` does."""
        soon = asyncio.get_running_loop().time() + self._config.count_timeout_s
        wanted = Wanted(
            COMPLETE,
            alias.name,
            meta,
            deadline=min(deadline(self._config, self._clock, meta), soon),
            digest=digested,
            input_tokens=0,
            reserve=lambda _: Reserve(0, 0),
            facts=facts,
        )

        async def work(attempt: Attempt) -> TokenCount:
            deployment = attempt.deployment
            counter = COUNTERS[wire_of(surface.name, deployment.protocols)]
            written = await off_loop(len(request.body), self._written, request, surface, body, attempt)
            headers = headers_for(attempt.wire, surface.name, request.headers)
            ask = Ask(deployment, counter.request(written, deployment.model), attempt.watch, counter.wire, headers)
            attempt.sent = True
            answer = await self._providers[deployment.provider].whole(ask)
            return TokenCount(counter.read(answer), served=attempt.served())

        return await self._chain.run(alias, Need(CHAT), wanted, work)

    def _written(self, request: CountRequest, surface: Protocol, body: Body, attempt: Attempt) -> bytes:
        """The request as this deployment would get it for an answer. Raises Fault(UNFIT)."""
        deployment = attempt.deployment
        wire = wire_of(surface.name, deployment.protocols)
        attempt.surface, attempt.wire = surface.name, wire
        headers = headers_for(wire, surface.name, request.headers)
        target = target_of(deployment, wire, headers)
        terms = Terms(REPORT_LOSSES)
        way = passage(self._protocols, surface.name, (wire,), body, target, NO_SHAPE, terms)
        return screened(way, attempt.duty, self._protocols, surface, NO_SHAPE).request()
