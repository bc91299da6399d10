"""Any interleaving of askers, records, outcomes, deaths, redeliveries and an emptied store: in the end the store's
numbers are the fold of the stream. The store is real; the stream is a list, and time is moved by hand."""

import asyncio
from dataclasses import dataclass, field

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.llm import Usage
from penstock.kit.recorder import envelope
from penstock.kit.store import Store
from services.policy.money.accounts import Accounts
from services.policy.money.holds import Hold
from services.policy.money.ledger import Balance, Ledger, Recorded, fold, reserved, spent
from services.policy.money.limits import Pot
from tests.services.policy.money.test_ledger import decided
from tests.support.clock import HandClock
from tests.support.valkey_server import ValkeyServer, valkey_server

PATIENCE_S, UNRECORDED_S = 7, 17
POTS = (Pot("tenant:acme", "", 600, -1), Pot("user:alice", "2027-01-15", 400, 2000), Pot("run:r1", "", 200, -1))
Step = tuple[str, int, int]

EXAMPLES = 120 if settings.get_current_profile_name() == "deep" else 25
"""Each takes a third of a second and more: all of them are for `make fuzz`."""


@dataclass
class Asker:
    """One evaluation under way: it has reserved, and its decision is not in the stream."""

    hold: Hold
    record: Record


@dataclass
class Model:
    """The stream, who is under way, and what is still to be appended by recorders that live on."""

    store: Store
    clock: HandClock
    stream: list[tuple[Record, float]] = field(default_factory=list)
    heard: int = 0
    asking: list[Asker] = field(default_factory=list)
    lane: list[Record] = field(default_factory=list)
    permitted: list[str] = field(default_factory=list)
    over: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.accounts = Accounts(
            self.store, self._fold, self.clock, timeout_s=2.0, settled_kept_s=900, unrecorded_s=float(UNRECORDED_S)
        )

    async def _fold(self, tenant: str) -> Ledger:
        ledger = Ledger()
        for record, _ in self.stream:
            fold(ledger, record)
        ledger.sequence = len(self.stream)
        return ledger

    def append(self, record: Record) -> None:
        self.stream.append((record, self.clock.now()))

    async def ask(self, number: int, amount: int) -> None:
        """The same attempt, perhaps by others before, perhaps with other accounts."""
        self.clock.move(0.001)
        pots, attempt, now = POTS[: 1 + amount % 3], f"att_{number % 7}", self.clock.now()
        record = decided(attempt, amount, *(pot.name for pot in pots), due=now + 40)
        hold = Hold(attempt, "q", amount, amount * 2, now + 40, pots, b"{}", now)
        answer = await self.accounts.reserve("acme", hold)
        if answer.state in ("reserved", "held"):
            self.asking.append(Asker(hold, record))

    async def record(self, number: int, _: int) -> None:
        """Stored in time, and permitted; or too late, and undone."""
        if not self.asking:
            return
        asker = self.asking.pop(number % len(self.asking))
        if self.clock.now() <= asker.hold.asked + PATIENCE_S:
            self.append(asker.record)
            self.permitted.append(asker.hold.attempt)
        else:
            await self._undone(asker)

    async def undo(self, number: int, _: int) -> None:
        if self.asking:
            await self._undone(self.asking.pop(number % len(self.asking)))

    async def _undone(self, asker: Asker) -> None:
        attempt = asker.hold.attempt
        self.lane.append(asker.record)
        if await self.accounts.undo("acme", attempt):
            self.lane.append(outcome(attempt, 0, "cancelled"))

    async def die(self, number: int, _: int) -> None:
        """Of all that was under way some was stored, and nobody was told."""
        for place, asker in enumerate(self.asking):
            if number >> place & 1 and self.clock.now() <= asker.hold.asked + PATIENCE_S:
                self.append(asker.record)
        self.asking.clear()
        self.lane.clear()

    async def late(self, number: int, _: int) -> None:
        """What recorders kept comes to the stream."""
        for record in self.lane[: 1 + number]:
            self.append(record)
        del self.lane[: 1 + number]

    async def end(self, number: int, amount: int) -> None:
        if self.permitted:
            attempt = self.permitted.pop(number % len(self.permitted))
            self.append(outcome(attempt, amount - 1, "ok"))

    async def hear(self, number: int, amount: int) -> None:
        """Some more of the stream, and before that some of it again."""
        until = min(len(self.stream), self.heard + 1 + number)
        for place in range(max(0, self.heard - amount % 4), until):
            await self._hear(place)
        self.heard = until

    async def _hear(self, place: int) -> None:
        record, stored = self.stream[place]
        if record.type == DECISION:
            decision = msgspec.json.decode(record.data, type=DecisionRecord)
            held = reserved(decision)
            assert held is not None
            await self.accounts.recorded("acme", [Recorded(decision.attempt, place + 1, stored, held)])
        elif record.type == OUTCOME:
            one = spent(msgspec.json.decode(record.data, type=OutcomeRecord))
            await self.accounts.settle("acme", [one])

    async def wait(self, number: int, _: int) -> None:
        self.clock.move(2 * number)
        await self.accounts.expire()
        until = self.clock.now() if self.heard == len(self.stream) else self.stream[self.heard - 1][1]
        if self.heard or not self.stream:
            await self.accounts.give_back("acme", until)

    async def empty(self, number: int, _: int) -> None:
        """The store loses everything, and is filled from the stream when it is asked next."""
        if number < 6:
            await self.store.do("FLUSHALL")
            await self.accounts.standings("acme", ["tenant:acme"])

    async def finish(self) -> None:
        """Everybody is done, all is heard, and all leases are over."""
        self.asking.clear()
        await self.late(len(self.lane), 0)
        await self.hear(len(self.stream), 0)
        await self.wait(100, 0)

    async def check(self) -> None:
        ledger = await self._fold("acme")
        ledger.expire(self.clock.now())
        names = [pot.name for pot in POTS]
        in_store = [one.balance for one in await self.accounts.standings("acme", names)]
        assert in_store == [ledger.pots.get(name, Balance()) for name in names]
        assert await self.store.do("ZCARD", "penstock:{acme}:pending") == 0


def outcome(attempt: str, cost_nano: int, status: str) -> Record:
    record = OutcomeRecord(
        decision="dec", attempt=attempt, status=status, cost_nano=cost_nano, usage=Usage(output=max(0, cost_nano))
    )
    return envelope(record, service="router", tenant="acme", now=0)


KINDS = ("ask", "ask", "ask", "record", "record", "undo", "die", "late", "end", "hear", "hear", "wait", "empty")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20), st.integers(1, 90)), min_size=12, max_size=50)


async def play(server: ValkeyServer, steps: list[Step]) -> None:
    store = Store(server.url, timeout_s=2.0)
    try:
        await store.do("FLUSHALL")
        model = Model(store, HandClock())
        for kind, number, amount in steps:
            await {
                "ask": model.ask,
                "record": model.record,
                "undo": model.undo,
                "die": model.die,
                "late": model.late,
                "end": model.end,
                "hear": model.hear,
                "wait": model.wait,
                "empty": model.empty,
            }[kind](number, amount)
        await model.finish()
        await model.check()
    finally:
        await store.close()


def test_in_the_end_the_store_is_the_fold_of_the_stream() -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def any_interleaving(steps: list[Step]) -> None:
        runner.run(play(server, steps))

    with asyncio.Runner() as runner:
        context = valkey_server()
        server = runner.run(context.__aenter__())
        try:
            any_interleaving()
        finally:
            runner.run(context.__aexit__(None, None, None))
