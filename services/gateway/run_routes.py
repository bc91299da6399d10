"""Runs over HTTP: who acted for whom, and the end of a run with all below it."""

import msgspec

from penstock.bus import Bus
from penstock.contracts.delegation import ChainRequest, RunRevoke
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import CHAIN, RUN_REVOKE
from penstock.contracts.ids import is_token
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.request import number


class _Revoke(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str = ""


_revokes = msgspec.json.Decoder(_Revoke)


class RunRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus = bus
        self._intake = intake

    async def chain(self, exchange: Exchange) -> int:
        """GET /v1/runs/{id}/chain?limit=&after=: of a run, a job or a transaction."""
        query = exchange.request.query_params
        limit, after = number(query.get("limit", "100")), number(query.get("after", "0"))
        if limit is None or after is None:
            raise Failure(Code.INVALID, "limit and after must be whole numbers", param="limit")
        request = ChainRequest(_id(exchange), limit, after)
        chain = await self._bus.call(CHAIN, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(chain))

    async def revoke(self, exchange: Exchange) -> int:
        """POST /v1/runs/{id}/revoke"""
        id = _id(exchange)
        async with self._intake.body(exchange) as body:
            asked = head.read(_revokes, body or b"{}")
        request = RunRevoke(id, asked.reason)
        revoked = await self._bus.call(RUN_REVOKE, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(revoked))


def _id(exchange: Exchange) -> str:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such run")
    return str(id)
