"""The store's scripts, step by step beside the accounts on paper: each answer, and all that the store keeps."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.kit.store import Store
from services.policy.money.accounts import SCRIPTS, Accounts
from services.policy.money.holds import Hold
from services.policy.money.ledger import AS_RESERVED, Balance, Held, Ledger, Recorded, Spent
from services.policy.money.limits import Pot
from tests.support.clock import HandClock
from tests.support.paper_books import PaperBooks, in_store
from tests.support.valkey_server import ValkeyServer, valkey_server

UNRECORDED_S = 17.0
PERCENTS = (50, 80, 100)
DAY, MINUTE = "2027-01-15", "2027-01-15T08:00"
POTS = (
    Pot("tenant:acme", "", 600, -1, 0, -1, 6),
    Pot("user:alice", DAY, 200, 260, 1_800_800_000, 5),
    Pot("user:alice", MINUTE, -1, 120, 1_800_100_000, 3),
    Pot("run:r1", "", 90, -1, 1_802_600_000),
)
RAISED = Pot("user:alice", DAY, 300, 260, 1_800_800_000, 5)
STEPS_EACH = 60


@dataclass
class Beside:
    """The store and the paper; every method does one thing in both."""

    store: Store
    dice: random.Random
    scripts: Path = SCRIPTS
    clock: HandClock = field(default_factory=HandClock)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.paper = PaperBooks(PERCENTS, UNRECORDED_S)
        self.accounts = Accounts(
            self.store,
            self._fold,
            self.clock,
            timeout_s=2.0,
            settled_kept_s=900,
            unrecorded_s=UNRECORDED_S,
            alert_percents=PERCENTS,
            scripts=self.scripts,
        )
        self.held: dict[str, Held] = {}
        self.sequence = 10

    async def _fold(self, tenant: str) -> Ledger:
        return self.ledger

    def attempt(self) -> str:
        return f"att_{self.dice.randrange(11)}"

    async def open(self) -> None:
        """Whatever is asked first opens the accounts: here it is a look."""
        await self.accounts.standings("acme", [])
        self.paper.open(self.ledger, self.clock.now())

    async def reserve(self) -> None:
        self.clock.move(self.dice.choice((0.0, 0.001, 0.5)))
        pots = tuple(self.dice.sample(POTS, self.dice.randrange(1, 5)))
        if self.dice.random() < 0.2:
            pots = tuple(RAISED if pot.window == DAY else pot for pot in pots)
        nano = self.dice.choice((0, 1, 20, 45, 90, 150))
        hold = Hold(
            self.attempt(),
            self.dice.choice(("q", "q", "q", "other")),
            nano,
            self.dice.choice((0, 15, nano)),
            self.clock.now() + 40,
            pots,
            f'"{self.dice.random()}"'.encode(),
            self.clock.now() - self.dice.choice((0.0, 0.0, 3.0)),
            *self.dice.choice(((0, 0), (1, 1), (1, 1), (1, 0))),
        )
        expected = self.paper.reserve(hold)
        assert await self.accounts.reserve("acme", hold) == expected
        if expected.state == "reserved":
            names = tuple(pot.name for pot in pots)
            self.held[hold.attempt] = Held(names, nano, hold.tokens, hold.due, hold.requests, hold.slots)

    async def recorded(self) -> None:
        attempt, now = self.attempt(), self.clock.now()
        self.sequence += 1
        held = self.held.get(attempt, Held((POTS[0].name, POTS[3].name), 7, 3, now + 30, 1, 1))
        if self.dice.random() < 0.2:
            held = Held(held.pots[:1], held.nano + 5, held.tokens, now + 20, held.requests, held.slots)
        opened = self.paper.opened[1] if self.paper.opened else now
        stored = self.dice.choice((now, now, opened + UNRECORDED_S, now + UNRECORDED_S + 1))
        sequence = self.sequence if self.dice.random() < 0.7 else self.ledger.sequence
        one = Recorded(attempt, sequence, stored, held)
        self.paper.recorded(one, now)
        await self.accounts.recorded("acme", [one])

    async def settle(self) -> None:
        nano = self.dice.choice((AS_RESERVED, 0, 10, 70, 220))
        tokens = self.dice.choice((AS_RESERVED, 0, 5, 60))
        one = Spent(self.attempt(), nano, tokens, self.dice.choice((AS_RESERVED, AS_RESERVED, 0)))
        expected = self.paper.settle(one)
        assert await self.accounts.settle("acme", [one]) == [expected]

    async def undo(self) -> None:
        attempt = self.attempt()
        expected = self.paper.undo(attempt)
        assert await self.accounts.undo("acme", attempt) is expected

    async def give_back(self) -> None:
        until = self.clock.now() + self.dice.choice((-5.0, UNRECORDED_S - 1, UNRECORDED_S + 1))
        expected = self.paper.give_back(until - UNRECORDED_S)
        assert await self.accounts.give_back("acme", until) == expected

    async def expire(self) -> None:
        self.clock.move(self.dice.choice((0, 5, 25, 45)))
        expected = self.paper.expire(self.clock.now())
        assert await self.accounts.expire() == expected

    async def forget(self) -> None:
        """A minute's pot is gone from the store once its time is over."""
        name = POTS[2].name
        await self.store.do("DEL", "penstock:{acme}:pot:" + name)
        self.paper.forget(name)

    async def empty(self) -> None:
        """The store loses everything, and is filled from the stream's fold."""
        await self.store.do("FLUSHALL")
        self.paper.clear()
        self.held.clear()
        now = self.clock.now()
        names = (POTS[0].name, POTS[1].name)
        self.ledger = Ledger()
        self.ledger.sequence = self.sequence
        self.ledger.held = {"att_1": Held(names, 10, 20, round(now + 10, 3), 1, 1)}
        self.ledger.expired = {"att_2": Held(names, 30, 0, round(now - 1, 3), 1, 1)}
        self.ledger.pots = {name: Balance(90, 10, 3, 20, 2, 1, 1) for name in names}
        self.ledger.since = dict.fromkeys(names, round(now - 5, 3))
        self.ledger.told = {names[1]: {"nano": "200:50"}}
        if self.dice.random() < 0.5:
            self.paper.open(self.ledger, now)
            one = Spent("att_1", 4, 4)
            expected = self.paper.settle(one)
            assert await self.accounts.settle("acme", [one]) == [expected]

    async def play(self, steps: int) -> None:
        """Raises AssertionError at the first step after which the two differ."""
        does = (
            *[self.reserve] * 14,
            *[self.recorded] * 8,
            *[self.settle] * 7,
            *[self.undo] * 3,
            *[self.give_back] * 3,
            *[self.expire] * 3,
            self.forget,
            self.empty,
        )
        await self.store.do("FLUSHALL")
        for _ in range(steps):
            step = self.dice.choice(does)
            await self.open()
            await step()
            await self.open()
            assert await in_store(self.store) == self.paper.state(), step.__name__


def test_the_scripts_do_what_the_accounts_on_paper_do() -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 2**32))
    def whatever_happens(seed: int) -> None:
        runner.run(played(server, seed))

    with asyncio.Runner() as runner:
        context = valkey_server()
        server = runner.run(context.__aenter__())
        try:
            whatever_happens()
        finally:
            runner.run(context.__aexit__(None, None, None))


async def played(server: ValkeyServer, seed: int, scripts: Path = SCRIPTS) -> None:
    store = Store(server.url, timeout_s=2.0)
    try:
        await Beside(store, random.Random(seed), scripts).play(STEPS_EACH)
    finally:
        await store.close()


@pytest.mark.parametrize("seed", [3, 14, 15])
async def test_the_same_three_games_every_time(valkey: ValkeyServer, seed: int) -> None:
    await played(valkey, seed)


@pytest.mark.long
async def test_every_small_change_of_the_scripts_is_noticed() -> None:
    from tests.services.policy.money.mutants import survivors  # which looks at this module

    count, left = await survivors()

    assert count > 150
    assert [f"{one.script}.lua:{one.number}: {one.line}" for one in left] == []
