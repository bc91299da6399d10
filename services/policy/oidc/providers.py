"""The file of identity providers: who may sign tokens for whom, and what their claims mean here. Pure.

Fail closed: what is not said is not granted, a claim that is missing or of another kind refuses the token.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from services.policy.identity.scopes import COUNT_MAX, InvalidScope, scope

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signatures with a private key alone: neither `none` nor one that whoever knows the public key can make."""
Path = str | list[str]
"""A claim by its name, whatever characters it has, or by the names on the way to it."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
VALUES_MAX = 1000
LIFETIME_MAX_S = 24 * 3600.0


class ProvidersRefused(Exception):
    """A file that cannot be used; the sentence says what to write."""


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text: `value` as it stands, or what `claim` says, looked up in `map` where there is one, after `prefix`."""

    value: str = ""
    claim: Path = ""
    map: dict[str, str] | None = None
    prefix: str = ""


class Granted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scopes: `always`, and what `map` gives for each value of `claim` (a list, or words with spaces between)."""

    always: tuple[str, ...] = ()
    claim: Path = ""
    map: dict[str, tuple[str, ...]] = {}


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer, named as its tokens name it. `require`: claims that must be exactly so, or one of these. `kind`: what
    its subjects are here. `private_hosts`: hosts that may be at private addresses, and may be asked without TLS."""

    issuer: Text
    audiences: tuple[Text, ...]
    tenant: Named
    scopes: Granted
    subject: Named = Named(claim="sub")
    team: Named | None = None
    tools: tuple[str, ...] = ("*",)
    kind: Literal["user", "workload"] = "user"
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    jwks_url: str = ""
    require: dict[str, str | bool | list[str]] = {}
    private_hosts: tuple[str, ...] = ()
    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30.0
    lifetime_max_s: Annotated[float, msgspec.Meta(gt=0, le=LIFETIME_MAX_S)] = LIFETIME_MAX_S


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[Provider, ...] = ()


class Person(msgspec.Struct, frozen=True):
    """Who the bearer of a token is here."""

    tenant: str
    subject: str
    team: str
    scopes: tuple[str, ...]
    tools: tuple[str, ...]


class SignedIn(msgspec.Struct, frozen=True):
    """`expires`: when what they came with does, Unix seconds."""

    person: Person
    expires: float


def parse_providers(text: str) -> dict[str, Provider]:
    """Providers by issuer. Raises ProvidersRefused."""
    try:
        file = msgspec.yaml.decode(text.encode(), type=_File | None) or _File()
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ProvidersRefused(f"the providers cannot be read: {error}") from error
    found: dict[str, Provider] = {}
    for provider in file.providers:
        if provider.issuer in found:
            raise ProvidersRefused(f"{provider.issuer} stands there twice")
        _check(provider)
        found[provider.issuer] = provider
    return found


def person(provider: Provider, claims: Mapping[str, object]) -> Person:
    """Who this is. Raises Failure(UNAUTHENTICATED), which names the claim and never its value."""
    for name, wanted in provider.require.items():
        if not _is(claims.get(name), wanted):
            raise refused(f"its claim {name!r} is not as it must be")
    tenant = _text("tenant", provider.tenant, claims)
    if not is_token(tenant):
        raise refused("its tenant is not a name that can be used here")
    name = _text("subject", provider.subject, claims)
    if _NAME.match(name) is None:
        raise refused("its subject is not a name that can be used here: map another claim, or give it a prefix")
    team = _text("team", provider.team, claims) if provider.team is not None else ""
    if team and _TEAM.match(team) is None:
        raise refused("its team is not a name that can be used here")
    scopes = _scopes(provider.scopes, claims)
    return Person(tenant, f"{provider.kind}:{name}", team, scopes, provider.tools)


def refused(why: str) -> Failure:
    """The token is not taken."""
    return Failure(Code.UNAUTHENTICATED, f"the token is refused: {why}")


def _text(what: str, named: Named, claims: Mapping[str, object]) -> str:
    if named.value:
        return named.value
    found = _at(claims, named.claim)
    if not isinstance(found, str) or not found:
        raise refused(f"the claim for its {what} is not there, or no text")
    if named.map is not None:
        if found not in named.map:
            raise refused(f"the claim for its {what} has a value that is not known here")
        return named.map[found]
    return named.prefix + found


def _scopes(granted: Granted, claims: Mapping[str, object]) -> tuple[str, ...]:
    kept = dict.fromkeys(granted.always)
    if granted.claim:
        found = _at(claims, granted.claim)
        values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        for value in values[:VALUES_MAX]:
            if isinstance(value, str):
                kept |= dict.fromkeys(granted.map.get(value, ()))
    if not kept:
        raise refused("it gives its bearer nothing to do here")
    return tuple(kept)


def _at(claims: Mapping[str, object], path: Path) -> object:
    found: object = claims
    for name in [path] if isinstance(path, str) else path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _is(found: object, wanted: str | bool | list[str]) -> bool:
    if isinstance(wanted, bool):
        return found is wanted
    values = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(found, list):
        return any(isinstance(one, str) and one in values for one in found)
    return isinstance(found, str) and found in values


def _check(provider: Provider) -> None:
    """Raises ProvidersRefused."""
    where = provider.issuer
    for url in (provider.issuer, provider.jwks_url or provider.issuer):
        check_url(url, provider.private_hosts, where)
    if not provider.audiences:
        raise ProvidersRefused(f"{where}: audiences: name the edge as the provider's tokens do")
    if not provider.algorithms:
        raise ProvidersRefused(f"{where}: algorithms: name at least one")
    for what, named in (("tenant", provider.tenant), ("subject", provider.subject), ("team", provider.team)):
        if named is not None and bool(named.value) == bool(named.claim):
            raise ProvidersRefused(f"{where}: {what}: write either a value or a claim")
    if provider.tenant.value and not is_token(provider.tenant.value):
        raise ProvidersRefused(f"{where}: tenant: write 1 to 64 of A-Z a-z 0-9 _ and -")
    granted = (*provider.scopes.always, *(one for many in provider.scopes.map.values() for one in many))
    if len(granted) > COUNT_MAX or not granted:
        raise ProvidersRefused(f"{where}: scopes: write 1 to {COUNT_MAX}")
    try:
        for one in granted:
            scope(one)
    except InvalidScope as error:
        raise ProvidersRefused(f"{where}: scopes: {error}") from error


def check_url(url: str, private_hosts: tuple[str, ...], where: str) -> None:
    """Raises ProvidersRefused unless it is https, or http to a host that is named as private."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    plain = parts.scheme == "http" and host in private_hosts
    if not host or parts.username is not None or parts.fragment or not (parts.scheme == "https" or plain):
        raise ProvidersRefused(f"{where}: {url[:200]!r} is no address to be used. Write https://<host>/<path>")
