"""The nats-server configuration: one nkey user per principal with the grants of permissions.py, and what durability
and size the plane needs. Made, never written by hand; deploy/nats holds one made from the same code.
"""

import json
from dataclasses import dataclass

from penstock.bus.permissions import Grants

MAX_PAYLOAD_BYTES = 1024 * 1024


@dataclass(frozen=True)
class BusUser:
    """`public` is the nkey's public half (U…); the seed stays in the principal's own file."""

    name: str
    public: str
    grants: Grants


def render(users: list[BusUser], *, sync_always: bool = True, domain: str = "") -> str:
    """The configuration without addresses and the store's folder, which the launcher adds.

    `sync_always`: every stored message is on disk before it is acknowledged; for a single replica.
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
        "  PENSTOCK {",
        "    jetstream: enabled",
        "    users: [",
    ]
    for user in users:
        lines += [
            f"      # {user.name}",
            f"      {{ nkey: {user.public}, permissions: {{",
            f"          publish: {{ allow: {json.dumps(sorted(user.grants.publish))} }},",
            f"          subscribe: {{ allow: {json.dumps(sorted(user.grants.subscribe))} }} }} }}",
        ]
    lines += ["    ]", "  }", "  SYS { }", "}", "system_account: SYS", ""]
    return "\n".join(lines)
