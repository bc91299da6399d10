"""From the audit stream to the accounts: outcomes settle reservations, and leases end."""

import msgspec

from penstock.bus import Stored
from penstock.contracts.audit import OUTCOME, Batch, OutcomeRecord
from penstock.contracts.subjects import AUDIT_BATCH
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.accounts import Accounts
from services.policy.ledger import Spent, spent

_outcomes = msgspec.json.Decoder(OutcomeRecord)
IDS_LOGGED_MAX = 50


class Settler:
    """Hears the audit stream. Raises Failure when the store is away: the batch comes again, and settles once."""

    def __init__(self, accounts: Accounts, metrics: Metrics, log: Log) -> None:
        self._accounts = accounts
        self._metrics = metrics
        self._log = log

    async def heard(self, batches: list[Stored[Batch]]) -> None:
        """The tenant is the subject's, which the broker checked; decisions pass by."""
        by_tenant: dict[str, list[Spent]] = {}
        for stored in batches:
            tenant = AUDIT_BATCH.subject.parse(stored.subject)["tenant"]
            by_tenant.setdefault(tenant, []).extend(_spent(stored.body, self._log))
        for tenant, all_spent in by_tenant.items():
            if all_spent:
                settled = await self._accounts.settle(tenant, all_spent)
                self._metrics.settled_nano.add(by=sum(nano for nano in settled if nano > 0))

    async def expire(self) -> None:
        """Leases that ran out, once. What is unknown counts as used."""
        ended = await self._accounts.expire()
        if ended:
            self._log.warning("leases ran out", count=len(ended), attempts=ended[:IDS_LOGGED_MAX])


def _spent(batch: Batch, log: Log) -> list[Spent]:
    found: list[Spent] = []
    for record in batch.records:
        if record.type != OUTCOME:
            continue
        try:
            found.append(spent(_outcomes.decode(record.data)))
        except msgspec.DecodeError:
            log.error("an outcome cannot be read", id=record.id, source=record.source)
    return found
