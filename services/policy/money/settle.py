"""From the audit stream to the accounts: decisions confirm reservations, outcomes settle them, leases end.

Decisions are told before outcomes, in the stream's order, and each of both as often as it comes: the accounts take each
once. A reservation whose decision is in no part of the stream that was heard is given back.
"""

import msgspec

from penstock.bus import Stored
from penstock.contracts.audit import DECISION, OUTCOME, Batch, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.governance import AUDIT_BATCH
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.money.accounts import Accounts
from services.policy.money.believed import believed
from services.policy.money.heard import Heard
from services.policy.money.ledger import Recorded, Spent, reserved, spent

_decisions = msgspec.json.Decoder(DecisionRecord)
_outcomes = msgspec.json.Decoder(OutcomeRecord)
IDS_LOGGED_MAX = 50


class Settler:
    """Hears the audit stream. Raises Failure when the store is away: the batch comes again, and settles once."""

    def __init__(self, accounts: Accounts, heard: Heard, metrics: Metrics, log: Log) -> None:
        self._accounts = accounts
        self._heard = heard
        self._metrics = metrics
        self._log = log

    async def heard(self, batches: list[Stored[Batch]]) -> None:
        """The tenant is the subject's, which the broker checked."""
        by_tenant: dict[str, tuple[list[Recorded], list[Spent]]] = {}
        for stored in batches:
            tenant = AUDIT_BATCH.subject.parse(stored.subject)["tenant"]
            recorded, all_spent = by_tenant.setdefault(tenant, ([], []))
            for record in believed(stored):
                if isinstance(one := self._read(record, stored.sequence, stored.time), Recorded):
                    recorded.append(one)
                elif one is not None:
                    all_spent.append(one)
        for tenant, (recorded, all_spent) in by_tenant.items():
            if recorded:
                await self._accounts.recorded(tenant, recorded)
            if all_spent:
                settled = await self._accounts.settle(tenant, all_spent)
                self._metrics.settled_nano.add(by=sum(nano for nano in settled if nano > 0))

    async def expire(self) -> None:
        """Leases that ran out, once: what is unknown counts as used. What nobody was permitted is given back."""
        ended = await self._accounts.expire()
        if ended:
            self._log.warning("leases ran out", count=len(ended), attempts=_few(ended))
        tenants = await self._accounts.overdue()
        until = await self._heard.until() if tenants else 0.0
        for tenant in tenants:
            given = await self._accounts.give_back(tenant, until)
            if given:
                self._log.warning("reservations without a decision given back", count=len(given), attempts=_few(given))

    def _read(self, record: Record, sequence: int, stored: float) -> Recorded | Spent | None:
        try:
            if record.type == DECISION:
                decision = _decisions.decode(record.data)
                held = reserved(decision)
                return None if held is None else Recorded(decision.attempt, sequence, stored, held)
            if record.type == OUTCOME:
                return spent(_outcomes.decode(record.data))
        except msgspec.DecodeError:
            self._log.error("an audit record cannot be read", id=record.id, source=record.source)
        return None


def _few(attempts: list[str]) -> list[str]:
    return attempts[:IDS_LOGGED_MAX]
