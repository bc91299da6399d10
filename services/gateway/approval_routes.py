"""Approvals over HTTP: what waits for people, one of them, and an answer."""

from typing import Literal

import msgspec

from penstock.bus import Bus
from penstock.contracts.approvals import ApprovalAnswer, ApprovalListRequest, ApprovalRef
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import APPROVAL_ANSWER, APPROVAL_GET, APPROVAL_LIST
from penstock.contracts.ids import is_token
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.request import number


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    answer: Literal["approve", "deny"]
    reason: str = ""


_answers = msgspec.json.Decoder(_Answer)


class ApprovalRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus = bus
        self._intake = intake

    async def all(self, exchange: Exchange) -> int:
        """GET /v1/approvals?state=&limit=&before="""
        query = exchange.request.query_params
        limit = number(query.get("limit", "50"))
        if limit is None or not 1 <= limit <= 200:
            raise Failure(Code.INVALID, "limit must be a whole number from 1 to 200", param="limit")
        request = ApprovalListRequest(query.get("state", ""), limit, query.get("before", ""))
        page = await self._bus.call(APPROVAL_LIST, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(page))

    async def one(self, exchange: Exchange) -> int:
        """GET /v1/approvals/{id}"""
        ref = ApprovalRef(_id(exchange))
        approval = await self._bus.call(APPROVAL_GET, ref, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(approval))

    async def answer(self, exchange: Exchange) -> int:
        """POST /v1/approvals/{id}/answer"""
        id = _id(exchange)
        async with self._intake.body(exchange) as body:
            said = head.read(_answers, body)
        answer = ApprovalAnswer(id, said.answer, said.reason)
        approval = await self._bus.call(APPROVAL_ANSWER, answer, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(approval))


def _id(exchange: Exchange) -> str:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such approval")
    return str(id)
