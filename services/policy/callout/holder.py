"""Whose credential it was that opened a connection, as the name in the broker's list tells it later. Pure."""

import hashlib

import msgspec

from services.policy.identity.keys import ApiKey
from services.policy.oidc.providers import SignedIn

KEY, PERSON = "key", "oidc"


class Holder(msgspec.Struct, frozen=True):
    """`name` stands in the broker's list of connections; `who` is one and the same for all connections of a key or a
    person. `expires`: Unix seconds, 0 for never. Limits of 0: what the settings say."""

    name: str
    who: str
    tenant: str
    scopes: tuple[str, ...]
    expires: float
    connections_max: int = 0
    subscriptions_max: int = 0


def of_key(key: ApiKey) -> Holder:
    """Which key, and which of its secrets: those before the last rotation have another name."""
    who = f"{KEY}.{key.id}"
    name = f"{who}.{int(key.rotated * 1000)}"
    return Holder(name, who, key.tenant, key.scopes, key.expires, key.connections_max, key.subscriptions_max)


def of_person(found: SignedIn) -> Holder:
    """A digest stands for the person: names of people are not for the broker's list."""
    person = found.person
    digest = hashlib.sha256(f"{len(person.tenant)}:{person.tenant}{person.subject}".encode()).hexdigest()
    who = f"{PERSON}.{digest[:24]}"
    return Holder(who, who, person.tenant, person.scopes, found.expires)


def key_in(name: str) -> str:
    """The id of the key in a name of the list; "" where it is none of a key."""
    kind, _, rest = name.partition(".")
    return rest.partition(".")[0] if kind == KEY else ""


def is_person(name: str) -> bool:
    """Whether a person was let in under this name."""
    return name.startswith(PERSON + ".")
