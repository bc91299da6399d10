"""The nats-server configuration: one nkey user per principal with the grants of permissions.py, whom to ask about
everybody else, and what durability and size the plane needs. Made, never written by hand; deploy/nats holds one made
from the same code.
"""

import json
from dataclasses import dataclass

from penstock.bus.callout_keys import CalloutPublic
from penstock.bus.permissions import ACCOUNT, Grants, callout_grants

MAX_PAYLOAD_BYTES = 1024 * 1024
SYSTEM_ACCOUNT = "SYS"
AUTH_TIMEOUT_S = 1.8
"""How long a client may wait for the callout's answer. After 2 s the server pings it, which clients take for a yes."""
ANSWER_WITHIN_S = 5


@dataclass(frozen=True)
class BusUser:
    """`public` is the nkey's public half (U…); the seed stays in the principal's own file."""

    name: str
    public: str
    grants: Grants


def render(
    users: list[BusUser], *, callout: CalloutPublic | None = None, sync_always: bool = True, domain: str = ""
) -> str:
    """The configuration without addresses and the store's folder, which the launcher adds.

    `callout`: who is asked about everybody that is not among `users`; without it nobody else gets in. `sync_always`:
    every stored message is on disk before it is acknowledged; for a single replica.
    """
    sync = "always" if sync_always else "2m"
    lines = [
        "feature_flags { js_ack_fc_v2: false }",
        f"max_payload: {MAX_PAYLOAD_BYTES}",
        "write_deadline: 10s",
        "jetstream {",
        f"  sync_interval: {sync}",
        *([f"  domain: {json.dumps(domain)}"] if domain else []),
        "}",
        "accounts {",
        f"  {ACCOUNT} {{",
        "    jetstream: enabled",
        "    users: [",
        *(line for user in users for line in _user(user)),
        "    ]",
        "  }",
        f"  {SYSTEM_ACCOUNT} {{",
        *(_callout_user(callout) if callout else []),
        "  }",
        "}",
        f"system_account: {SYSTEM_ACCOUNT}",
        *(_callout(callout, users) if callout else []),
        "",
    ]
    return "\n".join(lines)


def _user(user: BusUser, more: str = "") -> list[str]:
    return [
        f"      # {user.name}",
        f"      {{ nkey: {user.public}, permissions: {{",
        f"          publish: {{ allow: {json.dumps(sorted(user.grants.publish))} }},",
        f"          subscribe: {{ allow: {json.dumps(sorted(user.grants.subscribe))} }}{more} }} }}",
    ]


def _callout_user(callout: CalloutPublic) -> list[str]:
    once = f",\n          allow_responses: {{ max: 1, expires: {ANSWER_WITHIN_S}s }}"
    return ["    users: [", *_user(BusUser("callout", callout.user, callout_grants()), once), "    ]"]


def _callout(callout: CalloutPublic, users: list[BusUser]) -> list[str]:
    """Those in `auth_users` are checked by their nkeys as ever: the plane's services do not depend on an answer."""
    return [
        "authorization {",
        f"  timeout: {AUTH_TIMEOUT_S}",
        "  auth_callout {",
        f"    account: {SYSTEM_ACCOUNT}",
        f"    issuer: {callout.issuer}",
        f"    xkey: {callout.curve}",
        "    auth_users: [",
        *(f"      {public}" for public in [*(user.public for user in users), callout.user]),
        "    ]",
        "  }",
        "}",
    ]
