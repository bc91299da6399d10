"""Accounts: what is left in them, and what they were used for. HTTP in, bus out."""

import math
from urllib.parse import quote, urlencode

import msgspec

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import ACCOUNT_STATEMENT, ACCOUNTS
from penstock.contracts.money import AccountsRequest, StatementLine, StatementRequest
from penstock.kit.sheet import sheet
from services.gateway.exchange import Exchange
from services.gateway.request import number

CSV = "text/csv"


class AccountRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def all(self, exchange: Exchange) -> int:
        """GET /v1/accounts: those that the caller's actions are paid from."""
        return await self._balances(exchange, AccountsRequest())

    async def one(self, exchange: Exchange) -> int:
        """GET /v1/accounts/{name}: one account of the tenant."""
        return await self._balances(exchange, AccountsRequest(exchange.request.path_params["name"]))

    async def statement(self, exchange: Exchange) -> int:
        """GET /v1/accounts/{name}/statement?since=&until=&limit=&after=&format=json|csv (or Accept: text/csv: the
        lines alone; the address of the next page is in the header Link)."""
        request = statement_request(exchange)
        meta = exchange.meta
        statement = await self._bus.call(ACCOUNT_STATEMENT, request, meta, tenant=meta.tenant)
        query = exchange.request.query_params
        wants_csv = query.get("format", "") == "csv" or exchange.request.headers.get("accept", "").startswith(CSV)
        headers = {"link": f'<{_next(exchange, statement.next)}>; rel="next"'} if statement.next else {}
        if not wants_csv:
            return await exchange.reply(msgspec.json.encode(statement), headers=headers)
        headers["content-type"] = f"{CSV}; charset=utf-8; header=present"
        return await exchange.reply(sheet(StatementLine, statement.lines).encode(), headers=headers)

    async def _balances(self, exchange: Exchange, request: AccountsRequest) -> int:
        listed = await self._bus.call(ACCOUNTS, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(listed))


def statement_request(exchange: Exchange) -> StatementRequest:
    """Raises Failure(INVALID), which names the parameter."""
    query = exchange.request.query_params
    times = {name: _seconds(name, query.get(name, "0")) for name in ("since", "until")}
    limit = number(query.get("limit", "100"))
    if limit is None:
        raise Failure(Code.INVALID, "limit must be a whole number", param="limit")
    if query.get("format", "json") not in ("json", "csv"):
        raise Failure(Code.INVALID, "format must be json or csv", param="format")
    name = exchange.request.path_params["name"]
    return StatementRequest(name, times["since"], times["until"], limit, query.get("after", ""))


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Failure(Code.INVALID, f"{name} must be Unix seconds", param=name)
    return seconds


def _next(exchange: Exchange, after: str) -> str:
    query = {**exchange.request.query_params, "after": after}
    return f"/v1/accounts/{quote(exchange.request.path_params['name'], safe=':@')}/statement?{urlencode(query)}"
