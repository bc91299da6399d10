"""Who stands behind a message: transaction tokens, minted by policy alone, checked by every service.

Compact JWS (RFC 7515, 7519) with Ed25519 only (RFC 8037); nested `act` as in RFC 8693, section 4.1.
"""

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from contextlib import aclosing

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from penstock.bus import Bus
from penstock.contracts.audit import Who
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS
from penstock.contracts.ids import is_token
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Key
from penstock.contracts.services import POLICY
from penstock.kit.clock import Clock
from penstock.kit.metrics import Metrics
from penstock.kit.revocations import KEY, STALE_MAX_S, Revocations, run_name, txn_name

ISSUER = "penstock"
AUDIENCE = "penstock"
ALGORITHM = "EdDSA"
TOKEN_KEY_USE = POLICY
"""Only a key whose `use` (who signs with it) is this may sign tokens: the notary's key may not."""
TOKEN_MAX_BYTES = 8 * 1024
TOKEN_TYPE = "txntoken+jwt"
"""Of OAuth Transaction Tokens (draft-ietf-oauth-transaction-tokens); RFC 8725, section 3.11: no other type is taken."""
CHAIN_MAX = 32
RELOAD_EVERY_S = 1.0
"""At most one look into the bucket in so long, however many unknown keys are named."""
KEYS_EVERY_S = 30.0
"""How often the keys are read although nothing was heard of them."""


class Account(msgspec.Struct, frozen=True, array_like=True):
    """One budget account; limits 0: none of its own."""

    name: str
    limit_nano: int = 0
    limit_tokens: int = 0


class Claims(msgspec.Struct, frozen=True):
    """What a verified token says. `sub` is the human or workload at the origin; `chain` the agents acting for it, the
    one acting now last; `accounts` from the widest to the narrowest; `lineage` the runs from the outermost to its own;
    `team` of who signed in without a key; `exp` Unix seconds."""

    tenant: str
    sub: str
    exp: float
    txn: str = ""
    chain: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    run: str = ""
    key: str = ""
    accounts: tuple[Account, ...] = ()
    iat: float = 0.0
    lineage: tuple[str, ...] = ()
    team: str = ""

    def revocable(self) -> tuple[str, ...]:
        """The names in the bucket `revocations`, any of which ends this token."""
        return (
            *((KEY + self.key,) if self.key else ()),
            *((txn_name(self.tenant, self.txn),) if self.txn else ()),
            *((run_name(self.tenant, self.run),) if self.run else ()),
            *(run_name(self.tenant, run) for run in self.lineage),
        )


def who(claims: Claims) -> Who:
    """As audit records say it."""
    return Who(claims.sub, claims.chain, claims.key)


class _Header(msgspec.Struct):
    alg: str
    kid: str
    typ: str = ""
    crit: msgspec.Raw | None = None


class _Actor(msgspec.Struct):
    sub: str
    act: "_Actor | None" = None


class _Payload(msgspec.Struct):
    iss: str
    aud: str | list[str]
    sub: str
    tenant: str
    exp: float
    txn: str = ""
    scope: str = ""
    act: _Actor | None = None
    tools: tuple[str, ...] = ()
    run: str = ""
    key: str = ""
    accounts: tuple[Account, ...] = ()
    iat: float = 0.0
    nbf: float = 0.0
    lineage: tuple[str, ...] = ()
    team: str = ""


_headers = msgspec.json.Decoder(_Header)
_payloads = msgspec.json.Decoder(_Payload)


class Identities:
    """Verifies tokens with the public keys of the bucket `keys`; remembers verified ones until they expire, and asks
    for each, every time, whether it was revoked since."""

    def __init__(
        self, bus: Bus, clock: Clock, metrics: Metrics, *, cached_max: int = 10_000, stale_max_s: float = STALE_MAX_S
    ) -> None:
        self.revocations = Revocations(bus, clock, stale_max_s=stale_max_s)
        self._bucket = bus.bucket(KEYS)
        self._clock = clock
        self._metrics = metrics
        self._cached_max = cached_max
        self._keys: dict[str, tuple[Ed25519PublicKey, float]] = {}
        self._cache: OrderedDict[bytes, tuple[str, Claims, tuple[str, ...]]] = OrderedDict()
        self._looked_at = float("-inf")
        self._answered = True
        self._looking = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """What the token says. Raises Failure UNAUTHENTICATED, or UNAVAILABLE when its key, or what was revoked, cannot
        be looked up."""
        await self.revocations.loaded()
        found = self._cached(token)
        if found is not None:
            return found
        kid = _kid(token)
        if kid not in self._keys:
            await self._look_for(kid)
        return self._check(token, kid)

    def claims(self, meta: Meta) -> Claims:
        """What the message's token says: for a handler, whose endpoint has verified it already.

        Raises Failure(UNAUTHENTICATED); a key not seen before counts as unknown (`verify` looks it up).
        """
        return self._cached(meta.token) or self._check(meta.token, _kid(meta.token))

    async def admit(self, meta: Meta, *, tenant_proven: bool) -> Meta:
        """Meta with the tenant that its token says. Raises Failure UNAUTHENTICATED, or DENIED for another tenant's.

        `tenant_proven`: meta.tenant comes from the subject, which the broker checked; otherwise it may be empty.
        """
        claims = self._cached(meta.token) or await self.verify(meta.token)
        if meta.tenant == claims.tenant:
            return meta
        if tenant_proven or meta.tenant:
            raise Failure(Code.DENIED, "the token belongs to another tenant")
        return msgspec.structs.replace(meta, tenant=claims.tenant)

    async def watch_keys(self) -> None:
        """For ever: a key that is new, or gone, is so here within moments. Raises Failure when the broker is away."""
        async with aclosing(self._bucket.watch(poll_s=KEYS_EVERY_S)) as watching:
            async for _ in watching:
                await self.refresh()

    async def refresh(self) -> None:
        """Reads all keys anew: a key that is gone from the bucket is no longer believed, nor what it signed."""
        keys = {}
        for entry in await self._bucket.entries():
            public = _public(entry.value)
            if public is not None:
                keys[entry.key] = public, entry.value.until
        self._keys = keys
        for digest in [digest for digest, (kid, _, _) in self._cache.items() if kid not in keys]:
            del self._cache[digest]

    async def _look_for(self, kid: str) -> None:
        """Who names a new key while it is looked up waits for that look. Raises Failure(UNAVAILABLE)."""
        unavailable = Failure(Code.UNAVAILABLE, "the key of the token cannot be looked up", retry_after_s=1.0)
        async with self._looking:
            if kid in self._keys:
                return
            if self._clock.monotonic() - self._looked_at < RELOAD_EVERY_S:
                if not self._answered:
                    raise unavailable  # who is not known to be bad is not refused as bad
                return
            self._looked_at = self._clock.monotonic()
            try:
                entry = await self._bucket.get(kid)
            except Failure as failure:
                self._answered = False
                self._looked_at = self._clock.monotonic()
                raise unavailable from failure
            self._answered = True
            public = None if entry is None else _public(entry.value)
            if entry is not None and public is not None:
                self._keys[kid] = public, entry.value.until

    def _cached(self, token: str) -> Claims | None:
        digest = _digest(token)
        found = self._cache.get(digest)
        if found is None:
            return None
        _, claims, names = found
        if claims.exp <= self._clock.now():
            del self._cache[digest]
            return None
        self._refuse_revoked(claims, names)
        self._cache.move_to_end(digest)
        self._metrics.tokens_verified.add("cached")
        return claims

    def _refuse_revoked(self, claims: Claims, names: tuple[str, ...]) -> None:
        if self.revocations.refused(names, claims.tenant):
            self._metrics.tokens_verified.add("revoked")
            raise _refused("it was revoked")

    def _check(self, token: str, kid: str) -> Claims:
        try:
            claims = self._verified(token, kid)
        except Failure:
            self._metrics.tokens_verified.add("refused")
            raise
        names = claims.revocable()
        self._refuse_revoked(claims, names)
        self._metrics.tokens_verified.add("verified")
        self._cache[_digest(token)] = (kid, claims, names)
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)
        return claims

    def _verified(self, token: str, kid: str) -> Claims:
        key, until = self._keys.get(kid, (None, 0.0))
        if key is None:
            raise _refused("its key is not known")
        if until and until <= self._clock.now():
            raise _refused("its key is good no more")
        signed, _, signature = token.rpartition(".")
        try:
            key.verify(_bytes(signature), signed.encode())
        except InvalidSignature:
            raise _refused("its signature is wrong") from None
        try:
            payload = _payloads.decode(_bytes(signed.partition(".")[2]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _refused("its claims cannot be read") from None
        return _claims(payload, self._clock.now())


def _claims(payload: _Payload, now: float) -> Claims:
    audiences = [payload.aud] if isinstance(payload.aud, str) else payload.aud
    if payload.iss != ISSUER or AUDIENCE not in audiences:
        raise _refused("it is meant for somebody else")
    if payload.exp <= now:
        raise _refused("it has expired")
    if payload.nbf > now:
        raise _refused("it is not valid yet")
    if not is_token(payload.tenant) or not payload.sub:
        raise _refused("it names nobody")
    if len(payload.lineage) > CHAIN_MAX:
        raise _refused("its chain is too long")
    return Claims(
        tenant=payload.tenant,
        sub=payload.sub,
        exp=payload.exp,
        txn=payload.txn,
        chain=_chain(payload.act),
        scopes=tuple(payload.scope.split()),
        tools=payload.tools,
        run=payload.run,
        key=payload.key,
        accounts=payload.accounts,
        iat=payload.iat,
        lineage=payload.lineage,
        team=payload.team,
    )


def _chain(act: _Actor | None) -> tuple[str, ...]:
    """The outermost `act` is who acts now, each nested one acted before it."""
    actors: list[str] = []
    while act is not None:
        if len(actors) >= CHAIN_MAX:
            raise _refused("its chain is too long")
        actors.append(act.sub)
        act = act.act
    return tuple(reversed(actors))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _kid(token: str) -> str:
    """The key that the token names. Raises Failure(UNAUTHENTICATED) for whatever is not one of our tokens."""
    if not token:
        raise Failure(Code.UNAUTHENTICATED, "a token is required")
    if len(token) > TOKEN_MAX_BYTES or not token.isascii() or token.count(".") != 2:
        raise _refused("it is not a signed token")
    try:
        header = _headers.decode(_bytes(token.partition(".")[0]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("its header cannot be read") from None
    if header.alg != ALGORITHM or header.crit is not None or header.typ != TOKEN_TYPE:
        raise _refused("it is signed in a way that is not allowed")
    if not is_token(header.kid):
        raise _refused("its key is not known")
    return header.kid


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("it is not base64url") from None


def _public(key: Key) -> Ed25519PublicKey | None:
    if key.use != TOKEN_KEY_USE:
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(_bytes(key.public))
    except (ValueError, Failure):
        return None


def _refused(why: str) -> Failure:
    return Failure(Code.UNAUTHENTICATED, f"the token is refused: {why}")
