"""Records, messages and whole logs for tests of the audit trail."""

import json
from collections.abc import Sequence
from pathlib import Path

from services.audit.checkpoint import SigningKey
from services.audit.disk import Disk
from services.audit.leaf import Message
from services.audit.log import Log

KEY = SigningKey("example.com/audit", bytes(range(32)))
STORED_S = 1_790_000_000.0


def decision(
    name: str, *, due: float = 0.0, job: str = "", effect: str = "allow", tenant: str = "acme"
) -> dict[str, object]:
    """`due` 0: nobody waits for its outcome."""
    data: dict[str, object] = {
        "decision": name,
        "attempt": f"att_{name}",
        "effect": effect,
        "who": {"origin": "user:alice"},
        "action": "model.complete",
        "resource": 'Model::"small"',
        "bundle": "b1",
        "outcome_due": due,
        "job": job,
    }
    return _record(f"rec_{name}_d", "policy", "penstock.decision.v1", tenant, data)


def outcome(name: str, *, job: str = "", tenant: str = "acme", status: str = "ok") -> dict[str, object]:
    data: dict[str, object] = {"decision": name, "attempt": f"att_{name}", "status": status, "job": job}
    return _record(f"rec_{name}_o", "router", "penstock.outcome.v1", tenant, data)


def body(*records: dict[str, object]) -> bytes:
    return json.dumps({"records": records}).encode()


def message(sequence: int, count: int = 1, *, fill: str = "") -> Message:
    """A message of `count` records, always the same for the same arguments."""
    records = [decision(f"dec_{sequence}_{place}{fill}") for place in range(count)]
    return Message.read(sequence, STORED_S + sequence, "penstock.audit.acme.policy", body(*records))


def written(folder: Path, messages: Sequence[Message], *, every: int = 1000, disk: Disk | None = None) -> Log:
    """A log with these messages, a checkpoint after each `every` of them and at the end. To be closed."""
    folder.mkdir(parents=True, exist_ok=True)
    log = Log(folder, KEY, disk or Disk())
    for at in range(0, len(messages), every):
        log.append(messages[at : at + every])
        log.publish()
    return log


def _record(name: str, source: str, kind: str, tenant: str, data: dict[str, object]) -> dict[str, object]:
    return {
        "id": name,
        "source": source,
        "type": kind,
        "time": "2026-11-24T10:00:00Z",
        "tenant": tenant,
        "subject": str(data["attempt"]),
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "data": data,
    }
