"""What a key may be that is made through the plane: never more than who makes it. Pure."""

import hashlib
import re
from decimal import Decimal

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.keys import KeptKey, KeyCreate, KeyLimit, KeyView
from penstock.kit.identity import Claims
from services.policy.identity.keys import ABOVE_MAX, NAME_MAX, ApiKey, KeyRefused, checked
from services.policy.identity.scopes import InvalidScope, allows, scope
from services.policy.money.limits import NANO, Limit

OTHERS = "key:subjects"
"""The right to make, or to renew, keys of somebody else or of another team: who has it can act as them."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_periods = msgspec.json.Decoder(Limit)


def id_of(tenant: str, digest: str) -> str:
    """The one key id that a secret's digest stands for. Raises Failure(INVALID)."""
    check_digest(digest)
    return hashlib.sha256(f"key\n{tenant}\n{digest}".encode()).hexdigest()[:16]


def check_digest(digest: str) -> None:
    """Raises Failure(INVALID)."""
    if _DIGEST.match(digest) is None:
        raise Failure(Code.INVALID, "digest must be the SHA-256 of a new secret, 64 hex digits", param="digest")


def made(asked: KeyCreate, claims: Claims, by: ApiKey | None, now: float, lifetime_max_s: float) -> ApiKey:
    """The key that `claims`, whose own key is `by`, may have made. Raises Failure INVALID or DENIED."""
    no_agent(claims)
    if by is not None and len(by.above) >= ABOVE_MAX:
        raise Failure(Code.DENIED, f"keys may make keys {ABOVE_MAX} deep: ask who holds one further up")
    if len(asked.name) > NAME_MAX or not asked.name.isprintable():
        raise Failure(Code.INVALID, f"name must be at most {NAME_MAX} printable characters", param="name")
    subject = asked.subject or claims.sub
    own_team = by.team if by is not None else claims.team
    key = ApiKey(
        id=id_of(claims.tenant, asked.digest),
        digest=asked.digest,
        tenant=claims.tenant,
        subject=subject,
        scopes=_scopes(claims.scopes, asked.scopes),
        tools=_tools(claims.tools, asked.tools),
        team=asked.team or (own_team if subject == claims.sub else ""),
        agent=asked.agent,
        name=asked.name,
        limits=tuple(_limit(limit) for limit in asked.limits),
        created=now,
        expires=_expiry(asked.expires, by.expires if by is not None else 0.0, now, lifetime_max_s),
        above=(*by.above, by.id) if by is not None else (),
        creator=claims.key or claims.sub,
    )
    try:
        checked(key)
    except KeyRefused as refused:
        raise Failure(Code.INVALID, str(refused)) from refused
    _for_others(key.subject, key.team, claims, own_team)
    return key


def may_renew(key: ApiKey, claims: Claims, by: ApiKey | None) -> None:
    """A new secret is the key: who gets it may hold no less than the key does, or it is their own. Raises
    Failure(DENIED)."""
    no_agent(claims)
    if claims.key == key.id:
        return
    _scopes(claims.scopes, key.scopes, whole=True)
    _tools(claims.tools, key.tools)
    _for_others(key.subject, key.team, claims, by.team if by is not None else claims.team)


def no_agent(claims: Claims) -> None:
    """Keys are for those at the origin. Raises Failure(DENIED)."""
    if claims.chain or claims.run:
        raise Failure(Code.DENIED, "neither agents nor runs look after keys")


def _for_others(subject: str, team: str, claims: Claims, own_team: str) -> None:
    others = subject != claims.sub or (team and team != own_team)
    if others and OTHERS not in claims.scopes:
        raise Failure(Code.DENIED, f"keys of another subject or team need the scope {OTHERS}")


def _scopes(held: tuple[str, ...], asked: tuple[str, ...], *, whole: bool = False) -> tuple[str, ...]:
    kept: dict[str, None] = {}
    for one in asked:
        try:
            scope(one)
        except InvalidScope as error:
            raise Failure(Code.INVALID, str(error), param="scopes") from error
        if one == "*" and not whole:
            kept |= dict.fromkeys(have for have in held if ":" not in have)
        elif allows(held, one):
            kept[one] = None
        else:
            raise Failure(Code.DENIED, f"you do not hold the scope {one}", param="scopes")
    return tuple(kept)


def _tools(held: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in held:
        return tuple(dict.fromkeys(asked))
    missing = next((tool for tool in asked if tool != "*" and tool not in held), "")
    if missing:
        raise Failure(Code.DENIED, f"you may not call the tool {missing[:80]!r}", param="tools")
    return held if "*" in asked else tuple(dict.fromkeys(asked))


def _expiry(asked: float, held: float, now: float, lifetime_max_s: float) -> float:
    """As late as was asked for, and no later than the maker's key or the settings."""
    latest = min(held or now + lifetime_max_s, now + lifetime_max_s)
    if not asked:
        return latest
    if not now < asked:
        raise Failure(Code.INVALID, "expires must be a time to come, in Unix seconds", param="expires")
    if asked > latest:
        why = "your own key" if held and held <= latest else "the settings' longest life of a key"
        raise Failure(Code.DENIED, f"expires is later than {why} allows", param="expires")
    return asked


def _limit(asked: KeyLimit) -> Limit:
    """Raises Failure(INVALID)."""
    if min(asked.cost_nano, asked.tokens, asked.requests, asked.concurrency) < 0:
        raise Failure(Code.INVALID, "a limit must be 0 (none) or more", param="limits")
    document = {
        "usd": str(Decimal(asked.cost_nano) / NANO) if asked.cost_nano else None,
        "tokens": asked.tokens or None,
        "requests": asked.requests or None,
        "concurrency": asked.concurrency or None,
        "period": asked.period,
    }
    try:
        return msgspec.convert(document, Limit)
    except msgspec.ValidationError as error:
        raise Failure(Code.INVALID, f"limits: {error}", param="limits") from error


def on_the_wire(limit: Limit) -> KeyLimit:
    return KeyLimit(
        max(0, limit.nano), limit.tokens or 0, limit.requests or 0, limit.concurrency or 0, str(limit.period)
    )


def kept(key: ApiKey) -> KeptKey:
    """As it stands in the bucket."""
    return KeptKey(
        id=key.id,
        tenant=key.tenant,
        digest=key.digest,
        subject=key.subject,
        scopes=key.scopes,
        tools=key.tools,
        team=key.team,
        agent=key.agent,
        name=key.name,
        limits=tuple(on_the_wire(limit) for limit in key.limits),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
        rotated=key.rotated,
        former=key.former,
        former_until=key.former_until,
        above=key.above,
        creator=key.creator,
    )


def opened_up(found: KeptKey) -> ApiKey:
    """From the bucket. Raises KeyRefused, and Failure(INVALID) for limits that cannot be read."""
    return checked(
        ApiKey(
            id=found.id,
            digest=found.digest,
            tenant=found.tenant,
            subject=found.subject,
            scopes=found.scopes,
            tools=found.tools,
            team=found.team,
            agent=found.agent,
            name=found.name,
            limits=tuple(_limit(limit) for limit in found.limits),
            created=found.created,
            expires=found.expires,
            revoked=found.revoked,
            rotated=found.rotated,
            former=found.former,
            former_until=found.former_until,
            above=found.above,
            creator=found.creator,
        )
    )


def shown(key: ApiKey, source: str, now: float) -> KeyView:
    """Without anything of its secrets."""
    return KeyView(
        id=key.id,
        tenant=key.tenant,
        subject=key.subject,
        state="usable" if key.usable(now) else "revoked" if key.revoked else "expired",
        name=key.name,
        team=key.team,
        agent=key.agent,
        scopes=key.scopes,
        tools=key.tools,
        limits=tuple(on_the_wire(limit) for limit in key.limits),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
        rotated=key.rotated,
        grace=key.former_until if key.former_until > now else 0.0,
        creator=key.creator,
        source=source,
    )
