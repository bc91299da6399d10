"""The accounts on paper: what the store's scripts must do, said once more in plain Python, and what is in the store.

`PaperBooks` does each thing that can be asked of Accounts; `in_store` reads back everything that the store keeps of a
tenant. Both are compared after every step, key by key: whatever a script does more, less or otherwise is seen.
"""

from dataclasses import dataclass, field

from penstock.kit.store import Argument, Store
from services.policy.money.holds import Hold, Reserved
from services.policy.money.ledger import AS_RESERVED, Held, Ledger, Recorded, Spent
from services.policy.money.limits import MEASURES
from services.policy.money.periods import kept_until, split_pot

PREFIX = "penstock:{acme}:"
LATE_S, SETTLED_S = 24 * 3600, 900
Amounts = tuple[int, int, int, int]
State = dict[str, object]


@dataclass
class Kept:
    """What is kept of one attempt. `ttl_s` 0: until further notice."""

    state: str
    amounts: Amounts = (0, 0, 0, 0)
    pots: tuple[str, ...] = ()
    digest: str | None = None
    answer: str | None = None
    asked: str | None = None
    again: bool = False
    over: bool = False
    ttl_s: int = 0


@dataclass
class PaperPot:
    """`numbers` by field; `until`: when it may be forgotten, 0 never."""

    since: float
    until: int = 0
    limits: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, amounts: Amounts, sign: int) -> None:
        for measure, amount in zip(MEASURES, amounts, strict=True):
            if kind or measure != "slots":
                name = kind + measure
                self.numbers[name] = self.numbers.get(name, 0) + sign * amount

    def used(self, measure: str) -> int:
        return self.numbers.get(measure, 0)


class PaperBooks:
    """One tenant's. `percents` of alerts, lowest first."""

    def __init__(self, percents: tuple[int, ...], unrecorded_s: float) -> None:
        self._percents = percents
        self._unrecorded_s = unrecorded_s
        self.clear()

    def clear(self) -> None:
        """The store was emptied."""
        self.opened: tuple[int, float] | None = None
        self.pots: dict[str, PaperPot] = {}
        self.attempts: dict[str, Kept] = {}
        self.due: dict[str, float] = {}
        self.pending: dict[str, float] = {}
        self.alerts: dict[str, int] = {}

    def open(self, ledger: Ledger, now: float) -> None:
        if self.opened is not None:
            return
        self.opened = (ledger.sequence, now)
        for name, balance in ledger.pots.items():
            pot = PaperPot(ledger.since[name], kept_until(*split_pot(name), now))
            pot.numbers = {key: getattr(balance, key) for key in balance.__struct_fields__}
            pot.told = dict(ledger.told.get(name, {}))
            self.pots[name] = pot
        for state, all_held in (("held", ledger.held), ("expired", ledger.expired)):
            for attempt, held in all_held.items():
                self.attempts[attempt] = Kept(state, _of(held), held.pots, digest="")
                if state == "held":
                    self.due[attempt] = held.due
                else:
                    self.attempts[attempt].ttl_s = LATE_S

    def reserve(self, hold: Hold) -> Reserved:
        kept = self.attempts.get(hold.attempt)
        if kept is not None:
            return self._again(kept, hold)
        wanted = (hold.nano, hold.tokens, hold.requests, hold.slots)
        lefts: list[int] = []
        for pot in hold.pots:
            has = self.pots.get(pot.name, PaperPot(0))
            for measure, limit, amount in zip(MEASURES, pot.limits, wanted, strict=True):
                free = limit - has.used(measure) - has.used("held_" + measure)
                if limit >= 0 and amount > 0 and free < amount:
                    self._notice(pot.name, measure)
                    return Reserved("short", pot.name, measure, free)
            if pot.limit_nano >= 0:
                lefts.append(max(0, pot.limit_nano - has.used("nano") - has.used("held_nano") - hold.nano))
        for pot in hold.pots:
            has = self.pots.setdefault(pot.name, PaperPot(hold.asked))
            has.add("held_", wanted, 1)
            has.until = pot.kept_until or has.until
            minutely = len(pot.window) in (13, 16)
            if not minutely and max(pot.limits[:3]) >= 0:
                has.limits = " ".join(str(limit) for limit in pot.limits[:3])
        names = tuple(pot.name for pot in hold.pots)
        asked = f"{hold.asked:.6f}"
        self.attempts[hold.attempt] = Kept("held", wanted, names, hold.digest, hold.answer.decode(), asked)
        self.pending[hold.attempt] = hold.asked
        return Reserved("reserved", left=min(lefts, default=-1))

    def _again(self, kept: Kept, hold: Hold) -> Reserved:
        if kept.state != "held" or kept.over:
            return Reserved("over")
        if kept.digest != hold.digest:
            return Reserved("conflict")
        if kept.asked != f"{hold.asked:.6f}":
            kept.again = True
            if hold.attempt in self.pending:
                self.pending[hold.attempt] = max(self.pending[hold.attempt], hold.asked)
        return Reserved("held", answer=kept.answer or "")

    def recorded(self, one: Recorded, now: float) -> None:
        kept = self.attempts.get(one.attempt)
        assert self.opened is not None
        if kept is not None and kept.state == "held":
            if self.pending.pop(one.attempt, None) is not None:
                self.due[one.attempt] = one.held.due
                if (kept.amounts, kept.pots) != (_of(one.held), one.held.pots):
                    self._move(kept, "held_", -1)
                    self._hold(kept, one, now)
        elif kept is not None and kept.state == "void":
            self._hold(kept, one, now)
        elif kept is None:
            sequence, opened = self.opened
            if one.sequence > sequence and one.stored <= opened + self._unrecorded_s:
                self._hold(self.attempts.setdefault(one.attempt, Kept("held", digest="")), one, now)

    def _hold(self, kept: Kept, one: Recorded, now: float) -> None:
        kept.state, kept.amounts, kept.pots, kept.ttl_s = "held", _of(one.held), one.held.pots, 0
        for name in kept.pots:
            pot = self.pots.setdefault(name, PaperPot(one.stored))
            pot.until = kept_until(*split_pot(name), now) or pot.until
        self._move(kept, "held_", 1)
        self.due[one.attempt] = one.held.due

    def settle(self, spent: Spent) -> int:
        kept = self.attempts.get(spent.attempt)
        if kept is None or kept.state == "settled":
            return -1
        asked = (spent.nano, spent.tokens, spent.requests)
        used = [own if one == AS_RESERVED else one for one, own in zip(asked, kept.amounts, strict=False)]
        if kept.state == "held":
            self._move(kept, "held_", -1)
        elif kept.state == "expired":
            self._move(kept, "", -1)
        for name in kept.pots:
            if name in self.pots:
                self.pots[name].add("", (used[0], used[1], used[2], 0), 1)
            self._notice(name)
        self.attempts[spent.attempt] = Kept("settled", ttl_s=SETTLED_S)
        self.due.pop(spent.attempt, None)
        self.pending.pop(spent.attempt, None)
        return used[0]

    def undo(self, attempt: str) -> bool:
        kept = self.attempts.get(attempt)
        if kept is not None and kept.again:
            return False
        if kept is not None and kept.state == "held":
            kept.over = True
        return True

    def give_back(self, before: float) -> list[str]:
        ended = [attempt for attempt, asked in sorted(self.pending.items(), key=_by_score) if asked <= before]
        for attempt in ended:
            self._void(attempt)
        return ended

    def _void(self, attempt: str) -> None:
        kept = self.attempts.get(attempt)
        if self.pending.pop(attempt, None) is not None and kept is not None and kept.state == "held":
            self._move(kept, "held_", -1)
            kept.state, kept.ttl_s = "void", LATE_S

    def expire(self, now: float) -> list[str]:
        ended = [attempt for attempt, due in sorted(self.due.items(), key=_by_score) if due <= now]
        for attempt in ended:
            del self.due[attempt]
            kept = self.attempts.get(attempt)
            if kept is not None and kept.state == "held":
                self._move(kept, "held_", -1)
                self._move(kept, "", 1)
                for name in kept.pots:
                    self._notice(name)
                kept.state, kept.answer, kept.ttl_s = "expired", None, LATE_S
        return ended

    def forget(self, pot: str) -> None:
        """Its time is over."""
        self.pots.pop(pot, None)

    def _move(self, kept: Kept, kind: str, sign: int) -> None:
        for name in kept.pots:
            if name in self.pots:
                self.pots[name].add(kind, kept.amounts, sign)

    def _notice(self, name: str, refused: str = "") -> None:
        pot = self.pots.get(name)
        if pot is None or not pot.limits:
            return
        for measure, limit in zip(MEASURES, pot.limits.split(), strict=False):
            told_limit, _, told = pot.told.get(measure, "").partition(":")
            known = int(told) if told_limit == limit else 0
            for percent in self._percents:
                reached = 100 * pot.used(measure) >= int(limit) * percent
                if refused == measure and percent == self._percents[-1]:
                    reached = True
                if int(limit) >= 0 and reached and percent > known:
                    pot.told[measure] = f"{limit}:{percent}"
                    self.alerts[f"{measure} {percent} {limit} {name}"] = pot.used(measure)

    def state(self) -> State:
        """In the form of `in_store`."""
        found: State = {"ledger": self.opened, "due": self.due, "pending": self.pending, "alerts": self.alerts}
        for name, pot in self.pots.items():
            fields: State = {key: number for key, number in pot.numbers.items() if number}
            fields |= {f"told_{measure}": mark for measure, mark in pot.told.items()}
            fields |= {"since": round(pot.since, 3), "until": pot.until}
            found[f"pot:{name}"] = fields | ({"limits": pot.limits} if pot.limits else {})
        for attempt, kept in self.attempts.items():
            fields = {"state": kept.state, "ttl": kept.ttl_s}
            if kept.state != "settled":
                texts = {"digest": kept.digest, "answer": kept.answer, "asked": kept.asked}
                fields |= {"amounts": kept.amounts, "pots": kept.pots, "again": kept.again, "over": kept.over}
                fields |= {name: text for name, text in texts.items() if text is not None}
            found[f"attempt:{attempt}"] = fields
        return {name: value for name, value in found.items() if value or name.startswith("pot:")}


async def in_store(store: Store) -> State:
    """Everything that is kept of the tenant."""
    keys = await store.do("KEYS", PREFIX + "*")
    names = [key.decode() for key in keys] if isinstance(keys, list) else []
    commands: list[tuple[Argument, ...]] = []
    for key in names:
        commands += [_reading(key), ("EXPIRETIME", key), ("TTL", key)]
    answers = await store.do_all(commands) if commands else []
    return {
        key.removeprefix(PREFIX): _read(key.removeprefix(PREFIX), *answers[3 * place : 3 * place + 3])
        for place, key in enumerate(names)
    }


def _reading(key: str) -> tuple[Argument, ...]:
    match key.removeprefix(PREFIX):
        case "ledger":
            return "GET", key
        case "due" | "pending":
            return "ZRANGE", key, "0", "-1", "WITHSCORES"
        case _:
            return "HGETALL", key


def _read(name: str, answer: object, until: object, ttl: object) -> object:
    if isinstance(answer, bytes):
        folded, _, opened = answer.decode().partition(" ")
        return int(folded), float(opened)
    if isinstance(answer, list):
        return {_text(member): float(score) for member, score in answer}
    assert isinstance(answer, dict)
    fields = {_text(field): _text(value) for field, value in answer.items()}
    if name == "alerts":
        return {field: int(value) for field, value in fields.items()}
    if name.startswith("pot:"):
        return _pot(fields) | {"until": until if isinstance(until, int) and until > 0 else 0}
    return _attempt(fields, ttl if isinstance(ttl, int) else -2)


def _pot(fields: dict[str, str]) -> State:
    shown: State = {"since": round(float(fields.pop("since")), 3)} if "since" in fields else {}
    for field_name, value in fields.items():
        if field_name == "limits" or field_name.startswith("told_"):
            shown[field_name] = value
        elif int(value):
            shown[field_name] = int(value)
    return shown


def _attempt(fields: dict[str, str], ttl: int) -> State:
    ttls = [whole for whole in (SETTLED_S, LATE_S) if whole - 120 <= ttl <= whole]
    shown: State = {"state": fields.pop("state"), "ttl": ttls[0] if ttls else 0 if ttl == -1 else ttl}
    if shown["state"] != "settled":
        shown["amounts"] = tuple(int(fields.pop(measure)) for measure in MEASURES)
        shown["pots"] = tuple(fields.pop("pots").split())
        shown["again"] = fields.pop("again", "") == "1"
        shown["over"] = fields.pop("over", "") == "1"
    return shown | fields


def _of(held: Held) -> Amounts:
    return held.nano, held.tokens, held.requests, held.slots


def _by_score(item: tuple[str, float]) -> tuple[float, str]:
    return item[1], item[0]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
