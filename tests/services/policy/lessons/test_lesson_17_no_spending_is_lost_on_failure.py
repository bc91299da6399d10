"""An attempt is settled exactly once, whoever is killed, lost or told twice, at every step between its decision and its
entry in the books."""

import asyncio

import pytest

from penstock.contracts.errors import Failure
from services.policy.money.ledger import Balance
from tests.services.policy.conftest import Plane, complete
from tests.services.policy.money.test_books import SOON, environment, equal
from tests.support.eventually import eventually
from tests.support.process import module_process

COST = 123


async def booked(plane: Plane, token: str, nano: int, held: int = 0) -> None:
    async def so() -> None:
        try:
            (balance,) = (await plane.balances(token)).accounts
        except Failure as failure:
            raise AssertionError from failure
        assert (balance.committed_nano, balance.reserved_nano) == (nano, held)

    await eventually(so, within_s=20.0)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_outcome_told_while_nobody_listens_is_booked_once_when_somebody_does(plane: Plane, times: int) -> None:
    credential = plane.key(usd=1)
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event":"ready"')
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(700, attempt="att_1"), token)
        await process.kill()
        for _ in range(times):
            await plane.outcome("att_1", COST)
    async with plane.policy(**SOON):
        await booked(plane, token, COST)
        await equal(plane)


@pytest.mark.parametrize("kills", [1, 4])
async def test_a_policy_killed_while_it_settles_books_once(plane: Plane, kills: int) -> None:
    """Killed as soon as something is heard: before, in between, or after it was acknowledged."""
    credential = plane.key(usd=1)
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event":"ready"')
        token = (await plane.authenticate(credential)).token
        for number in range(20):
            await plane.evaluate(complete(700, attempt=f"att_{number}"), token)
        for _ in range(kills):
            await asyncio.gather(*[plane.outcome(f"att_{number}", COST) for number in range(20)])
            await process.kill()
            process.start()
        await booked(plane, token, 20 * COST)
        await equal(plane)


async def test_an_outcome_told_while_the_store_is_away_is_booked_when_it_is_back(plane: Plane) -> None:
    credential = plane.key(usd=1)
    async with plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(700, attempt="att_1"), token)
        await plane.valkey.kill()
        await plane.outcome("att_1", COST)
        await plane.valkey.start()
        await booked(plane, token, COST)
        await equal(plane)


async def test_an_outcome_that_comes_before_its_decision_was_heard_is_booked_once(plane: Plane) -> None:
    credential = plane.key(usd=1)
    async with plane.policy(**SOON), plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        await plane.outcome("att_1", COST)
        await plane.evaluate(complete(700, attempt="att_1"), token)
        await plane.outcome("att_1", COST)
        ledger = await equal(plane)
    (pot,) = ledger.pots.values()
    assert pot == Balance(nano=COST, requests=1)


async def test_an_attempt_whose_outcome_never_comes_counts_as_what_was_reserved(plane: Plane) -> None:
    """Spending that is not known is not nothing."""
    credential = plane.key(usd=1)
    async with plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(700, attempt="att_1", due_s=1), token)
        await booked(plane, token, 700)
        await plane.outcome("att_1", COST)
        await booked(plane, token, COST)
        await equal(plane)
