"""deploy/nats/broker.conf is what the code makes, and the broker takes it."""

import os
import subprocess
from pathlib import Path

from deploy.nats.make_config import FILE, config, variable
from penstock.bus.callout_keys import make_callout_keys
from penstock.bus.nkey import new_user_seed, public_key
from penstock.bus.permissions import principals
from penstock.local.broker import nats_server


def test_the_table_of_rights_is_what_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == config(), "run `make docs`"


def test_the_broker_takes_the_table_with_the_public_keys_from_the_environment(tmp_path: Path) -> None:
    names = ["gateway", "router", "tool_executor", "context", "orchestrator", "policy", "audit", "setup"]
    assert list(principals()) == names
    keys = {variable(name): public_key(new_user_seed()) for name in names}
    callout = make_callout_keys(tmp_path / "callout")
    keys |= {
        "PENSTOCK_NKEY_CALLOUT": callout.user,
        "PENSTOCK_CALLOUT_ISSUER": callout.issuer,
        "PENSTOCK_CALLOUT_CURVE": callout.curve,
    }
    checked = subprocess.run(
        [str(nats_server()), "-t", "-c", str(FILE)],
        env=os.environ | keys,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert checked.returncode == 0, checked.stderr
