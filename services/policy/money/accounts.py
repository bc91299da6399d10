"""Accounts in the shared store: reserve in every pot or in none, settle once, and never above a limit.

Each change is one Lua script. The store is a copy of the audit stream's fold (ledger.py): when it is empty it is filled
from there, and until then answers nothing. What is reserved is pending until its decision is heard in the stream; what
can have none any more is given back, whoever died in between (docs/decisions/0011-pending-reservations.md).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.kit.clock import Clock
from penstock.kit.store import Script, Store
from services.policy.money.ledger import AS_RESERVED, Ledger, Recorded, Spent
from services.policy.money.limits import Pot, kept_until, split_pot

GROUP_MAX = 64
EXPIRE_GROUP = 200
VOID_GROUPS_MAX = 50
LATE_OUTCOME_S = 24 * 3600
"""How long an expired reservation waits for the outcome that corrects it, and one given back for a late decision."""
_TENANTS = "penstock:tenants"
_SCRIPTS = Path(__file__).with_name("scripts")

Answer = TypeVar("Answer")
Fold = Callable[[str], Awaitable[Ledger]]
"""The balances of a tenant, from the audit stream."""


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


class Reserved(msgspec.Struct, frozen=True):
    """`held`: this attempt had reserved before, `answer` is what it was told. `short`: `pot` has not enough
    (`what` is nano or tokens). `over`: the attempt is settled or given back. `conflict`: it stands for another
    question. `left`: nano-dollars left in the narrowest pot, -1 without a limit."""

    state: Literal["reserved", "held", "short", "over", "conflict"]
    pot: str = ""
    what: str = ""
    left: int = -1
    answer: str = ""


_Waiting = tuple[Hold, asyncio.Future[Reserved]]
_NO_ANSWER = FailureBody(Code.UNAVAILABLE, "the store gave no answer", retry_after_s=1.0)


class Accounts:
    """The accounts of all tenants. Raises Failure(UNAVAILABLE) when the store does not answer."""

    def __init__(
        self, store: Store, fold: Fold, clock: Clock, *, timeout_s: float, settled_kept_s: int, unrecorded_s: float
    ) -> None:
        """`timeout_s`: how long the store may take; `settled_kept_s`: how long a settled attempt is remembered;
        `unrecorded_s`: how long after it was asked for a decision may be stored, and not later."""
        self._store = store
        self._fold = fold
        self._clock = clock
        self._timeout_s = timeout_s
        self._settled_kept_s = settled_kept_s
        self._unrecorded_s = unrecorded_s
        self._scripts = {path.stem: Script(path.read_text(encoding="utf-8")) for path in _SCRIPTS.glob("*.lua")}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._opening: dict[str, asyncio.Lock] = {}

    async def reserve(self, tenant: str, hold: Hold) -> Reserved:
        """All pots or none. The same attempt asked again is one reservation."""
        future: asyncio.Future[Reserved] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(tenant)
        if waiting is None:
            self._waiting[tenant] = [(hold, future)]
            sender = asyncio.create_task(self._send(tenant))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        else:
            waiting.append((hold, future))
        return await future

    async def settle(self, tenant: str, spent: Sequence[Spent]) -> list[int]:
        """What each attempt was settled with, in nano-dollars; -1 for one that had nothing to settle."""
        asked = [{"attempt": one.attempt, "nano": _amount(one.nano), "tokens": _amount(one.tokens)} for one in spent]
        answer = await self._opened(tenant, "settle", self._settled_kept_s, _json(asked))
        return [int(nano) if nano else -1 for nano in msgspec.json.decode(_bytes(answer), type=list[str])]

    async def recorded(self, tenant: str, decisions: Sequence[Recorded]) -> None:
        """These stand in the audit stream: they are not given back any more, and their leases run."""
        now = self._clock.now()
        told = _json([_told(one, now) for one in decisions])
        await self._opened(tenant, "recorded", f"{self._unrecorded_s:.3f}", told)

    async def undo(self, tenant: str, attempt: str) -> bool:
        """Gives back what nobody was permitted, and closes the attempt; if it is recorded the hold stays, for the
        outcome to settle. False when it was asked about again meanwhile: then all is left as it is."""
        answer = await self._run(tenant, "void", LATE_OUTCOME_S, 0, 0, attempt)
        return bool(_texts(answer))

    async def overdue(self) -> list[str]:
        """The tenants with something pending for so long that its decision, if there is one, is stored."""
        tenants = sorted(_texts(await self._within(self._store.do("SMEMBERS", _TENANTS))))
        before = f"{self._clock.now() - self._unrecorded_s:.6f}"
        commands = [("ZCOUNT", f"{_prefix(tenant)}pending", "-inf", before) for tenant in tenants]
        counts: list[object] = await self._within(self._store.do_all(commands)) if commands else []
        return [tenant for tenant, count in zip(tenants, counts, strict=True) if count]

    async def give_back(self, tenant: str, heard_until: float) -> list[str]:
        """Ends what is pending and can have no decision any more: all that was stored before `heard_until` (Unix
        seconds) was told to `recorded`. Returns the attempts."""
        before = f"{heard_until - self._unrecorded_s:.6f}"
        ended: list[str] = []
        for _ in range(VOID_GROUPS_MAX):
            group = _texts(await self._run(tenant, "void", LATE_OUTCOME_S, before, EXPIRE_GROUP, ""))
            ended.extend(group)
            if len(group) < EXPIRE_GROUP:
                break
        return ended

    async def expire(self) -> list[str]:
        """Ends the leases that ran out, of every tenant; a few hundred for each at once. Returns their attempts."""
        tenants = await self._within(self._store.do("SMEMBERS", _TENANTS))
        ended: list[str] = []
        for tenant in _texts(tenants):
            answer = await self._run(tenant, "expire", f"{self._clock.now():.3f}", EXPIRE_GROUP, LATE_OUTCOME_S)
            ended.extend(_texts(answer))
        return ended

    async def used(self, tenant: str, names: Sequence[str]) -> list[tuple[int, int, int, int]]:
        """Committed and held nano-dollars, committed and held tokens, of each pot."""
        await self._open(tenant)
        fields = ("nano", "held_nano", "tokens", "held_tokens")
        commands = [("HMGET", f"{_prefix(tenant)}pot:{name}", *fields) for name in names]
        answers: list[object] = await self._within(self._store.do_all(commands)) if commands else []
        return [_four(answer) for answer in answers]

    async def check(self) -> None:
        """For readiness. Raises Failure(UNAVAILABLE)."""
        await self._within(self._store.do("PING"))

    async def _send(self, tenant: str) -> None:
        """One group under way per tenant; what comes meanwhile is the next."""
        try:
            while group := self._waiting[tenant]:
                self._waiting[tenant] = group[GROUP_MAX:]
                await self._send_group(tenant, group[:GROUP_MAX])
        finally:
            _give(self._waiting.pop(tenant), [], _NO_ANSWER)

    async def _send_group(self, tenant: str, group: list[_Waiting]) -> None:
        failure = _NO_ANSWER
        answers: list[Reserved] = []
        try:
            answers = await self._reserve([hold for hold, _ in group], tenant)
        except Failure as raised:
            failure = raised.body()
        finally:
            _give(group, answers, failure)

    async def _reserve(self, holds: list[Hold], tenant: str) -> list[Reserved]:
        answer = await self._opened(tenant, "reserve", _json(_asked(holds)))
        return msgspec.json.decode(_bytes(answer), type=list[Reserved], strict=False)

    async def _opened(self, tenant: str, script: str, *arguments: str | int | bytes) -> object:
        """The script's answer, after filling the store if it knows nothing of the tenant."""
        for _ in range(3):
            answer = await self._run(tenant, script, *arguments)
            if answer != b'"unopened"':
                return answer
            await self._open(tenant)
        raise Failure(Code.UNAVAILABLE, "the balances could not be read from the audit log", retry_after_s=1.0)

    async def _open(self, tenant: str) -> None:
        """Fills the store from the audit stream, unless it is filled."""
        async with self._opening.setdefault(tenant, asyncio.Lock()):
            if await self._within(self._store.do("EXISTS", f"{_prefix(tenant)}ledger")) == 1:
                return
            ledger = await self._fold(tenant)
            now = self._clock.now()
            ledger.expire(now)
            folded = _json(_folded(ledger, now))
            prefix = _prefix(tenant)
            keys = (f"{prefix}ledger", f"{prefix}due", _TENANTS)
            arguments = (prefix, tenant, f"{now:.3f}", folded, LATE_OUTCOME_S, ledger.sequence)
            await self._within(self._store.run(self._scripts["open"], keys, arguments))

    async def _run(self, tenant: str, script: str, *arguments: str | int | bytes) -> object:
        prefix = _prefix(tenant)
        keys = (f"{prefix}ledger", f"{prefix}due", f"{prefix}pending")
        return await self._within(self._store.run(self._scripts[script], keys, (prefix, *arguments)))

    async def _within(self, answer: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            raise Failure(Code.UNAVAILABLE, "the store does not answer", retry_after_s=1.0) from None


def _prefix(tenant: str) -> str:
    """All keys of a tenant in one slot of a cluster."""
    return f"penstock:{{{tenant}}}:"


def _give(group: list[_Waiting], answers: list[Reserved], failure: FailureBody) -> None:
    """Each its answer; the failure to those that have none."""
    for place, (_, future) in enumerate(group):
        if future.done():
            continue
        if place < len(answers):
            future.set_result(answers[place])
        else:
            future.set_exception(Failure.of(failure))


def _asked(holds: list[Hold]) -> list[dict[str, object]]:
    return [
        {
            "attempt": hold.attempt,
            "digest": hold.digest,
            "nano": str(hold.nano),
            "tokens": str(hold.tokens),
            "asked": f"{hold.asked:.6f}",
            "answer": hold.answer.decode(),
            "pots": [
                {
                    "name": pot.name,
                    "nano": str(pot.limit_nano),
                    "tokens": str(pot.limit_tokens),
                    "kept_until": str(pot.kept_until),
                }
                for pot in hold.pots
            ],
        }
        for hold in holds
    ]


def _told(one: Recorded, now: float) -> dict[str, object]:
    held = one.held
    return {
        "attempt": one.attempt,
        "sequence": one.sequence,
        "stored": one.stored,
        "nano": str(held.nano),
        "tokens": str(held.tokens),
        "due": f"{held.due:.3f}",
        "pots": [{"name": name, "kept_until": str(kept_until(*split_pot(name), now))} for name in held.pots],
    }


def _folded(ledger: Ledger, now: float) -> dict[str, list[dict[str, str]]]:
    pots: list[dict[str, str]] = []
    for name, balance in ledger.pots.items():
        kept = kept_until(*split_pot(name), now)
        if kept and kept <= now:
            continue
        numbers = {key: str(value) for key, value in msgspec.structs.asdict(balance).items()}
        pots.append({"name": name, "kept_until": str(kept), **numbers})
    attempts = [
        {
            "attempt": attempt,
            "state": state,
            "nano": str(held.nano),
            "tokens": str(held.tokens),
            "pots": " ".join(held.pots),
            "due": f"{held.due:.3f}",
        }
        for state, all_held in (("held", ledger.held), ("expired", ledger.expired))
        for attempt, held in all_held.items()
    ]
    return {"pots": pots, "attempts": attempts}


def _amount(amount: int) -> str:
    return "" if amount == AS_RESERVED else str(amount)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise Failure(Code.INTERNAL, "the store gave a strange answer")
    return answer


def _texts(answer: object) -> list[str]:
    found = list(answer) if isinstance(answer, list | set) else []
    return [one.decode() for one in found if isinstance(one, bytes)]


def _four(answer: object) -> tuple[int, int, int, int]:
    if not isinstance(answer, list) or len(answer) != 4:
        raise Failure(Code.INTERNAL, "the store gave a strange answer")
    nano, held_nano, tokens, held_tokens = (int(one) if isinstance(one, bytes) else 0 for one in answer)
    return nano, held_nano, tokens, held_tokens
