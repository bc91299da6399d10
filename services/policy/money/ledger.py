"""The ledger: balances as a fold of the audit stream. Pure.

The same records in the same order give the same balances, however often a record is repeated; the store holds the same
numbers, and can be filled from here.
"""

from collections.abc import Iterable

import msgspec

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from services.policy.money.limits import AMOUNT_MAX

HOLDING = frozenset({"allow", "transform", "shadow"})
AS_RESERVED = -1


class Spent(msgspec.Struct, frozen=True):
    """What settles an attempt: nano-dollars and tokens, AS_RESERVED where the true amount is not known."""

    attempt: str
    nano: int
    tokens: int


class Held(msgspec.Struct, frozen=True):
    """One reservation: in which pots, how much, until when (Unix seconds)."""

    pots: tuple[str, ...]
    nano: int
    tokens: int
    due: float


class Recorded(msgspec.Struct, frozen=True):
    """A decision that reserved, in the audit stream: its place there, since when (Unix seconds), and what is held."""

    attempt: str
    sequence: int
    stored: float
    held: Held


class Balance(msgspec.Struct):
    """One pot. Committed and held, in nano-dollars and tokens."""

    nano: int = 0
    held_nano: int = 0
    tokens: int = 0
    held_tokens: int = 0


class Ledger:
    """Folds records one by one. `sequence`: of the stream's last message that is in it; whoever reads it says so."""

    def __init__(self) -> None:
        self.sequence = 0
        self.pots: dict[str, Balance] = {}
        self.held: dict[str, Held] = {}
        self.expired: dict[str, Held] = {}
        self._over: set[str] = set()

    def decided(self, record: DecisionRecord) -> None:
        """A decision that reserved; the same attempt again changes nothing."""
        attempt = record.attempt
        held = reserved(record)
        if held is None or attempt in self.held or attempt in self.expired or attempt in self._over:
            return
        self.held[attempt] = held
        for pot in self._of(held):
            pot.held_nano += held.nano
            pot.held_tokens += held.tokens

    def ended(self, spent: Spent) -> None:
        """An outcome; the first settles, also after the lease ran out, and others change nothing."""
        expired = self.expired.pop(spent.attempt, None)
        held = expired or self.held.pop(spent.attempt, None)
        if held is None:
            return
        self._over.add(spent.attempt)
        for pot in self._of(held):
            if expired is None:
                pot.held_nano -= held.nano
                pot.held_tokens -= held.tokens
            else:
                pot.nano -= held.nano
                pot.tokens -= held.tokens
            pot.nano += held.nano if spent.nano == AS_RESERVED else spent.nano
            pot.tokens += held.tokens if spent.tokens == AS_RESERVED else spent.tokens

    def expire(self, now: float) -> None:
        """Leases that ran out: what was reserved counts as used."""
        for attempt, held in [(a, h) for a, h in self.held.items() if h.due <= now]:
            del self.held[attempt]
            self.expired[attempt] = held
            for pot in self._of(held):
                pot.held_nano -= held.nano
                pot.held_tokens -= held.tokens
                pot.nano += held.nano
                pot.tokens += held.tokens

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
            ledger.decided(msgspec.json.decode(record.data, type=DecisionRecord))
        elif record.type == OUTCOME:
            ledger.ended(spent(msgspec.json.decode(record.data, type=OutcomeRecord)))
    except msgspec.DecodeError:
        return


def reserved(record: DecisionRecord) -> Held | None:
    """What a decision reserved; None for a refusal, and where nothing had a limit."""
    if record.effect not in HOLDING or not record.accounts:
        return None
    return Held(record.accounts, record.reserved_nano, record.reserved_tokens, record.outcome_due)


def spent(outcome: OutcomeRecord) -> Spent:
    """What an outcome settles with: what was reserved, where the outcome or its price is unknown."""
    if outcome.status == "unknown":
        return Spent(outcome.attempt, AS_RESERVED, AS_RESERVED)
    cost = outcome.cost_nano
    nano = AS_RESERVED if cost < 0 else min(cost, AMOUNT_MAX)
    return Spent(outcome.attempt, nano, min(max(outcome.usage.total, 0), AMOUNT_MAX))
