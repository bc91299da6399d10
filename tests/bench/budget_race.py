"""Ten thousand requests at once on one budget, from many processes: python -m tests.bench.budget_race

Method. A broker, a store, 4 policy processes; 4 processes that ask 2,500 times each, all at once, for 7 nano-dollars of
one key's budget of 20,000. Every fourth that was permitted ends at once, having cost 3. Meanwhile somebody who is none
of them reads the account in the store, again and again: committed and reserved together, and the highest ever.
Policy waits for a minute instead of seconds, so that all are answered. In the end the account is what the audit
stream's fold says.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import uvloop

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import Batch, OutcomeRecord
from penstock.contracts.errors import Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_EVALUATE
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question, Reserve
from penstock.kit.recorder import envelope
from penstock.kit.store import Store
from services.policy.money.rebuild import Rebuilder
from tests.bench.decisions import site
from tests.support.eventually import eventually

BUDGET_NANO, COST_NANO, SPENT_NANO = 20_000, 7, 3
ENDS_EVERY = 4


@dataclass(frozen=True)
class Race:
    """What was seen. `highest`: committed and reserved together, of `looks` from outside."""

    requests: int
    permitted: int
    refused: int
    unanswered: int
    limit: int
    highest: int
    looks: int
    committed: int
    reserved: int
    seconds: float
    fold_is_equal: bool


def asker(url: str, token: str, count: int) -> tuple[int, int, int]:
    """A process: how many were permitted, refused for the budget, and not answered."""
    return uvloop.run(_ask(url, token, count))


async def _ask(url: str, token: str, count: int) -> tuple[int, int, int]:
    bus = await Bus.connect(BusConfig(url=url, principal="router"))
    found = [0, 0, 0]

    async def once(number: int) -> None:
        attempt = new_id("att")
        question = Question(
            ActionName("model.complete"), Entity("Model", "default"), attempt, reserve=Reserve(COST_NANO)
        )
        try:
            decision = await bus.call(POLICY_EVALUATE, question, Meta(token=token), timeout_s=90)
        except Failure:
            found[2] += 1
            return
        found[0 if decision.decision else 1] += 1
        if decision.decision and number % ENDS_EVERY == 0:
            outcome = OutcomeRecord(decision.context.id, attempt, "ok", cost_nano=SPENT_NANO)
            batch = Batch([envelope(outcome, service="router", tenant="acme", now=time.time())])
            await bus.emit(AUDIT_BATCH, batch, Meta(), tenant="acme", service="router")

    await asyncio.gather(*(once(number) for number in range(count)))
    await bus.close()
    return found[0], found[1], found[2]


class Observer:
    """Reads one pot again and again; it takes part in nothing."""

    def __init__(self, url: str, pot: str) -> None:
        self._store = Store(url)
        self._key = f"penstock:{{acme}}:pot:{pot}"
        self.highest = 0
        self.looks = 0

    async def amounts(self) -> tuple[int, int]:
        """Committed and reserved, at one instant."""
        found = await self._store.do("HMGET", self._key, "nano", "held_nano")
        assert isinstance(found, list)
        committed, reserved = (int(one or 0) for one in found)
        self.highest = max(self.highest, committed + reserved)
        self.looks += 1
        return committed, reserved

    async def watch(self) -> None:
        """For ever."""
        while True:
            await self.amounts()
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        await self._store.close()


async def race(policies: int, askers: int, requests: int) -> Race:
    """One race."""
    patient = {"PENSTOCK_RECORD_TIMEOUT_S": "60", "PENSTOCK_STORE_TIMEOUT_S": "60"}
    async with site(
        policies, "", BUDGET_NANO / 1e9, {"PENSTOCK_EVALUATE_IN_FLIGHT_MAX": str(requests), **patient}
    ) as at:
        bus = await Bus.connect(BusConfig(url=at.nats_url, principal="router"))
        observer = Observer(at.store_url, at.key_account)
        watching = asyncio.create_task(observer.watch())
        began, loop = time.perf_counter(), asyncio.get_running_loop()
        with ProcessPoolExecutor(askers, mp_context=multiprocessing.get_context("spawn")) as pool:
            share = requests // askers
            results = await asyncio.gather(
                *(loop.run_in_executor(pool, asker, at.nats_url, at.token, share) for _ in range(askers))
            )
        seconds = time.perf_counter() - began

        async def equal() -> tuple[int, int]:
            pot = (await Rebuilder(bus, 500).ledger_of("acme")).pots[at.key_account]
            found = await observer.amounts()
            assert found == (pot.nano, pot.held_nano)
            return found

        try:
            committed, reserved = await eventually(equal, within_s=60, every_s=0.5)
            same = True
        except AssertionError:
            (committed, reserved), same = await observer.amounts(), False
        watching.cancel()
        await observer.close()
        await bus.close()
    permitted, refused, unanswered = (sum(result[place] for result in results) for place in range(3))
    return Race(
        requests=share * askers,
        permitted=permitted,
        refused=refused,
        unanswered=unanswered,
        limit=BUDGET_NANO,
        highest=observer.highest,
        looks=observer.looks,
        committed=committed,
        reserved=reserved,
        seconds=round(seconds, 1),
        fold_is_equal=same,
    )


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(json.dumps(asdict(uvloop.run(race(4, 4, wanted))), indent=2))  # noqa: T201  # it is what it is for
