"""Which audit records say anything about money. Pure.

The broker lets every service write under its own name alone; what is held in an account, and what was told of it, only
policy decides. An outcome may come from whichever service did the work.
"""

from penstock.bus import Stored
from penstock.contracts.audit import OUTCOME, Batch, Record
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.services import POLICY


def believed(stored: Stored[Batch]) -> list[Record]:
    """The records of one append, without what others than policy have said they decided."""
    if AUDIT_BATCH.subject.parse(stored.subject)["service"] == POLICY:
        return stored.body.records
    return [record for record in stored.body.records if record.type == OUTCOME]
