"""Makes deploy/nats/broker.conf from the table of subjects: python -m deploy.nats.make_config (make docs)."""

import json
import re
from pathlib import Path

from penstock.bus.callout_keys import CalloutPublic
from penstock.bus.permissions import principals, tenant_grants
from penstock.bus.server_config import BusUser, render

FILE = Path(__file__).with_name("broker.conf")
CALLOUT_KEYS = CalloutPublic("$PENSTOCK_NKEY_CALLOUT", "$PENSTOCK_CALLOUT_ISSUER", "$PENSTOCK_CALLOUT_CURVE")
HEAD = """\
# Who may publish and subscribe to what. Made from libs/penstock/contracts/subjects.py by `make docs`; a test keeps it
# true, so that a change of rights is seen in review. It is a whole configuration of nats-server but for addresses and
# the store's folder: each principal's public nkey (U…) is read from the environment, and so are the public keys of the
# auth callout (A…, X…). compose.yaml and `penstock up` make their own from the same code.
"""
TENANTS = """\
# Tenants' clients are not in it: the broker asks policy about them, which looks at their API keys and gives each
"""


def variable(principal: str) -> str:
    """The environment variable that holds a principal's public nkey."""
    return "PENSTOCK_NKEY_" + principal.upper().replace("-", "_")


def config() -> str:
    """The whole file."""
    users = [BusUser(name, f"${variable(name)}", rights) for name, rights in principals().items()]
    return HEAD + _tenants() + re.sub(r"\[\".*?\"\]", _one_a_line, render(users, callout=CALLOUT_KEYS))


def _tenants() -> str:
    """What a tenant's client gets, as a comment: it is no part of the configuration, and yet a matter of review."""
    rights = tenant_grants("TENANT")
    lines = [f"#   publish {subject}" for subject in sorted(rights.publish)]
    lines += [f"#   subscribe {subject}" for subject in sorted(rights.subscribe)]
    return TENANTS + "\n".join(lines) + "\n"


def _one_a_line(found: re.Match[str]) -> str:
    subjects: list[str] = json.loads(found[0])
    return "[\n" + "".join(f"            {json.dumps(subject)}\n" for subject in subjects) + "          ]"


if __name__ == "__main__":
    FILE.write_text(config(), encoding="utf-8")
