"""Decisions that wait for an outcome, and those whose outcome is overdue. Pure: the log's records in, answers out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record

_ACTS = frozenset({"allow", "transform", "shadow"})


@dataclass(frozen=True, slots=True)
class Opened:
    """A decision that lets an action start. `due`: Unix seconds."""

    decision: str
    tenant: str
    due: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log is searched by, and what the record does to the pairs. Empty where the record does not say."""

    kind: str = "other"
    job: str = ""
    request: str = ""
    decision: str = ""
    opened: Opened | None = None
    closes: str = ""


def facts(record: bytes | msgspec.Raw, tenant: str) -> Facts:
    """Of a record that came under this tenant. One that cannot be read as its type has none."""
    try:
        envelope = msgspec.json.decode(record, type=Record)
        if envelope.type == DECISION:
            return _of_decision(msgspec.json.decode(envelope.data, type=DecisionRecord), tenant)
        if envelope.type == OUTCOME:
            outcome = msgspec.json.decode(envelope.data, type=OutcomeRecord)
            return Facts("outcome", outcome.job, outcome.request, outcome.decision, closes=outcome.decision)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # it stands in the log all the same; only the index cannot name it
    return Facts()


def _of_decision(decision: DecisionRecord, tenant: str) -> Facts:
    waits = decision.effect in _ACTS and decision.outcome_due > 0
    opened = Opened(decision.decision, tenant, decision.outcome_due) if waits else None
    return Facts("decision", decision.job, decision.request, decision.decision, opened)


@dataclass(slots=True)
class Pairs:
    """A fold over the log: decisions without an outcome so far, and outcomes whose decision has not come."""

    waiting: dict[tuple[str, str], Opened] = field(default_factory=dict)
    early: set[tuple[str, str]] = field(default_factory=set)

    def add(self, found: Facts, tenant: str) -> None:
        if found.opened is not None:
            key = (tenant, found.opened.decision)
            if key in self.early:
                self.early.discard(key)
            else:
                self.waiting[key] = found.opened
        if found.closes and self.waiting.pop((tenant, found.closes), None) is None:
            self.early.add((tenant, found.closes))

    def overdue(self, now: float) -> list[Opened]:
        """In the log's order."""
        return overdue(self.waiting.values(), now)


def overdue(waiting: Iterable[Opened], now: float) -> list[Opened]:
    return [opened for opened in waiting if opened.due < now]
