"""API keys over HTTP. A secret is made here, shown in one answer that nobody may keep, and goes no further: the plane
gets its digest."""

import msgspec

from penstock.bus import Bus
from penstock.contracts import governance
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.keys import (
    KeyCreate,
    KeyExpire,
    KeyLimit,
    KeyListRequest,
    KeyRef,
    KeyRevoke,
    KeyRotate,
    KeyView,
    credential,
    digest_of,
    new_secret,
)
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.intake import Intake
from services.gateway.request import number

NO_STORE = {"cache-control": "no-store"}


class _Create(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    subject: str = ""
    team: str = ""
    agent: str = ""
    scopes: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    limits: tuple[KeyLimit, ...] = ()
    expires: float = 0.0


class _Rotate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grace_s: float = 0.0


class _Expire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: float


class _Revoke(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    below: bool = False
    reason: str = ""


_creates = msgspec.json.Decoder(_Create)
_rotates = msgspec.json.Decoder(_Rotate)
_expires = msgspec.json.Decoder(_Expire)
_revokes = msgspec.json.Decoder(_Revoke)


class KeyRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus = bus
        self._intake = intake

    async def create(self, exchange: Exchange) -> int:
        """POST /v1/keys: the answer has the key, this once."""
        async with self._intake.body(exchange) as body:
            asked = head.read(_creates, body or b"{}")
        secret = new_secret()
        request = KeyCreate(digest_of(secret), **msgspec.structs.asdict(asked))
        view = await self._bus.call(governance.KEY_CREATE, request, exchange.meta, tenant=exchange.meta.tenant)
        return await _shown_once(exchange, view, secret, 201)

    async def all(self, exchange: Exchange) -> int:
        """GET /v1/keys?limit=&after="""
        query = exchange.request.query_params
        limit = number(query.get("limit", "100"))
        if limit is None or not 1 <= limit <= 500:
            raise Failure(Code.INVALID, "limit must be a whole number from 1 to 500", param="limit")
        request = KeyListRequest(limit, query.get("after", ""))
        page = await self._bus.call(governance.KEY_LIST, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(page))

    async def one(self, exchange: Exchange) -> int:
        """GET /v1/keys/{id}"""
        request = KeyRef(_id(exchange))
        view = await self._bus.call(governance.KEY_SHOW, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def rotate(self, exchange: Exchange) -> int:
        """POST /v1/keys/{id}/rotate: the answer has the new key, this once."""
        async with self._intake.body(exchange) as body:
            asked = head.read(_rotates, body or b"{}")
        secret = new_secret()
        request = KeyRotate(_id(exchange), digest_of(secret), asked.grace_s)
        view = await self._bus.call(governance.KEY_ROTATE, request, exchange.meta, tenant=exchange.meta.tenant)
        return await _shown_once(exchange, view, secret, 200)

    async def expire(self, exchange: Exchange) -> int:
        """POST /v1/keys/{id}/expire"""
        async with self._intake.body(exchange) as body:
            asked = head.read(_expires, body)
        request = KeyExpire(_id(exchange), asked.at)
        view = await self._bus.call(governance.KEY_EXPIRE, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def revoke(self, exchange: Exchange) -> int:
        """POST /v1/keys/{id}/revoke"""
        async with self._intake.body(exchange) as body:
            asked = head.read(_revokes, body or b"{}")
        return await self._revoked(exchange, KeyRevoke(_id(exchange), asked.below, asked.reason))

    async def delete(self, exchange: Exchange) -> int:
        """DELETE /v1/keys/{id}: revokes it; its name stays in the list, so that records of its use can be explained."""
        return await self._revoked(exchange, KeyRevoke(_id(exchange)))

    async def _revoked(self, exchange: Exchange, request: KeyRevoke) -> int:
        revoked = await self._bus.call(governance.KEY_REVOKE, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(revoked))


async def _shown_once(exchange: Exchange, view: KeyView, secret: str, status: int) -> int:
    body = msgspec.to_builtins(view) | {"key": credential(view.id, secret)}
    return await exchange.reply(msgspec.json.encode(body), status, headers=NO_STORE)


def _id(exchange: Exchange) -> str:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such key")
    return str(id)
