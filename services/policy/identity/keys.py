"""API keys: `psk_<key id>_<secret>`, of which only the secret's SHA-256 is kept.

A secret is 256 random bits, so that a plain digest is enough: there is nothing to guess. Pure; the file is key_file.py.
"""

import hmac
import re

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.keys import PREFIX, credential, digest_of
from services.policy.identity.scopes import COUNT_MAX, InvalidScope, scope
from services.policy.money.limits import Limit, LimitsRefused, check_limit

LENGTH_MAX = 200
NAME_MAX = 100
ABOVE_MAX = 4
"""How many keys may have made one another."""
_ID = re.compile(r"[a-z0-9]{4,32}\Z")
_SUBJECT = re.compile(r"(?:user|workload):[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
_AGENT = re.compile(r"agent:[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NOBODY = "0" * 64

__all__ = ["ApiKey", "KeyRefused", "KeyRing", "checked", "credential", "digest_of", "opened"]


class KeyRefused(ValueError):
    """A key that cannot be made or kept; the sentence says what to write."""


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as it is kept. Times in Unix seconds, 0 for never. `digest`: SHA-256 of the secret, hex.

    `limits` bound the account `key:<id>`; `team` adds the account `team:<team>`; `agent` acts for the subject. `above`:
    the keys that it was made with, the first first: what it spends, they spend. `former` is the digest of the secret
    before the last rotation, good until `former_until`. `connections_max`: to the broker with this key, and
    `subscriptions_max` of each; 0: what the settings say.
    """

    id: str
    digest: str
    tenant: str
    subject: str
    scopes: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    team: str = ""
    name: str = ""
    limits: tuple[Limit, ...] = ()
    created: float = 0.0
    expires: float = 0.0
    revoked: float = 0.0
    agent: str = ""
    rotated: float = 0.0
    former: str = ""
    former_until: float = 0.0
    above: tuple[str, ...] = ()
    creator: str = ""
    connections_max: int = 0
    subscriptions_max: int = 0

    def usable(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked and not (self.expires and self.expires <= now)


class KeyRing:
    """All keys at one moment. Never changed: adding or revoking gives another ring."""

    def __init__(self, keys: tuple[ApiKey, ...] = ()) -> None:
        """Raises KeyRefused."""
        self.keys = keys
        self._by_id: dict[str, ApiKey] = {}
        for key in keys:
            if key.id in self._by_id:
                raise KeyRefused(f"the key id {key.id!r} stands there twice")
            self._by_id[key.id] = checked(key)

    def get(self, key_id: str) -> ApiKey | None:
        return self._by_id.get(key_id)

    def usable(self, key_id: str, now: float) -> ApiKey | None:
        """The key, unless it is unknown, revoked or expired."""
        key = self._by_id.get(key_id)
        return key if key is not None and key.usable(now) else None

    def authenticate(self, credential: str, now: float) -> ApiKey:
        """Whose key this is. Raises Failure(UNAUTHENTICATED), the same for every reason."""
        key_id, secret = parts_of(credential)
        return opened(self._by_id.get(key_id), secret, now)

    def with_key(self, key: ApiKey) -> "KeyRing":
        """With one more key. Raises KeyRefused."""
        return KeyRing((*self.keys, key))

    def without(self, key_id: str, now: float) -> "KeyRing":
        """With that key revoked; it stays in the list, so that records of its use can be explained."""
        if key_id not in self._by_id:
            raise KeyRefused(f"there is no key {key_id!r}")
        return KeyRing(
            tuple(
                msgspec.structs.replace(key, revoked=now) if key.id == key_id and not key.revoked else key
                for key in self.keys
            )
        )


def opened(key: ApiKey | None, secret: str, now: float) -> ApiKey:
    """`key` when this is its secret, or the one before in its time of grace: then the key ends with that.

    Raises Failure(UNAUTHENTICATED), the same for every reason.
    """
    digest = digest_of(secret)
    same = hmac.compare_digest(digest, _NOBODY if key is None else key.digest)
    before = hmac.compare_digest(digest, (key.former if key is not None else "") or _NOBODY)
    if key is not None and key.usable(now):
        if same:
            return key
        if before and now < key.former_until:
            ends = min(key.former_until, key.expires or key.former_until)
            return msgspec.structs.replace(key, expires=ends)
    raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")


def checked(key: ApiKey) -> ApiKey:
    """`key` itself. Raises KeyRefused with a sentence that says what to write."""
    if _ID.match(key.id) is None:
        raise KeyRefused(f"key id {key.id[:40]!r}: write 4 to 32 of a-z and 0-9")
    if _DIGEST.match(key.digest) is None:
        raise KeyRefused(f"key {key.id}: digest must be 64 hex digits")
    if not is_token(key.tenant):
        raise KeyRefused(f"key {key.id}: tenant {key.tenant[:80]!r}: write 1 to 64 of A-Z a-z 0-9 _ and -")
    _check_names(key)
    if key.former and _DIGEST.match(key.former) is None:
        raise KeyRefused(f"key {key.id}: former must be 64 hex digits")
    if len(key.above) > ABOVE_MAX or not all(_ID.match(one) for one in key.above):
        raise KeyRefused(f"key {key.id}: above: write at most {ABOVE_MAX} ids of keys")
    if len(key.scopes) > COUNT_MAX or len(key.tools) > COUNT_MAX:
        raise KeyRefused(f"key {key.id}: more than {COUNT_MAX} scopes or tools")
    if key.connections_max < 0 or key.subscriptions_max < 0:
        raise KeyRefused(f"key {key.id}: connections_max and subscriptions_max: write 0 or more")
    _check_grants(key)
    return key


def _check_names(key: ApiKey) -> None:
    if _SUBJECT.match(key.subject) is None:
        raise KeyRefused(f"key {key.id}: subject {key.subject[:80]!r}: write user:<name> or workload:<name>")
    if key.team and _TEAM.match(key.team) is None:
        raise KeyRefused(f"key {key.id}: team {key.team[:80]!r}: write letters, digits, dots and dashes")
    if key.agent and _AGENT.match(key.agent) is None:
        raise KeyRefused(f"key {key.id}: agent {key.agent[:80]!r}: write agent:<name>")


def _check_grants(key: ApiKey) -> None:
    try:
        for one in key.scopes:
            scope(one)
        for limit in key.limits:
            check_limit(f"key {key.id}", limit)
    except (InvalidScope, LimitsRefused) as error:
        raise KeyRefused(f"key {key.id}: {error}") from error
    if any(not tool or len(tool) > 128 or any(ord(c) < 33 or ord(c) > 126 for c in tool) for tool in key.tools):
        raise KeyRefused(f"key {key.id}: tools: write names of tools, or *")


def parts_of(text: str) -> tuple[str, str]:
    """Id and secret; two empty texts for what has not the form of a key."""
    parts = text.split("_", 2) if len(text) <= LENGTH_MAX else []
    if len(parts) != 3 or parts[0] != PREFIX or not parts[2]:
        return "", ""
    return parts[1], parts[2]
