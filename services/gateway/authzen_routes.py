"""AuthZEN over HTTP: anybody with a credential asks policy whether they may do something that is done elsewhere."""

import msgspec

from penstock.bus import Bus
from penstock.contracts.governance import POLICY_EVALUATE, POLICY_EVALUATIONS
from penstock.contracts.policy import Questions
from services.gateway import authzen
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake

_evaluation = msgspec.json.Decoder(authzen.Evaluation)
_several = msgspec.json.Decoder(authzen.Several)


class AuthzenRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus = bus
        self._intake = intake

    async def evaluation(self, exchange: Exchange) -> int:
        """POST /access/v1/evaluation"""
        async with self._intake.body(exchange) as body:
            asked = head.read(_evaluation, body)
        return await self._one(exchange, asked)

    async def evaluations(self, exchange: Exchange) -> int:
        """POST /access/v1/evaluations"""
        async with self._intake.body(exchange) as body:
            asked = head.read(_several, body)
        if not asked.evaluations:
            return await self._one(exchange, asked)
        questions = Questions(authzen.several(asked, exchange.subject), strict=True)
        answer = await self._bus.call(POLICY_EVALUATIONS, questions, exchange.meta)
        shown = authzen.shown(answer.evaluations, asked.options.evaluations_semantic)
        return await exchange.reply(msgspec.json.encode({"evaluations": shown}))

    async def _one(self, exchange: Exchange, asked: authzen.Evaluation) -> int:
        question = authzen.single(asked, exchange.subject)
        decision = await self._bus.call(POLICY_EVALUATE, question, exchange.meta)
        return await exchange.reply(msgspec.json.encode(authzen.answered(decision)))
