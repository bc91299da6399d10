"""Decisions of the past, read from the audit stream."""

import msgspec

from penstock.bus import Bus
from penstock.contracts.audit import DECISION, Batch, DecisionRecord
from penstock.contracts.bundles import DecisionPage, PastDecision
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.services import DATA_PLANE, POLICY

PAGE = 500
_decisions = msgspec.json.Decoder(DecisionRecord)


class Past:
    """`page_max`: decisions in one page; `scan_max`: messages of the stream that are looked through for one."""

    def __init__(self, bus: Bus, page_max: int, scan_max: int) -> None:
        self._bus = bus
        self._page_max = page_max
        self._scan_max = scan_max

    async def page(self, tenant: str, after: int, limit: int) -> DecisionPage:
        """Oldest first; a little more than `limit` where one message of the stream holds several."""
        limit = max(1, min(limit, self._page_max))
        found: list[PastDecision] = []
        while len(found) < limit:
            stored = await self._bus.read(AUDIT_BATCH, after=after, limit=PAGE, tenant=tenant, service=POLICY)
            for one in stored:
                found.extend(decisions(one.body))
                after = one.sequence
                if len(found) >= limit:
                    return DecisionPage(found, after)
            if len(stored) < PAGE:
                return DecisionPage(found)
        return DecisionPage(found, after)

    async def one(self, tenant: str, decision: str) -> PastDecision:
        """Policy's own are looked through first, then what services decided by themselves (@fail_open).

        Raises Failure(NOT_FOUND)."""
        left = self._scan_max
        for service in (POLICY, *DATA_PLANE):
            found, looked = await self._one(tenant, service, decision, left)
            if found is not None:
                return found
            left -= looked
        raise Failure(Code.NOT_FOUND, "there is no such decision among those that are looked through", param="decision")

    async def _one(self, tenant: str, service: str, decision: str, most: int) -> tuple[PastDecision | None, int]:
        """The decision, and how many messages were looked through for it."""
        after = looked = 0
        while looked < most:
            stored = await self._bus.read(AUDIT_BATCH, after=after, limit=PAGE, tenant=tenant, service=service)
            for one in stored:
                for found in decisions(one.body):
                    if found.record.decision == decision:
                        return found, looked
                after = one.sequence
            looked += len(stored)
            if len(stored) < PAGE:
                break
        return None, looked


def decisions(batch: Batch) -> list[PastDecision]:
    """Those of one append; outcomes are passed over."""
    return [
        PastDecision(record.tenant, record.time, _decisions.decode(record.data))
        for record in batch.records
        if record.type == DECISION
    ]
