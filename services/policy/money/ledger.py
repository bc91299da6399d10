"""The ledger: balances as a fold of the audit stream. Pure.

The same records in the same order give the same balances, however often a record is repeated; the store holds the same
numbers, and can be filled from here.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.errors import Code
from penstock.contracts.money import ALERT, AlertRecord
from services.policy.money.limits import AMOUNT_MAX

HOLDING = frozenset({"allow", "transform", "shadow"})
AS_RESERVED = -1


class Spent(msgspec.Struct, frozen=True):
    """What settles an attempt: nano-dollars, tokens and requests, AS_RESERVED where the true amount is not known."""

    attempt: str
    nano: int
    tokens: int
    requests: int = AS_RESERVED


class Held(msgspec.Struct, frozen=True):
    """One reservation: in which pots, how much, until when (Unix seconds)."""

    pots: tuple[str, ...]
    nano: int
    tokens: int
    due: float
    requests: int = 0
    slots: int = 0


class Recorded(msgspec.Struct, frozen=True):
    """A decision that reserved, in the audit stream: its place there, since when (Unix seconds), and what is held."""

    attempt: str
    sequence: int
    stored: float
    held: Held


class Balance(msgspec.Struct):
    """One pot: committed and held. A slot is held by an action under way, and never committed."""

    nano: int = 0
    held_nano: int = 0
    tokens: int = 0
    held_tokens: int = 0
    requests: int = 0
    held_requests: int = 0
    held_slots: int = 0

    def hold(self, held: Held, by: int = 1) -> None:
        """`by` -1 takes it back."""
        self.held_nano += by * held.nano
        self.held_tokens += by * held.tokens
        self.held_requests += by * held.requests
        self.held_slots += by * held.slots

    def commit(self, nano: int, tokens: int, requests: int) -> None:
        self.nano += nano
        self.tokens += tokens
        self.requests += requests


class Ledger:
    """Folds records one by one. `sequence`: of the stream's last message that is in it; whoever reads it says so.

    `since`: when a pot was first reserved in; `told`: by pot and measure the last alert, as `<limit>:<percent>`."""

    def __init__(self) -> None:
        self.sequence = 0
        self.pots: dict[str, Balance] = {}
        self.held: dict[str, Held] = {}
        self.expired: dict[str, Held] = {}
        self.since: dict[str, float] = {}
        self.told: dict[str, dict[str, str]] = {}
        self._over: set[str] = set()

    def decided(self, record: DecisionRecord, at: float = 0.0) -> None:
        """A decision that reserved; the same attempt again changes nothing."""
        attempt = record.attempt
        held = reserved(record)
        if held is None or attempt in self.held or attempt in self.expired or attempt in self._over:
            return
        self.held[attempt] = held
        for name in held.pots:
            self.since.setdefault(name, at)
        for pot in self._of(held):
            pot.hold(held)

    def ended(self, spent: Spent) -> None:
        """An outcome; the first settles, also after the lease ran out, and others change nothing."""
        expired = self.expired.pop(spent.attempt, None)
        held = expired or self.held.pop(spent.attempt, None)
        if held is None:
            return
        self._over.add(spent.attempt)
        for pot in self._of(held):
            if expired is None:
                pot.hold(held, -1)
            else:
                pot.commit(-held.nano, -held.tokens, -held.requests)
            pot.commit(
                held.nano if spent.nano == AS_RESERVED else spent.nano,
                held.tokens if spent.tokens == AS_RESERVED else spent.tokens,
                held.requests if spent.requests == AS_RESERVED else spent.requests,
            )

    def alerted(self, alert: AlertRecord) -> None:
        """A threshold that was told; it is not told again for the same limit."""
        self.told.setdefault(alert.pot, {})[alert.measure] = f"{alert.limit}:{alert.percent}"

    def expire(self, now: float) -> None:
        """Leases that ran out: what was reserved counts as used, and its slots are free."""
        for attempt, held in [(a, h) for a, h in self.held.items() if h.due <= now]:
            del self.held[attempt]
            self.expired[attempt] = held
            for pot in self._of(held):
                pot.hold(held, -1)
                pot.commit(held.nano, held.tokens, held.requests)

    def _of(self, held: Held) -> list[Balance]:
        return [self.pots.setdefault(name, Balance()) for name in held.pots]


def rebuild(records: Iterable[Record], now: float) -> Ledger:
    """Balances from audit records in the stream's order."""
    ledger = Ledger()
    for record in records:
        fold(ledger, record)
    ledger.expire(now)
    return ledger


def fold(ledger: Ledger, record: Record) -> None:
    """One record; what is neither a decision nor an outcome, or cannot be read, says nothing about money."""
    try:
        if record.type == DECISION:
            ledger.decided(msgspec.json.decode(record.data, type=DecisionRecord), time_of(record))
        elif record.type == OUTCOME:
            ledger.ended(spent(msgspec.json.decode(record.data, type=OutcomeRecord)))
        elif record.type == ALERT:
            ledger.alerted(msgspec.json.decode(record.data, type=AlertRecord))
    except msgspec.DecodeError:
        return


def time_of(record: Record) -> float:
    """Unix seconds; 0 where the record does not say it as it should."""
    try:
        return datetime.fromisoformat(record.time).timestamp()
    except ValueError:
        return 0.0


def reserved(record: DecisionRecord) -> Held | None:
    """What a decision reserved; None for a refusal, and where nothing had a limit."""
    if record.effect not in HOLDING or not record.accounts:
        return None
    return Held(
        record.accounts,
        record.reserved_nano,
        record.reserved_tokens,
        record.outcome_due,
        record.reserved_requests,
        record.reserved_slots,
    )


def spent(outcome: OutcomeRecord) -> Spent:
    """What an outcome settles with: what was reserved, where the outcome or its price is unknown."""
    if outcome.status == "unknown":
        return Spent(outcome.attempt, AS_RESERVED, AS_RESERVED)
    cost = outcome.cost_nano
    nano = AS_RESERVED if cost < 0 else min(cost, AMOUNT_MAX)
    # what policy undid was permitted to nobody: it is no request
    undone = outcome.status == "cancelled" and outcome.code == Code.UNAVAILABLE
    tokens = min(max(outcome.usage.total, 0), AMOUNT_MAX)
    return Spent(outcome.attempt, nano, tokens, 0 if undone else AS_RESERVED)
