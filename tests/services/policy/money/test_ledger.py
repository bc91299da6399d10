"""The fold of the audit records, and that the store's numbers are that fold after any interleaving."""

import asyncio
import random
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.contracts.audit import DecisionRecord, OutcomeRecord, Record, Who
from penstock.contracts.llm import Usage
from penstock.kit.recorder import envelope
from penstock.kit.store import Store
from services.policy.money.accounts import Accounts
from services.policy.money.holds import Hold
from services.policy.money.ledger import AS_RESERVED, Balance, Held, Ledger, Recorded, Spent, rebuild, spent
from services.policy.money.limits import Pot
from tests.support.clock import HandClock
from tests.support.valkey_server import ValkeyServer, valkey_server


def decided(attempt: str, nano: int, *accounts: str, effect: str = "allow", due: float = 1e10) -> Record:
    record = DecisionRecord(
        decision=f"dec_{attempt}",
        attempt=attempt,
        effect="deny" if effect == "deny" else "allow",
        who=Who("user:alice"),
        action="model.complete",
        resource='Model::"default"',
        bundle="b",
        accounts=accounts,
        reserved_nano=nano,
        reserved_tokens=nano * 2,
        outcome_due=due,
    )
    return envelope(record, service="policy", tenant="acme", now=0)


def ended(attempt: str, cost_nano: int, status: str = "ok", tokens: int = 0) -> Record:
    record = OutcomeRecord(
        decision=f"dec_{attempt}", attempt=attempt, status=status, cost_nano=cost_nano, usage=Usage(output=tokens)
    )
    return envelope(record, service="router", tenant="acme", now=0)


def test_a_decision_holds_and_an_outcome_settles() -> None:
    ledger = rebuild([decided("a", 40, "tenant:acme", "run:r"), ended("a", 15, tokens=4)], now=0)

    assert ledger.pots == {"tenant:acme": Balance(15, 0, 4, 0), "run:r": Balance(15, 0, 4, 0)}


@pytest.mark.parametrize(("status", "cost", "committed"), [("ok", 5, 5), ("cancelled", 5, 5), ("error", 0, 0)])
def test_what_ended_settles_with_its_cost(status: str, cost: int, committed: int) -> None:
    assert rebuild([decided("a", 40, "p"), ended("a", cost, status)], now=0).pots["p"].nano == committed


def test_what_ended_unknown_settles_with_what_was_reserved() -> None:
    assert rebuild([decided("a", 40, "p"), ended("a", 5, "unknown")], now=0).pots["p"] == Balance(40, 0, 80, 0)
    assert rebuild([decided("a", 40, "p"), ended("a", -1)], now=0).pots["p"] == Balance(40, 0, 0, 0)


def test_a_refusal_holds_nothing() -> None:
    assert rebuild([decided("a", 40, "p", effect="deny")], now=0).pots == {}


def test_records_that_come_twice_count_once() -> None:
    records = [decided("a", 40, "p"), decided("a", 40, "p"), ended("a", 15), ended("a", 15), decided("a", 40, "p")]

    assert rebuild(records, now=0).pots == {"p": Balance(15, 0, 0, 0)}


def test_an_overdue_decision_counts_as_used_until_its_outcome_comes() -> None:
    assert rebuild([decided("a", 40, "p", due=100)], now=99).pots["p"] == Balance(0, 40, 0, 80)
    assert rebuild([decided("a", 40, "p", due=100)], now=100).pots["p"] == Balance(40, 0, 80, 0)
    assert rebuild([decided("a", 40, "p", due=100), ended("a", 15, tokens=3)], now=200).pots["p"].nano == 15


def test_a_record_that_cannot_be_read_says_nothing_about_money() -> None:
    broken = Record("x", "router", "penstock.outcome.v1", "", "acme", data=decided("a", 1, "p").data)

    assert rebuild([broken], now=0).pots == {}


def test_a_cost_that_is_out_of_range_is_bounded() -> None:
    assert spent(OutcomeRecord(decision="d", attempt="a", status="ok", cost_nano=10**30)).nano == 2**53 - 1
    assert spent(OutcomeRecord(decision="d", attempt="a", status="ok", cost_nano=-7)).nano == AS_RESERVED


@dataclass
class World:
    """One store, two processes on it, and the ledger that the audit stream would give."""

    accounts: list[Accounts]
    clock: HandClock
    ledger: Ledger = field(default_factory=Ledger)
    reserved: dict[str, Hold] = field(default_factory=dict)

    async def reserve(self, attempt: str, nano: int, pots: tuple[Pot, ...], due_s: float) -> None:
        now = self.clock.now()
        hold = Hold(attempt, "q", nano, nano * 2, now + due_s, pots, b"{}", now)
        hold = self.reserved.setdefault(attempt, hold)
        answer = await random.choice(self.accounts).reserve("acme", hold)
        if answer.state == "reserved":
            # an outcome above what was reserved may have overspent a pot: nothing but free actions fit then
            names = [pot.name for pot in pots]
            for pot, found in zip(pots, await self.accounts[0].standings("acme", names), strict=True):
                assert hold.nano == 0 or amount_is_within(pot, found.balance.nano + found.balance.held_nano)
            self.ledger.decided(
                DecisionRecord(
                    decision="d",
                    attempt=attempt,
                    effect="allow",
                    who=Who("user:alice"),
                    action="a",
                    resource="r",
                    bundle="b",
                    accounts=tuple(pot.name for pot in hold.pots),
                    reserved_nano=hold.nano,
                    reserved_tokens=hold.tokens,
                    outcome_due=hold.due,
                )
            )
            decided = Held(tuple(pot.name for pot in hold.pots), hold.nano, hold.tokens, hold.due)
            await random.choice(self.accounts).recorded("acme", [Recorded(attempt, 1, now, decided)])

    async def settle(self, attempt: str, nano: int) -> None:
        one = Spent(attempt, nano, nano)
        await random.choice(self.accounts).settle("acme", [one])
        self.ledger.ended(one)

    async def expire(self) -> None:
        await random.choice(self.accounts).expire()
        self.ledger.expire(self.clock.now())


POTS = (Pot("tenant:acme", "", 400, -1), Pot("user:alice", "2026-11-24", 200, 500), Pot("run:r1", "", 90, -1))
STEP = st.one_of(
    st.tuples(st.just("reserve"), st.integers(0, 30), st.integers(0, 80), st.sampled_from([1, 2, 3])),
    st.tuples(st.just("settle"), st.integers(0, 30), st.integers(-1, 80), st.just(0)),
    st.tuples(st.just("together"), st.integers(0, 30), st.integers(0, 80), st.just(0)),
    st.tuples(st.just("pass"), st.integers(1, 40), st.just(0), st.just(0)),
)


async def play(server: ValkeyServer, steps: list[tuple[str, int, int, int]]) -> None:
    store = Store(server.url, timeout_s=2.0)
    clock = HandClock()
    try:
        await store.do("FLUSHALL")

        async def empty(tenant: str) -> Ledger:
            return Ledger()

        two = [Accounts(store, empty, clock, timeout_s=2.0, settled_kept_s=900, unrecorded_s=17.0) for _ in range(2)]
        world = World(two, clock)
        for kind, number, amount, count in steps:
            if kind == "reserve":
                await world.reserve(f"att_{number}", amount, POTS[:count], due_s=50)
            elif kind == "settle":
                await world.settle(f"att_{number}", amount)
            elif kind == "together":
                await asyncio.gather(*(world.reserve(f"att_{number}_{n}", amount, POTS, due_s=30) for n in range(4)))
            else:
                clock.move(number)
                await world.expire()
            await check(world)
    finally:
        await store.close()


async def check(world: World) -> None:
    names = [pot.name for pot in POTS]
    in_store = [one.balance for one in await world.accounts[0].standings("acme", names)]
    assert in_store == [world.ledger.pots.get(name, Balance()) for name in names]
    assert all(number >= 0 for one in in_store for number in msgspec.structs.astuple(one))


def amount_is_within(pot: Pot, amount: int) -> bool:
    return pot.limit_nano < 0 or amount <= pot.limit_nano


def test_the_store_is_the_fold_of_the_ledger_after_any_interleaving() -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(STEP, max_size=40))
    def any_interleaving(steps: list[tuple[str, int, int, int]]) -> None:
        runner.run(play(server, steps))

    with asyncio.Runner() as runner:
        context = valkey_server()
        server = runner.run(context.__aenter__())
        try:
            any_interleaving()
        finally:
            runner.run(context.__aexit__(None, None, None))
