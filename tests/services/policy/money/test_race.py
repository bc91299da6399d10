"""One budget, many who ask at once: committed and reserved together are never above it, as somebody outside sees it."""

import asyncio

import pytest

from penstock.contracts.policy import Decision
from tests.bench.budget_race import Observer, race
from tests.services.policy.conftest import Plane, complete
from tests.support.eventually import eventually


async def test_six_hundred_at_once_over_three_services_never_exceed_one_budget(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    pot = "key:" + credential.split("_")[1]
    async with plane.patient(), plane.patient(), plane.patient():
        token = (await plane.authenticate(credential)).token
        observer = Observer(plane.valkey.url, pot)
        watching = asyncio.create_task(observer.watch())

        async def ask(number: int) -> Decision:
            decision = await plane.evaluate(complete(7, attempt=f"att_{number}"), token, within_s=30)
            if decision.decision and number % 4 == 0:
                await plane.outcome(f"att_{number}", 3)
            return decision

        decisions = await asyncio.gather(*(ask(number) for number in range(600)))
        permitted = sum(decision.decision for decision in decisions)
        ended = sum(decision.decision for decision in decisions[::4])

        async def settled() -> None:
            assert await observer.amounts() == (3 * ended, 7 * (permitted - ended))

        await eventually(settled)
        watching.cancel()
        await observer.close()
    assert {decision.context.code for decision in decisions} == {"", "budget_exhausted"}
    assert 990 < observer.highest <= 1000
    assert observer.looks > 20


@pytest.mark.long
async def test_ten_thousand_from_many_processes_never_exceed_one_budget() -> None:
    found = await race(policies=4, askers=4, requests=10_000)

    assert found.highest <= found.limit and found.committed + found.reserved <= found.limit
    assert found.permitted * 7 > found.limit
    assert (found.permitted + found.refused, found.unanswered) == (10_000, 0)
    assert found.fold_is_equal
