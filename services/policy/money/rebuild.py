"""The audit stream, which is the ledger, read again: for balances and for statements."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from penstock.bus import Bus, Stored
from penstock.contracts.audit import Batch
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.money import Statement, StatementRequest
from services.policy.money.believed import believed
from services.policy.money.ledger import Ledger, fold
from services.policy.money.statement import StatementFold, place_of


class Rebuilder:
    """Reads `page` batches of the audit stream at a time."""

    def __init__(self, bus: Bus, page: int) -> None:
        self._bus = bus
        self._page = page

    async def ledger_of(self, tenant: str) -> Ledger:
        """A tenant's balances from all of its records. Raises Failure when the stream cannot be read."""
        ledger = Ledger()
        async with aclosing(self._batches(tenant)) as batches:
            async for one in batches:
                for record in believed(one):
                    fold(ledger, record)
                ledger.sequence = one.sequence
        return ledger

    async def statement_of(self, tenant: str, request: StatementRequest, now: float) -> Statement:
        """The first page reads all of a tenant's records, others what comes after the page before. Raises Failure."""
        folding = StatementFold(tenant, request, now)
        before = max(0, place_of(request.after)[0] - 1)
        async with aclosing(self._batches(tenant, before)) as batches:
            async for one in batches:
                for number, record in enumerate(believed(one)):
                    folding.fold(record, one.time, (one.sequence, number))
        return folding.statement()

    async def _batches(self, tenant: str, after: int = 0) -> AsyncGenerator[Stored[Batch], None]:
        while True:
            stored = await self._bus.read(AUDIT_BATCH, after=after, limit=self._page, tenant=tenant)
            for one in stored:
                yield one
            if len(stored) < self._page:
                return
            after = stored[-1].sequence
