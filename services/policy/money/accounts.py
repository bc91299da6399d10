"""Accounts in the shared store: reserve in every pot or in none, settle once, and never above a limit.

Each change is one Lua script. The store is a copy of the audit stream's fold (ledger.py): when it is empty it is filled
from there, and until then answers nothing. What is reserved is pending until its decision is heard in the stream; what
can have none any more is given back, whoever died in between (docs/decisions/0011-pending-reservations.md).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.kit.clock import Clock
from penstock.kit.store import Script, Store
from services.policy.money.alert import Alert, alert, field_of
from services.policy.money.holds import STANDING, Hold, Reserved, Standing, asked, folded, settled, standing, told
from services.policy.money.ledger import Ledger, Recorded, Spent

GROUP_MAX = 64
EXPIRE_GROUP = 200
VOID_GROUPS_MAX = 50
LATE_OUTCOME_S = 24 * 3600
"""How long an expired reservation waits for the outcome that corrects it, and one given back for a late decision."""
_TENANTS = "penstock:tenants"
SCRIPTS = Path(__file__).with_name("scripts")

Answer = TypeVar("Answer")
Fold = Callable[[str], Awaitable[Ledger]]
"""The balances of a tenant, from the audit stream."""


_Waiting = tuple[Hold, asyncio.Future[Reserved]]
_NO_ANSWER = FailureBody(Code.UNAVAILABLE, "the store gave no answer", retry_after_s=1.0)


class Accounts:
    """The accounts of all tenants. Raises Failure(UNAVAILABLE) when the store does not answer."""

    def __init__(
        self,
        store: Store,
        fold: Fold,
        clock: Clock,
        *,
        timeout_s: float,
        settled_kept_s: int,
        unrecorded_s: float,
        alert_percents: Sequence[int] = (50, 80, 100),
        scripts: Path = SCRIPTS,
    ) -> None:
        """`timeout_s`: how long the store may take; `settled_kept_s`: how long a settled attempt is remembered;
        `unrecorded_s`: how long after it was asked for a decision may be stored, and not later; `alert_percents`: of a
        limit, lowest first: reaching it is noted (`alerts`)."""
        self._store = store
        self._fold = fold
        self._clock = clock
        self._timeout_s = timeout_s
        self._settled_kept_s = settled_kept_s
        self._unrecorded_s = unrecorded_s
        self._scripts = load_scripts(scripts, alert_percents)
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
        answer = await self._opened(tenant, "settle", self._settled_kept_s, settled(spent))
        return [int(nano) if nano else -1 for nano in msgspec.json.decode(_bytes(answer), type=list[str])]

    async def recorded(self, tenant: str, decisions: Sequence[Recorded]) -> None:
        """These stand in the audit stream: they are not given back any more, and their leases run."""
        await self._opened(tenant, "recorded", f"{self._unrecorded_s:.3f}", told(decisions, self._clock.now()))

    async def undo(self, tenant: str, attempt: str) -> bool:
        """Closes an attempt that nobody was permitted. What it holds stays held until the stream has an outcome, or can
        have no decision any more: its record may still be on its way. False when it was asked about again meanwhile:
        then all is left as it is."""
        return await self._run(tenant, "close", attempt) == 1

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
            group = _texts(await self._run(tenant, "void", LATE_OUTCOME_S, before, EXPIRE_GROUP))
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

    async def standings(self, tenant: str, names: Sequence[str]) -> list[Standing]:
        """Each pot as it stands."""
        await self._open(tenant)
        commands = [("HMGET", f"{_prefix(tenant)}pot:{name}", *STANDING) for name in names]
        answers: list[object] = await self._within(self._store.do_all(commands)) if commands else []
        return [standing(answer) for answer in answers]

    async def alerts(self) -> list[tuple[str, Alert]]:
        """By tenant, the thresholds that were reached and that nobody has told yet."""
        tenants = sorted(_texts(await self._within(self._store.do("SMEMBERS", _TENANTS))))
        commands = [("HGETALL", f"{_prefix(tenant)}alerts") for tenant in tenants]
        answers: list[object] = await self._within(self._store.do_all(commands)) if commands else []
        return [
            (tenant, alert(field, used))
            for tenant, found in zip(tenants, answers, strict=True)
            for field, used in _pairs(found)
        ]

    async def told(self, tenant: str, alert: Alert) -> bool:
        """It was told; True for one of those who did."""
        return await self._within(self._store.do("HDEL", f"{_prefix(tenant)}alerts", field_of(alert))) == 1

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
        answer = await self._opened(tenant, "reserve", asked(holds))
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
            prefix = _prefix(tenant)
            keys = (f"{prefix}ledger", f"{prefix}due", _TENANTS)
            arguments = (prefix, tenant, f"{now:.3f}", folded(ledger, now), LATE_OUTCOME_S, ledger.sequence)
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


def load_scripts(folder: Path, alert_percents: Sequence[int]) -> dict[str, Script]:
    """Each script below what all of them begin with (pots.lua)."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.lua")}
    percents = ", ".join(str(percent) for percent in sorted(alert_percents))
    start = f"local PERCENTS = {{ {percents} }}\n{texts.pop('pots')}"
    return {name: Script(start + text) for name, text in texts.items()}


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


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise Failure(Code.INTERNAL, "the store gave a strange answer")
    return answer


def _texts(answer: object) -> list[str]:
    found = list(answer) if isinstance(answer, list | set) else []
    return [one.decode() for one in found if isinstance(one, bytes)]


def _pairs(answer: object) -> list[tuple[str, str]]:
    found = answer.items() if isinstance(answer, dict) else ()
    return [
        (key.decode(), value.decode()) for key, value in found if isinstance(key, bytes) and isinstance(value, bytes)
    ]
