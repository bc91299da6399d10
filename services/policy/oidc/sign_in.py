"""From a token that somebody else signed to who its bearer is here. What is checked: RFC 8725; RFC 9068, section 4."""

import base64
import binascii
import math
from collections.abc import Callable, Mapping

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from penstock.kit.clock import Clock
from services.policy.oidc.key_sets import KeySets
from services.policy.oidc.providers import Provider, SignedIn, person, refused

TOKEN_MAX_CHARACTERS = 16 * 1024
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""A token of another type (a logout, a proof of possession, one of our own) says something else."""


class _Header(msgspec.Struct):
    alg: str
    kid: str
    typ: str = ""
    crit: object = None


class _Issued(msgspec.Struct):
    iss: str


_headers = msgspec.json.Decoder(_Header)
_issued = msgspec.json.Decoder(_Issued)
_claims = msgspec.json.Decoder(dict[str, object])


class SignIn:
    """`providers` gives those in force now."""

    def __init__(self, providers: Callable[[], Mapping[str, Provider]], keys: KeySets, clock: Clock) -> None:
        self._providers = providers
        self._keys = keys
        self._clock = clock

    async def person(self, token: str) -> SignedIn:
        """Raises Failure UNAUTHENTICATED, or UNAVAILABLE when the issuer's keys cannot be had."""
        header, issuer = _read(token)
        provider = self._providers().get(issuer)
        if provider is None:
            raise refused("its issuer is not known here")
        if header.alg not in provider.algorithms or header.crit is not None or header.typ.lower() not in TYPES:
            raise refused("it is signed in a way that is not allowed")
        jwk = await self._keys.key(provider, header.kid)
        if jwk.alg and jwk.alg != header.alg:
            raise refused("its key is for another algorithm")
        registry = jws.JWSRegistry(algorithms=[header.alg], strict_check_header=False)
        try:
            payload = jws.deserialize_compact(token, jwk.key, registry=registry).payload
        except (JoseError, ValueError):
            raise refused("its signature is wrong") from None
        try:
            claims = _claims.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise refused("its claims cannot be read") from None
        return SignedIn(person(provider, claims), checked(provider, claims, self._clock.now()))


def checked(provider: Provider, claims: Mapping[str, object], now: float) -> float:
    """When it expires. Raises Failure(UNAUTHENTICATED) unless it is for us, and for now."""
    if claims.get("iss") != provider.issuer:
        raise refused("its issuer is another one")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in provider.audiences for one in audiences):
        raise refused("it is meant for somebody else")
    expires = _time(claims, "exp")
    if expires is None:
        raise refused("it does not say when it expires")
    begins, issued = _time(claims, "nbf"), _time(claims, "iat")
    if expires <= now - provider.leeway_s:
        raise refused("it has expired")
    if max(begins or 0.0, issued or 0.0) > now + provider.leeway_s:
        raise refused("it is not valid yet")
    if expires > max(issued or now, begins or 0.0) + provider.lifetime_max_s:
        raise refused("it is valid for too long")
    return expires


def _time(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise refused(f"its claim {name!r} is not a time")
    return float(value)


def _read(token: str) -> tuple[_Header, str]:
    """The header, and who is said to have issued it: not yet believed."""
    parts = token.split(".") if len(token) <= TOKEN_MAX_CHARACTERS and token.isascii() else []
    if len(parts) != 3:
        raise refused("it is not a signed token")
    try:
        return _headers.decode(_bytes(parts[0])), _issued.decode(_bytes(parts[1])).iss
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused("it cannot be read") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refused("it is not base64url") from None
