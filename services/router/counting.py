"""How many input tokens a request has: asked of a provider that counts in the caller's protocol, or estimated."""

from collections.abc import Mapping

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import CountRequest, TokenCount
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question, Reserve
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.chain import Chain
from services.router.choosing.choose import Need
from services.router.completion import COMPLETE, deadline, digest, off_loop
from services.router.config import Config
from services.router.fault import Fault, FaultKind
from services.router.models.current import Models
from services.router.models.deployment import CHAT
from services.router.protocols.anthropic_messages.body import MessagesBody
from services.router.protocols.protocol import Protocol
from services.router.providers.address import ANTHROPIC_COUNT
from services.router.providers.provider import Ask
from services.router.providers.table import Providers


class _Counted(msgspec.Struct):
    input_tokens: int


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
        counting = tuple(each for each in alias.deployments if request.surface in each.protocols)
        if not isinstance(body, MessagesBody) or not counting:
            question = Question(
                ActionName(COMPLETE), Entity("Model", alias.name), new_id("att"), arguments_digest=digested
            )
            async with self._boundary.action(question, meta):
                return TokenCount(body.size.likely, estimated=True)
        wanted = Wanted(
            COMPLETE,
            alias.name,
            meta,
            deadline=deadline(self._config, self._clock, meta),
            digest=digested,
            input_tokens=0,
            reserve=lambda _: Reserve(0, 0),
        )

        async def work(attempt: Attempt) -> TokenCount:
            counted = await self._ask(attempt, request, body)
            return TokenCount(counted.input_tokens, served=attempt.served())

        return await self._chain.run(alias.only(counting), Need(CHAT), wanted, work)

    async def _ask(self, attempt: Attempt, request: CountRequest, body: MessagesBody) -> _Counted:
        deployment = attempt.deployment
        ask = Ask(deployment, body.for_count(deployment.model), attempt.watch, ANTHROPIC_COUNT, request.headers)
        attempt.sent = True
        answer = await self._providers[deployment.provider].whole(ask)
        try:
            return msgspec.json.decode(answer, type=_Counted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Fault(FaultKind.GARBAGE, "the provider's answer is not a count") from None
