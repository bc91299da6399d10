"""What must hold after any fault: every job in a known end, every effect once, every nano-dollar settled once."""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec

from penstock.client import FINAL_EVENTS, Penstock
from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.ids import partition, run_id
from penstock.contracts.jobs import JobEvent, JobView
from penstock.contracts.policy import Balance
from penstock.contracts.runs import StepDone
from penstock.contracts.services import ORCHESTRATOR
from penstock.contracts.subjects import RUN_JOURNAL
from tests.faults.world import WORDS, World
from tests.support.eventually import eventually
from tests.support.launched import TENANT

END_S = 120.0
SETTLE_S = 30.0
ANSWER = "".join(WORDS)


async def ended(client: Penstock, id: str, within_s: float = END_S) -> tuple[JobView, list[JobEvent]]:
    """The job when it is over, and its whole life as its submitter sees it."""
    view = await client.wait(id, timeout_s=within_s)
    events: list[JobEvent] = []
    async with aclosing(client.events(id)) as told:
        async for event in told:
            events.append(event)
    return view, events


async def completed(world: World, client: Penstock, tag: str) -> None:
    """The job did all that it had to do, once, and said so once."""
    view, events = await ended(client, f"job_{tag}")
    assert (view.state, view.error) == ("completed", None), (view, events)
    assert msgspec.json.decode(view.output)["text"] == ANSWER
    told_in_order(events)
    assert events[-1].type == "completed"
    await journal_is_clean(world, f"job_{tag}")


def told_in_order(events: list[JobEvent]) -> None:
    """Numbered without a gap, every step once, one end."""
    assert [event.n for event in events] == list(range(len(events)))
    assert events[0].type == "accepted"
    assert [event.type for event in events if event.type in FINAL_EVENTS] == [events[-1].type]
    steps = Counter(event.step for event in events if event.type == "step")
    assert set(steps.values()) <= {1}, steps


async def journal_is_clean(world: World, id: str) -> None:
    """No step was done twice."""
    run = run_id(TENANT, id)
    async with world.plane.bus(ORCHESTRATOR) as bus:
        journal = await bus.journal(RUN_JOURNAL, partition=partition(run), run=run).load()
    done = Counter(event.step for _, event in journal if isinstance(event, StepDone))
    assert set(done.values()) <= {1}, done


def charged_once(world: World, tag: str, *, requests_max: int = 1) -> None:
    """Both of an agent's charges had their effect once; the site may have been asked again, with the same key."""
    for item in (f"{tag}-1", f"{tag}-2"):
        keys = world.shop.keys(item)
        assert 1 <= len(keys) <= requests_max, (item, keys)
        assert len(set(keys)) == 1 and keys[0], (item, keys)
        assert list(world.shop.effects.values()).count(item) == 1


@dataclass
class Account:
    """What the records say of one account, in nano-dollars."""

    committed: int = 0
    held: int = 0


@dataclass
class Books:
    """The audit records folded here, by rules of their own: the first decision of an attempt reserves, its first
    outcome settles it; without one it is held until it is due, and then counts as used."""

    accounts: dict[str, Account] = field(default_factory=dict)
    open: dict[str, DecisionRecord] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    decided: set[str] = field(default_factory=set)


def books(records: Iterable[Record], now: float) -> Books:
    """Raises AssertionError for an outcome that nobody decided."""
    found = Books()
    decisions: dict[str, DecisionRecord] = {}
    outcomes: dict[str, OutcomeRecord] = {}
    for record in records:
        if record.type == DECISION:
            decision = msgspec.json.decode(record.data, type=DecisionRecord)
            found.decided.add(decision.decision)
            if decision.effect == "allow" and decision.outcome_due:
                decisions.setdefault(decision.attempt, decision)
        elif record.type == OUTCOME:
            outcome = msgspec.json.decode(record.data, type=OutcomeRecord)
            assert outcome.decision in found.decided, outcome
            found.outcomes[outcome.attempt] += 1
            outcomes.setdefault(outcome.attempt, outcome)
    for attempt, decision in decisions.items():
        result = outcomes.get(attempt)
        if result is None:
            found.open[attempt] = decision
        for name in decision.accounts:
            _enter(found.accounts.setdefault(name, Account()), decision, result, now)
    return found


def _enter(account: Account, decision: DecisionRecord, outcome: OutcomeRecord | None, now: float) -> None:
    if outcome is None and now < decision.outcome_due:
        account.held += decision.reserved_nano
    elif outcome is None or outcome.status == "unknown" or outcome.cost_nano < 0:
        account.committed += decision.reserved_nano
    else:
        account.committed += outcome.cost_nano


async def settled(world: World, cut_off: Iterable[str] | None = (), within_s: float = SETTLE_S) -> Books:
    """Balances are what the records say, to the nano-dollar; no attempt has two outcomes, and none lacks one but those
    that a killed process had under way: their actions are `cut_off` (None: any), since the last time that this was
    asked."""
    token = await world.plane.token()

    async def equal() -> Books:
        found = books(await world.plane.records(), time.time())
        balances = await world.plane.balances(token)
        assert set(found.outcomes.values()) <= {1}, found.outcomes.most_common(3)
        for name, balance in balances.items():
            account = found.accounts.get(name, Account())
            assert _of(balance) == account, (name, balance, account)
        lost = Counter(decision.action for attempt, decision in found.open.items() if attempt not in world.lost)
        assert cut_off is None or lost == Counter(cut_off), lost
        return found

    found = await eventually(equal, within_s, every_s=0.3)
    world.lost |= found.open.keys()
    return found


def _of(balance: Balance) -> Account:
    return Account(balance.committed_nano, balance.reserved_nano)


async def log_verifies(client: Penstock) -> int:
    """The audit log is whole; how many records it has."""
    verified = await client.verify()
    assert verified.problems == ()
    return verified.records
