"""Bundles of policies and decisions of the past over HTTP."""

import msgspec

from penstock.bus import Bus
from penstock.contracts.bundles import (
    BundleRef,
    BundlesRequest,
    DecisionsRequest,
    ExplainRequest,
    Publish,
    Rollback,
)
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import (
    BUNDLE_LIST,
    BUNDLE_PUBLISH,
    BUNDLE_ROLLBACK,
    BUNDLE_SHOW,
    DECISIONS,
    EXPLAIN,
)
from penstock.contracts.ids import is_token
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.request import number

CURRENT = "current"
LIMIT_MAX = 1000

_publish = msgspec.json.Decoder(Publish)
_rollback = msgspec.json.Decoder(Rollback)


class PolicyRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus = bus
        self._intake = intake

    async def publish(self, exchange: Exchange) -> int:
        """POST /v1/policy/bundles"""
        async with self._intake.body(exchange) as body:
            request = head.read(_publish, body)
        published = await self._bus.call(BUNDLE_PUBLISH, request, exchange.meta, tenant=exchange.meta.tenant)
        location = {"location": f"/v1/policy/bundles/{published.version}"}
        return await exchange.reply(msgspec.json.encode(published), 201, headers=location)

    async def rollback(self, exchange: Exchange) -> int:
        """POST /v1/policy/rollback"""
        async with self._intake.body(exchange) as body:
            request = head.read(_rollback, body or b"{}")
        published = await self._bus.call(BUNDLE_ROLLBACK, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(published))

    async def all(self, exchange: Exchange) -> int:
        """GET /v1/policy/bundles?limit="""
        request = BundlesRequest(_limit(exchange, "20"))
        listed = await self._bus.call(BUNDLE_LIST, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(listed))

    async def one(self, exchange: Exchange) -> int:
        """GET /v1/policy/bundles/{version}, which may be `current`"""
        version = exchange.request.path_params["version"]
        request = BundleRef("" if version == CURRENT else version)
        view = await self._bus.call(BUNDLE_SHOW, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def decisions(self, exchange: Exchange) -> int:
        """GET /v1/policy/decisions?after=&limit=&tenant="""
        query = exchange.request.query_params
        after = number(query.get("after", "0"))
        if after is None:
            raise Failure(Code.INVALID, "after must be a whole number", param="after")
        request = DecisionsRequest(query.get("tenant", ""), after, _limit(exchange, "100"))
        page = await self._bus.call(DECISIONS, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(page))

    async def explain(self, exchange: Exchange) -> int:
        """GET /v1/policy/decisions/{id}/explanation?tenant="""
        decision = exchange.request.path_params["id"]
        if not is_token(decision):
            raise Failure(Code.NOT_FOUND, "there is no such decision")
        request = ExplainRequest(decision, exchange.request.query_params.get("tenant", ""))
        found = await self._bus.call(EXPLAIN, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(found))


def _limit(exchange: Exchange, usual: str) -> int:
    limit = number(exchange.request.query_params.get("limit", usual))
    if limit is None or not 1 <= limit <= LIMIT_MAX:
        raise Failure(Code.INVALID, f"limit must be a whole number from 1 to {LIMIT_MAX}", param="limit")
    return limit
