"""API keys through the plane, and what was revoked.

A secret is made where it is shown (a client, or the HTTP edge) and never travels: the plane gets its SHA-256.
"""

import hashlib
import secrets

import msgspec

PREFIX = "psk"
API_KEY, OIDC = "api_key", "oidc"
"""Schemes of credentials."""


def new_secret() -> str:
    """256 random bits: a plain digest of them is enough, since there is nothing to guess."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of a secret: SHA-256, hex."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def credential(key_id: str, secret: str) -> str:
    """The key as its owner holds it: `psk_<key id>_<secret>`."""
    return f"{PREFIX}_{key_id}_{secret}"


def scheme_of(text: str) -> str:
    """What a credential has the form of: one of our keys, or a token that somebody else signed."""
    return OIDC if text.count(".") == 2 and not text.startswith(PREFIX + "_") else API_KEY


class Revocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stands in the bucket `revocations` under `key.<key id>`, `txn.<tenant>.<txn>` or
    `run.<tenant>.<run id>`.

    It refuses the tokens of `tenant` that come from that key or transaction, or from that run or any run below it,
    from `since` on (Unix seconds; 0 is at once, whatever a service's clock says). Never taken back.
    """

    tenant: str
    since: float = 0.0
    by: str = ""
    reason: str = ""


class KeyLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """The most that a key may use, per `period` (as in the limits file); 0 is no limit. Nano-dollars, tokens, actions,
    actions at once."""

    cost_nano: int = 0
    tokens: int = 0
    requests: int = 0
    concurrency: int = 0
    period: str = "total"


class KeyCreate(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A key of the caller's tenant, that may do no more than the caller. The same `digest` twice is one key. Unknown
    fields are refused: a misspelt bound must not be ignored.

    `subject`: user:<name> or workload:<name>, "" is the caller; `team`: "" is the caller's where the subject is too.
    `agent`: agent:<name>, when an agent uses it for the subject. `*` in `scopes` is whatever the caller holds but for
    rights with a colon, which are named one by one; `*` in `tools` is all that the caller may call. `expires`: Unix
    seconds, 0 as late as the caller's.
    """

    digest: str
    name: str = ""
    subject: str = ""
    team: str = ""
    agent: str = ""
    scopes: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    limits: tuple[KeyLimit, ...] = ()
    expires: float = 0.0


class KeyRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key of the caller's tenant. Another tenant's is simply not found."""

    id: str


class KeyRotate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new secret; the one before is good for `grace_s` seconds more. The same `digest` twice is one rotation."""

    id: str
    digest: str
    grace_s: float = 0.0


class KeyExpire(msgspec.Struct, frozen=True, omit_defaults=True):
    """The key ends at `at` (Unix seconds), sooner than it would; never later."""

    id: str
    at: float


class KeyRevoke(msgspec.Struct, frozen=True, omit_defaults=True):
    """The key and every token that came from it end now. `below`: the keys that were made with it too."""

    id: str
    below: bool = False
    reason: str = ""


class KeyListRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keys in the order of their ids; `after` is the id that ended the page before."""

    limit: int = 100
    after: str = ""


class KeyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key without its secret. Times in Unix seconds, 0 is never. `state`: usable, expired, revoked. `source`: plane,
    or file for the operator's. `grace`: until when the secret before the last rotation is good. `creator`: the key, or
    the subject, that made it."""

    id: str
    tenant: str
    subject: str
    state: str
    name: str = ""
    team: str = ""
    agent: str = ""
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    limits: tuple[KeyLimit, ...] = ()
    created: float = 0.0
    expires: float = 0.0
    revoked: float = 0.0
    rotated: float = 0.0
    grace: float = 0.0
    creator: str = ""
    source: str = "plane"


class KeyPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`next`: give it as `after`; empty at the end."""

    keys: tuple[KeyView, ...]
    next: str = ""


class KeyRevoked(msgspec.Struct, frozen=True, omit_defaults=True):
    """`ids`: what was revoked. `left`: keys made with them that are still good."""

    ids: tuple[str, ...]
    left: tuple[str, ...] = ()


class KeptKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key in the bucket `api_keys`, under its id. `above`: the keys that it was made with, the first first: what it
    spends, they spend. For a key of the operator's file only `revoked` and `expires` count."""

    id: str
    tenant: str
    digest: str = ""
    subject: str = ""
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    team: str = ""
    agent: str = ""
    name: str = ""
    limits: tuple[KeyLimit, ...] = ()
    created: float = 0.0
    expires: float = 0.0
    revoked: float = 0.0
    rotated: float = 0.0
    former: str = ""
    former_until: float = 0.0
    above: tuple[str, ...] = ()
    creator: str = ""
