"""What an account was used for: a fold of the audit stream, whether the account has a limit or not. Pure.

An attempt belongs to the time at which it was decided, as in the balances; what it used is what its outcome says, and
what was reserved where no outcome tells it.
"""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Literal

import msgspec

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.money import Statement, StatementLine, StatementPart, StatementRequest, Sum
from services.policy.money.ledger import AS_RESERVED, HOLDING, spent
from services.policy.money.periods import split_pot

PARTS_MAX = 200
"""Models, tools and days that are told apart; the rest are `others`."""
OTHERS = "others"
State = Literal["settled", "reserved", "expired"]
Place = tuple[int, int]
"""Of a record in the stream: the message's sequence, and the place in its batch."""


class _Attempt(msgspec.Struct):
    """One that was permitted."""

    time: float
    place: Place
    record: DecisionRecord
    outcome: OutcomeRecord | None = None


class _Parts:
    """Sums by name, the first names that came."""

    def __init__(self) -> None:
        self._sums: OrderedDict[str, Sum] = OrderedDict()

    def add(self, name: str, used: Sum) -> None:
        known = name if name in self._sums or len(self._sums) < PARTS_MAX else OTHERS
        self._sums[known] = _more(self._sums.get(known, Sum()), used)

    def shown(self) -> list[StatementPart]:
        return [StatementPart(name, sum) for name, sum in sorted(self._sums.items())]


class StatementFold:
    """Folds a tenant's records in the stream's order; then `statement`."""

    def __init__(self, tenant: str, request: StatementRequest, now: float) -> None:
        self._tenant = tenant
        self._request = request
        self._now = now
        self._after = place_of(request.after)
        self._until = request.until or now
        self._open: dict[str, _Attempt] = {}
        self._over: set[str] = set()
        self._page: list[_Attempt] = []
        self._more = False
        self._opening = Sum()
        self._committed = Sum()
        self._reserved = Sum()
        self._by = {name: _Parts() for name in ("resource", "action", "day")}
        self.heard = 0

    def fold(self, record: Record, stored: float, place: Place) -> None:
        """One record; what cannot be read says nothing. A decision or an outcome that comes again changes nothing."""
        self.heard = place[0]
        try:
            if record.type == DECISION:
                self._decided(msgspec.json.decode(record.data, type=DecisionRecord), stored, place)
            elif record.type == OUTCOME:
                self._ended(msgspec.json.decode(record.data, type=OutcomeRecord))
        except msgspec.DecodeError:
            return

    def statement(self) -> Statement:
        """Of all that was folded."""
        for attempt in self._open.values():
            self._count(attempt)
        request, first = self._request, not self._request.after
        return Statement(
            account=request.account,
            since=request.since,
            until=self._until,
            lines=[self._line(attempt) for attempt in self._page],
            opening=self._opening if first else Sum(),
            committed=self._committed if first else Sum(),
            reserved=self._reserved if first else Sum(),
            by_resource=self._by["resource"].shown() if first else [],
            by_action=self._by["action"].shown() if first else [],
            by_day=self._by["day"].shown() if first else [],
            next=name_of(self._page[-1].place) if self._more else "",
            heard=self.heard,
        )

    def _decided(self, record: DecisionRecord, stored: float, place: Place) -> None:
        if record.effect not in HOLDING or not record.outcome_due or stored >= self._until:
            return
        if record.attempt in self._open or record.attempt in self._over:
            return
        if self._request.account not in accounts_of(record, self._tenant):
            return
        attempt = _Attempt(stored, place, record)
        self._open[record.attempt] = attempt
        if stored < self._request.since or place <= self._after:
            return
        if len(self._page) < self._request.limit:
            self._page.append(attempt)
        else:
            self._more = True

    def _ended(self, outcome: OutcomeRecord) -> None:
        attempt = self._open.pop(outcome.attempt, None)
        if attempt is None:
            return
        self._over.add(outcome.attempt)
        attempt.outcome = outcome
        self._count(attempt)

    def _count(self, attempt: _Attempt) -> None:
        used, state = self._used(attempt)
        if state == "reserved":
            if attempt.time >= self._request.since:
                self._reserved = _more(self._reserved, used)
        elif attempt.time < self._request.since:
            self._opening = _more(self._opening, used)
        else:
            self._committed = _more(self._committed, used)
            self._by["resource"].add(attempt.record.resource, used)
            self._by["action"].add(attempt.record.action, used)
            self._by["day"].add(datetime.fromtimestamp(attempt.time, UTC).strftime("%Y-%m-%d"), used)

    def _used(self, attempt: _Attempt) -> tuple[Sum, State]:
        record = attempt.record
        if attempt.outcome is None:
            state: State = "reserved" if record.outcome_due > self._now else "expired"
            return Sum(record.reserved_nano, record.reserved_tokens, 1), state
        used = spent(attempt.outcome)
        nano = record.reserved_nano if used.nano == AS_RESERVED else used.nano
        tokens = record.reserved_tokens if used.tokens == AS_RESERVED else used.tokens
        return Sum(nano, tokens, 1 if used.requests == AS_RESERVED else used.requests), "settled"

    def _line(self, attempt: _Attempt) -> StatementLine:
        used, state = self._used(attempt)
        record, outcome = attempt.record, attempt.outcome
        return StatementLine(
            time=round(attempt.time, 3),
            attempt=record.attempt,
            subject=record.who.origin,
            action=record.action,
            resource=record.resource,
            state=state,
            nano=used.nano,
            tokens=used.tokens,
            status=outcome.status if outcome else "",
            deployment=outcome.deployment if outcome else "",
            agent=record.who.chain[-1] if record.who.chain else "",
            job=record.job,
            request=record.request,
            decision=record.decision,
        )


def accounts_of(record: DecisionRecord, tenant: str) -> set[str]:
    """Whom an attempt is for: the accounts that it was reserved in, and those that it would be were they limited."""
    who = record.who
    found = {f"tenant:{tenant}", who.origin, *who.chain, *(split_pot(pot)[0] for pot in record.accounts)}
    named = (("key", who.key), ("team", record.team), ("run", record.run))
    return found | {f"{kind}:{name}" for kind, name in named if name}


def place_of(name: str) -> Place:
    """Raises ValueError. "" is before everything."""
    sequence, _, number = name.partition(".")
    return (int(sequence), int(number or 0)) if name else (0, -1)


def name_of(place: Place) -> str:
    return f"{place[0]}.{place[1]}"


def _more(sum: Sum, used: Sum) -> Sum:
    return Sum(sum.nano + used.nano, sum.tokens + used.tokens, sum.requests + used.requests)
