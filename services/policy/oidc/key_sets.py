"""The public keys of identity providers, by issuer and key id: fetched, kept for a while, fetched again.

A provider that is slow or away costs those nothing whose keys are known; keys that could not be renewed for too long
are believed no more.
"""

import asyncio
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.egress import AddressRefused, CheckedResolver
from penstock.kit.log import Log
from services.policy.oidc.providers import Provider, ProvidersRefused, check_url, refused

PublicKey = RSAKey | ECKey
WELL_KNOWN = "/.well-known/openid-configuration"
DOCUMENT_MAX_BYTES = 256 * 1024
KEYS_MAX = 100
KID_MAX = 256
RSA_CHARACTERS = range(342, 1367)
"""Of a modulus of 2048 to 8192 bits in base64url."""


class KeyTimes(msgspec.Struct, frozen=True):
    """`fetch_s`: one look, at most. `renew_s`: how old keys are when they are fetched again; `stale_max_s`: how old at
    most. `again_s`: at most one look in so long, whatever keys are named and whatever came of it."""

    fetch_s: float = 5.0
    renew_s: float = 600.0
    stale_max_s: float = 24 * 3600.0
    again_s: float = 10.0


class Jwk(msgspec.Struct, frozen=True):
    """`key`, and the one algorithm that it is for; "" is any of its kind."""

    key: PublicKey
    alg: str


class _Discovered(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _Set(msgspec.Struct):
    keys: list[dict[str, object]]


class _Known:
    """Of one provider. Times are monotonic."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.keys: Mapping[str, Jwk] = {}
        self.fetched = float("-inf")
        self.looked = float("-inf")
        self.looking: asyncio.Task[None] | None = None


class KeySets:
    """Close it at the end."""

    def __init__(self, clock: Clock, log: Log, times: KeyTimes) -> None:
        self._clock = clock
        self._log = log
        self._times = times
        self._known: dict[str, _Known] = {}

    async def key(self, provider: Provider, kid: str) -> Jwk:
        """Raises Failure UNAUTHENTICATED for a key that the provider does not have, UNAVAILABLE when it cannot be
        asked."""
        known = self._of(provider)
        age_s = self._clock.monotonic() - known.fetched
        if kid in known.keys and age_s <= self._times.stale_max_s:
            if age_s > self._times.renew_s:
                self._look(known)
            return known.keys[kid]
        looking = self._look(known)
        if looking is not None:
            # who leaves must not end the look for the others
            await asyncio.shield(looking)
        if self._clock.monotonic() - known.fetched > self._times.stale_max_s:
            raise Failure(Code.UNAVAILABLE, "the keys of the token's issuer cannot be had", retry_after_s=1.0)
        if kid not in known.keys:
            if known.looked > known.fetched:
                # the last look failed: who is not known to be bad is not refused as bad
                raise Failure(Code.UNAVAILABLE, "the keys of the token's issuer cannot be had", retry_after_s=1.0)
            raise refused("its key is not known to its issuer")
        return known.keys[kid]

    async def close(self) -> None:
        tasks = [known.looking for known in self._known.values() if known.looking is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _of(self, provider: Provider) -> _Known:
        known = self._known.get(provider.issuer)
        if known is None or known.provider != provider:
            known = self._known[provider.issuer] = _Known(provider)
        return known

    def _look(self, known: _Known) -> asyncio.Task[None] | None:
        """The look that is under way, or a new one when the last is long enough ago."""
        if known.looking is not None and not known.looking.done():
            return known.looking
        now = self._clock.monotonic()
        if now - known.looked < self._times.again_s:
            return None
        known.looked = now
        known.looking = asyncio.create_task(self._renew(known))
        return known.looking

    async def _renew(self, known: _Known) -> None:
        provider = known.provider
        try:
            async with asyncio.timeout(self._times.fetch_s):
                known.keys = await _fetched(provider)
        except (TimeoutError, AddressRefused, aiohttp.ClientError, OSError, Failure, ProvidersRefused) as error:
            why = str(error) or type(error).__name__
            self._log.warning("keys of an issuer could not be had", issuer=provider.issuer, why=why[:300])
            return
        known.fetched = known.looked


async def _fetched(provider: Provider) -> dict[str, Jwk]:
    resolver = CheckedResolver(provider.private_hosts)
    connector = aiohttp.TCPConnector(resolver=resolver, limit=2, force_close=True, use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        url = provider.jwks_url
        if not url:
            found = await _document(session, resolver, provider, provider.issuer.rstrip("/") + WELL_KNOWN, _Discovered)
            if found.issuer != provider.issuer:
                raise Failure(Code.UPSTREAM, "its metadata names another issuer")
            url = found.jwks_uri
        return public_keys((await _document(session, resolver, provider, url, _Set)).keys)


_Kind = TypeVar("_Kind", _Discovered, _Set)


async def _document(
    session: aiohttp.ClientSession, resolver: CheckedResolver, provider: Provider, url: str, kind: type[_Kind]
) -> _Kind:
    check_url(url, provider.private_hosts, provider.issuer)
    resolver.check(urlsplit(url).hostname or "")
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise Failure(Code.UPSTREAM, f"it answered {response.status}")
        body = await response.content.read(DOCUMENT_MAX_BYTES + 1)
        while len(body) <= DOCUMENT_MAX_BYTES and (more := await response.content.read(DOCUMENT_MAX_BYTES)):
            body += more
    if len(body) > DOCUMENT_MAX_BYTES:
        raise Failure(Code.UPSTREAM, "its answer is too large")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure(Code.UPSTREAM, "its answer cannot be read") from None


def public_keys(found: list[dict[str, object]]) -> dict[str, Jwk]:
    """Those that may check a signature: named, RSA or elliptic, for signing, long enough, public. Of two with one name
    neither: which of them is meant would be a guess."""
    keys: dict[str, Jwk] = {}
    twice: set[str] = set()
    for one in found[:KEYS_MAX]:
        kid, alg = one.get("kid"), one.get("alg", "")
        if not isinstance(kid, str) or not 0 < len(kid) <= KID_MAX or not isinstance(alg, str):
            continue
        key = _public(one)
        if key is None:
            continue
        if kid in keys:
            twice.add(kid)
        keys[kid] = Jwk(key, alg)
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _public(one: dict[str, object]) -> PublicKey | None:
    if one.get("kty") not in ("RSA", "EC") or one.get("use", "sig") != "sig":
        return None
    public = {name: one[name] for name in ("kty", "n", "e", "crv", "x", "y") if isinstance(one.get(name), str)}
    if one["kty"] == "RSA" and len(str(public.get("n", "")).rstrip("=")) not in RSA_CHARACTERS:
        return None
    try:
        key = import_key({name: str(value) for name, value in public.items()})
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None
