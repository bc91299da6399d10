"""The life of API keys: made, shown, renewed, ended. Each is an action that is decided and recorded."""

from dataclasses import dataclass

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.keys import (
    KeptKey,
    KeyCreate,
    KeyExpire,
    KeyListRequest,
    KeyPage,
    KeyRef,
    KeyRevoke,
    KeyRevoked,
    KeyRotate,
    KeyView,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Entity, Fact
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims, Identities
from services.policy.admin import Admin
from services.policy.identity.kept import KeptKeys
from services.policy.identity.keyring import PLANE, Keys
from services.policy.identity.keys import ApiKey
from services.policy.identity.made import check_digest, id_of, made, may_renew, no_agent, shown

CREATE, LIST, SHOW = "key.create", "key.list", "key.show"
ROTATE, EXPIRE, REVOKE = "key.rotate", "key.expire", "key.revoke"
ALL = "all"
PAGE_MAX = 500
REASON_MAX = 200


@dataclass(frozen=True)
class KeyHandlers:
    """Each is what an endpoint calls. `lifetime_max_s`: of a new key; `grace_max_s`: of the secret before."""

    keys: Keys
    kept: KeptKeys
    admin: Admin
    identities: Identities
    clock: Clock
    lifetime_max_s: float
    grace_max_s: float

    async def create(self, request: KeyCreate, meta: Meta) -> KeyView:
        claims = self.identities.claims(meta)
        key_id, subject = id_of(claims.tenant, request.digest), request.subject or claims.sub
        resource = _resource(key_id, claims, claims.tenant, subject, own=False)
        async with self.admin.action(CREATE, resource, meta, digest=request.digest):
            now = self.clock.now()
            by = self.keys.usable(claims.key, now) if claims.key else None
            key = await self.kept.create(made(request, claims, by, now, self.lifetime_max_s))
            return shown(key, PLANE, now)

    async def list(self, request: KeyListRequest, meta: Meta) -> KeyPage:
        """Those of the tenant, the operator's too."""
        if not 1 <= request.limit <= PAGE_MAX:
            raise Failure(Code.INVALID, f"limit must be from 1 to {PAGE_MAX}", param="limit")
        claims = self.identities.claims(meta)
        async with self.admin.action(LIST, _resource(ALL, claims, claims.tenant, "", own=False), meta):
            now = self.clock.now()
            found = [key for key in self.keys.of_tenant(claims.tenant) if key.id > request.after]
            page = found[: request.limit]
            views = tuple(shown(key, self.keys.source(key.id), now) for key in page)
            return KeyPage(views, page[-1].id if len(found) > len(page) else "")

    async def show(self, request: KeyRef, meta: Meta) -> KeyView:
        key, resource = self._found(request.id, meta)
        async with self.admin.action(SHOW, resource, meta):
            return shown(key, self.keys.source(key.id), self.clock.now())

    async def rotate(self, request: KeyRotate, meta: Meta) -> KeyView:
        """Tokens and runs under way go on: what is lost is revoked, not renewed."""
        check_digest(request.digest)
        if not 0 <= request.grace_s <= self.grace_max_s:
            raise Failure(Code.INVALID, f"grace_s must be from 0 to {self.grace_max_s:.0f}", param="grace_s")
        key, resource = self._found(request.id, meta)
        async with self.admin.action(ROTATE, resource, meta, digest=request.digest) as claims:
            now = self.clock.now()
            may_renew(key, claims, self.keys.usable(claims.key, now) if claims.key else None)
            self._of_the_plane(key)
            if not key.usable(now):
                raise Failure(Code.CONFLICT, "the key is not good any more: make a new one")
            await self.kept.change(key, lambda there: _renewed(there, request, now))
            return self._view(key.id)

    async def expire(self, request: KeyExpire, meta: Meta) -> KeyView:
        """Every token that came from the key ends with it."""
        key, resource = self._found(request.id, meta)
        if request.at <= 0 or (key.expires and request.at > key.expires):
            raise Failure(Code.INVALID, "a key can only end sooner than it would", param="at")
        async with self.admin.action(EXPIRE, resource, meta) as claims:
            no_agent(claims)
            await self.kept.end(key, claims.sub, "expired", request.at)
            await self.kept.change(key, lambda there: _ending(there, request.at))
            return self._view(key.id)

    async def revoke(self, request: KeyRevoke, meta: Meta) -> KeyRevoked:
        """First the tokens that are under way, then the key: whatever is cut off in between is refused."""
        if len(request.reason) > REASON_MAX or not request.reason.isprintable():
            why = f"reason must be at most {REASON_MAX} printable characters"
            raise Failure(Code.INVALID, why, param="reason")
        key, resource = self._found(request.id, meta)
        async with self.admin.action(REVOKE, resource, meta) as claims:
            no_agent(claims)
            now = self.clock.now()
            below = [one for one in self.keys.of_tenant(key.tenant) if key.id in one.above and one.usable(now)]
            ended = [key, *(below if request.below else ())]
            for one in ended:
                await self.kept.end(one, claims.sub, request.reason)
                await self.kept.change(one, lambda there: msgspec.structs.replace(there, revoked=there.revoked or now))
            left = () if request.below else tuple(one.id for one in below)
            return KeyRevoked(tuple(one.id for one in ended), left)

    def _view(self, key_id: str) -> KeyView:
        key = self.keys.get(key_id)
        if key is None:
            raise Failure(Code.NOT_FOUND, "there is no such key")
        return shown(key, self.keys.source(key_id), self.clock.now())

    def _found(self, key_id: str, meta: Meta) -> tuple[ApiKey, Entity]:
        """Another tenant's key is as good as none. Raises Failure(NOT_FOUND)."""
        claims = self.identities.claims(meta)
        key = self.keys.get(key_id)
        if key is None or key.tenant != claims.tenant:
            raise Failure(Code.NOT_FOUND, "there is no such key", param="id")
        return key, _resource(key.id, claims, key.tenant, key.subject, own=key.id == claims.key)

    def _of_the_plane(self, key: ApiKey) -> None:
        if self.keys.source(key.id) != PLANE:
            raise Failure(Code.CONFLICT, "this key stands in the operator's file and is renewed there")


def _resource(key_id: str, claims: Claims, tenant: str, owner: str, *, own: bool) -> Entity:
    properties: dict[str, Fact] = {"own": own, "owner": owner, "tenant": tenant}
    return Entity("Key", key_id, properties)


def _renewed(there: KeptKey, request: KeyRotate, now: float) -> KeptKey:
    if there.digest == request.digest:
        return there
    return msgspec.structs.replace(
        there,
        digest=request.digest,
        former=there.digest if request.grace_s else "",
        former_until=now + request.grace_s if request.grace_s else 0.0,
        rotated=now,
    )


def _ending(there: KeptKey, at: float) -> KeptKey:
    return msgspec.structs.replace(there, expires=min(there.expires or at, at))
