"""What this process has seen of those who ask: how often in a minute, and what was left of their money.

In memory alone, so that a fact of it costs no round trip; another process has seen other questions.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

from msgspec.structs import replace

from penstock.contracts.policy import Decision, Fact, Question
from penstock.kit.identity import Claims

WINDOW_S = 60.0
KNOWN_MAX = 10_000
NO_LIMIT = -1
Key = TypeVar("Key")
Value = TypeVar("Value")


class Pace:
    """The facts `minute_rate` (of the person, this question included) and `budget_left_nano` (of the tightest account,
    as it was after the last reservation; -1 where there is none, or none was seen)."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._rates: _Latest[tuple[str, str], tuple[int, int, int]] = _Latest(known_max)
        self._left: _Latest[tuple[str, str, str, str], int] = _Latest(known_max)

    def told(self, question: Question, claims: Claims, now: float) -> Question:
        """The question with these facts, whatever the asker wrote; first, so that no record is too full for them.
        Counts it."""
        facts: dict[str, Fact] = {
            "minute_rate": self._counted(claims, now),
            "budget_left_nano": self._left.get(_account(claims), NO_LIMIT),
        }
        return replace(question, context=facts | question.context | facts)

    def seen(self, claims: Claims, decision: Decision) -> None:
        """What a decision said is left."""
        if decision.context.remaining_nano != NO_LIMIT:
            self._left.put(_account(claims), decision.context.remaining_nano)

    def _counted(self, claims: Claims, now: float) -> int:
        """By the share of the last window that still counts, as two counters tell it."""
        window = int(now // WINDOW_S)
        who = (claims.tenant, claims.sub)
        last, count, before = self._rates.get(who, (window, 0, 0))
        if window != last:
            count, before = 0, count if window == last + 1 else 0
        count += 1
        self._rates.put(who, (window, count, before))
        return count + int(before * (1 - now % WINDOW_S / WINDOW_S))


class _Latest(Generic[Key, Value]):
    """The entries that were written last."""

    def __init__(self, most: int) -> None:
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._most = most

    def get(self, key: Key, otherwise: Value) -> Value:
        return self._entries.get(key, otherwise)

    def put(self, key: Key, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


def _account(claims: Claims) -> tuple[str, str, str, str]:
    return (claims.tenant, claims.sub, claims.key, claims.run)
