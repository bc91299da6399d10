"""Makes deploy/nats/broker.conf from the table of subjects: python -m deploy.nats.make_config (make docs)."""

import json
import re
from pathlib import Path

from penstock.bus.permissions import principals
from penstock.bus.server_config import BusUser, render

FILE = Path(__file__).with_name("broker.conf")
TENANT = "default"
HEAD = """\
# Who may publish and subscribe to what. Made from libs/penstock/contracts/subjects.py by `make docs`; a test keeps it
# true, so that a change of rights is seen in review. It is a whole configuration of nats-server but for addresses and
# the store's folder: each principal's public nkey (U…) is read from the environment. compose.yaml and `penstock up`
# make their own from the same code.
"""


def variable(principal: str) -> str:
    """The environment variable that holds a principal's public nkey."""
    return "PENSTOCK_NKEY_" + principal.upper().replace("-", "_")


def config() -> str:
    """The whole file."""
    users = [BusUser(name, f"${variable(name)}", rights) for name, rights in principals((TENANT,)).items()]
    return HEAD + re.sub(r"\[\".*?\"\]", _one_a_line, render(users))


def _one_a_line(found: re.Match[str]) -> str:
    subjects: list[str] = json.loads(found[0])
    return "[\n" + "".join(f"            {json.dumps(subject)}\n" for subject in subjects) + "          ]"


if __name__ == "__main__":
    FILE.write_text(config(), encoding="utf-8")
