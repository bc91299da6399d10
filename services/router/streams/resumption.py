"""A kept stream as its owner comes back for it: decided like a call of its model, replayed, and followed to its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from penstock.bus import Bus, Stored
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, new_id
from penstock.contracts.llm import CompletionEnd, CompletionHead, KeptFrame, ResumeRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question
from penstock.contracts.subjects import LLM_KEPT
from penstock.kit.boundary import Boundary, Settlement
from penstock.kit.identity import Identities
from services.router.completion import COMPLETE
from services.router.obliged.duty import HONOURED
from services.router.streams.relay import Out

OUTCOME_MARGIN_S = 30.0


class Resumption:
    """Any router can: what is kept is the broker's."""

    def __init__(
        self, bus: Bus, boundary: Boundary, identities: Identities, *, silence_s: float, timeout_s: float
    ) -> None:
        """`silence_s`: a stream that says nothing for so long, not even that it is alive, has lost its router."""
        self._bus = bus
        self._boundary = boundary
        self._identities = identities
        self._silence_s = silence_s
        self._timeout_s = timeout_s

    async def stream(self, request: ResumeRequest, meta: Meta, out: Out) -> CompletionEnd:
        """A head, then every event after `request.after`, once and in order, then the end that the stream came to.

        Raises NOT_FOUND for what is not there, no more there, or somebody else's; what the stream failed with; and
        UNKNOWN_OUTCOME when part of it, or whoever was answering, was lost.
        """
        claims = self._identities.claims(meta)
        tenant = claims.tenant
        first = await self._first(tenant, request.stream)
        opening = first.body.opening
        if opening is None or opening.subject != claims.sub:
            raise _nothing()
        resource = Entity("Model", opening.alias, {"deployment": opening.served.deployment, "resumed": request.stream})
        question = Question(
            ActionName(COMPLETE), resource, new_id("att"), outcome_due_s=self._timeout_s + OUTCOME_MARGIN_S
        )
        async with self._boundary.action(question, meta, honours=HONOURED) as action:
            if action.obligations.texts != opening.obliged:
                raise Failure(Code.DENIED, "the stream was made under other obligations than hold now: ask anew")
            action.settle(Settlement(deployment=opening.served.deployment, surface=opening.surface, reason="resumed"))
            head = CompletionHead(opening.served, request.stream, opening.surface)
            await out.send(msgspec.json.encode(head))
            kept = self._bus.follow(LLM_KEPT, after=first.sequence, tenant=tenant, stream=request.stream)
            async with aclosing(kept):
                return await self._follow(kept, request.after, out)

    async def _first(self, tenant: str, stream: str) -> Stored[KeptFrame]:
        if not is_token(stream):
            raise _nothing()
        stored = await self._bus.read(LLM_KEPT, limit=1, tenant=tenant, stream=stream)
        if not stored:
            raise _nothing()
        return stored[0]

    async def _follow(self, kept: AsyncGenerator[Stored[KeptFrame], None], after: int, out: Out) -> CompletionEnd:
        have = after
        while True:
            piece = (await self._next(kept)).body
            if piece.n > have + 1:
                raise Failure(Code.UNKNOWN_OUTCOME, "part of the answer was not kept")
            if fresh := piece.events[have + 1 - piece.n :]:
                await out.send(b"".join(fresh))
                have += len(fresh)
            if piece.end is not None:
                return piece.end
            if piece.failure is not None:
                raise Failure.of(piece.failure)

    async def _next(self, kept: AsyncGenerator[Stored[KeptFrame], None]) -> Stored[KeptFrame]:
        try:
            async with asyncio.timeout(self._silence_s):
                return await anext(kept)
        except TimeoutError:
            raise Failure(Code.UNKNOWN_OUTCOME, "the router that was answering was lost") from None


def _nothing() -> Failure:
    return Failure(Code.NOT_FOUND, "there is no such stream", param="id")
