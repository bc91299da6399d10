"""Balances rebuilt from the audit stream, which is the ledger."""

from penstock.bus import Bus
from penstock.contracts.governance import AUDIT_BATCH
from services.policy.money.ledger import Ledger, fold


class Rebuilder:
    """Reads `page` batches of the audit stream at a time."""

    def __init__(self, bus: Bus, page: int) -> None:
        self._bus = bus
        self._page = page

    async def ledger_of(self, tenant: str) -> Ledger:
        """A tenant's balances from all of its records. Raises Failure when the stream cannot be read."""
        ledger = Ledger()
        after = 0
        while True:
            stored = await self._bus.read(AUDIT_BATCH, after=after, limit=self._page, tenant=tenant)
            for one in stored:
                for record in one.body.records:
                    fold(ledger, record)
                ledger.sequence = one.sequence
            if len(stored) < self._page:
                return ledger
            after = ledger.sequence
