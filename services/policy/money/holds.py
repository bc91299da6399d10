"""What is asked of the accounts and what they answer, and how both stand in the store's scripts. Pure.

Amounts are decimal texts there, in the order of MEASURES.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from services.policy.money.ledger import AS_RESERVED, Balance, Held, Ledger, Recorded, Spent
from services.policy.money.limits import NO_LIMIT, Pot
from services.policy.money.periods import kept_until, period_of, split_pot

Form = dict[str, object]


class Hold(msgspec.Struct, frozen=True):
    """What to reserve. `due`: Unix seconds when the lease ends. `answer` is kept, and given to who asks again. `asked`:
    Unix seconds when it was; it tells one asking from another."""

    attempt: str
    digest: str
    nano: int
    tokens: int
    due: float
    pots: tuple[Pot, ...]
    answer: bytes
    asked: float
    requests: int = 0
    slots: int = 0


class Reserved(msgspec.Struct, frozen=True):
    """`held`: this attempt had reserved before, `answer` is what it was told. `short`: `pot` has not enough (`what` is
    one of MEASURES), and only `left`. `over`: the attempt is settled or given back. `conflict`: it stands for another
    question. `left` of `reserved`: nano-dollars left in the narrowest pot, -1 without a limit."""

    state: Literal["reserved", "held", "short", "over", "conflict"]
    pot: str = ""
    what: str = ""
    left: int = -1
    answer: str = ""


def asked(holds: Sequence[Hold]) -> bytes:
    """For reserve.lua."""
    return _json(
        [
            {
                "attempt": hold.attempt,
                "digest": hold.digest,
                "amounts": [str(hold.nano), str(hold.tokens), str(hold.requests), str(hold.slots)],
                "asked": f"{hold.asked:.6f}",
                "answer": hold.answer.decode(),
                "pots": [_pot(pot) for pot in hold.pots],
            }
            for hold in holds
        ]
    )


def told(decisions: Sequence[Recorded], now: float) -> bytes:
    """For recorded.lua."""
    return _json(
        [
            {
                "attempt": one.attempt,
                "sequence": one.sequence,
                "stored": one.stored,
                "amounts": _amounts(one.held),
                "due": f"{one.held.due:.3f}",
                "pots": [
                    {"name": name, "kept_until": str(kept_until(*split_pot(name), now))} for name in one.held.pots
                ],
            }
            for one in decisions
        ]
    )


def settled(spent: Sequence[Spent]) -> bytes:
    """For settle.lua."""
    return _json(
        [
            {"attempt": one.attempt, "amounts": [_spent(one.nano), _spent(one.tokens), _spent(one.requests)]}
            for one in spent
        ]
    )


def folded(ledger: Ledger, now: float) -> bytes:
    """For open.lua: what may be forgotten is left out."""
    pots: list[Form] = []
    for name, balance in ledger.pots.items():
        kept = kept_until(*split_pot(name), now)
        if kept and kept <= now:
            continue
        fields = {name: str(value) for name, value in msgspec.structs.asdict(balance).items()}
        fields |= {f"told_{measure}": mark for measure, mark in ledger.told.get(name, {}).items()}
        fields["since"] = f"{ledger.since.get(name, now):.6f}"
        pots.append(
            {"name": name, "kept_until": str(kept), "fields": [text for both in fields.items() for text in both]}
        )
    attempts: list[Form] = [
        {
            "attempt": attempt,
            "state": state,
            "amounts": _amounts(held),
            "pots": " ".join(held.pots),
            "due": f"{held.due:.3f}",
        }
        for state, all_held in (("held", ledger.held), ("expired", ledger.expired))
        for attempt, held in all_held.items()
    ]
    return _json({"pots": pots, "attempts": attempts})


class Standing(msgspec.Struct, frozen=True):
    """A pot as it stands in the store. `since`: Unix seconds of the first reservation in it, 0: none."""

    balance: Balance
    since: float = 0.0


STANDING = (*Balance.__struct_fields__, "since")
"""The fields to ask for."""


def standing(answer: object) -> Standing:
    """What HMGET answered for STANDING."""
    found = answer if isinstance(answer, list) and len(answer) == len(STANDING) else [None] * len(STANDING)
    *numbers, since = [one.decode() if isinstance(one, bytes) else "0" for one in found]
    return Standing(Balance(*(int(number) for number in numbers)), float(since))


@lru_cache(maxsize=2048)
def _pot(pot: Pot) -> Form:
    """The same pots are asked again and again, until their windows end."""
    return {
        "name": pot.name,
        "limits": [str(limit) for limit in pot.limits],
        "kept_until": str(pot.kept_until),
        "alerts": _alerts(pot),
    }


def _alerts(pot: Pot) -> str:
    """The limits that somebody is told of when they are nearly reached: not those of minutes and hours, which are to
    be reached again and again."""
    *limits, _ = pot.limits
    if period_of(pot.window) in ("minute", "hour") or all(limit == NO_LIMIT for limit in limits):
        return ""
    return " ".join(str(limit) for limit in limits)


def _amounts(held: Held) -> list[str]:
    return [str(held.nano), str(held.tokens), str(held.requests), str(held.slots)]


def _spent(amount: int) -> str:
    return "" if amount == AS_RESERVED else str(amount)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
