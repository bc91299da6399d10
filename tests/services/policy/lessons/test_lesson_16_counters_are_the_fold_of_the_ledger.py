"""A balance is what the audit stream says it is: after any traffic, filled anew as often as one likes by as many
services as one likes, and after losses of the store at any moment. Nothing is added to a number that was read."""

import asyncio
import random

from penstock.contracts.errors import Failure
from penstock.contracts.ids import new_id
from penstock.kit.store import Store
from tests.services.policy.conftest import Plane, complete
from tests.services.policy.money.test_books import SOON, equal
from tests.support.eventually import eventually

BUDGET_USD = 1.0


async def traffic(plane: Plane, token: str, chance: random.Random, count: int = 30) -> tuple[int, int]:
    """Attempts at once, in part settled, some of them twice: what was committed and what is held."""
    committed = held = 0

    async def one(number: int) -> tuple[int, int]:
        attempt, reserve = new_id("att"), chance.randrange(100, 1_000)
        await plane.evaluate(complete(reserve, attempt=attempt, due_s=600), token)
        if number % 3 == 0:
            return 0, reserve
        cost = chance.randrange(100)
        for _ in range(1 + number % 2):
            await plane.outcome(attempt, cost)
        return cost, 0

    for spent, reserved in await asyncio.gather(*[one(number) for number in range(count)]):
        committed, held = committed + spent, held + reserved
    return committed, held


async def shown(plane: Plane, token: str, committed: int, held: int) -> None:
    async def so() -> None:
        try:
            (balance,) = (await plane.balances(token)).accounts
        except Failure as failure:
            raise AssertionError from failure
        assert (balance.committed_nano, balance.reserved_nano) == (committed, held)

    await eventually(so, within_s=15.0)


async def test_after_traffic_over_several_services_the_store_is_the_fold_of_the_stream(plane: Plane) -> None:
    credential = plane.key(usd=BUDGET_USD)
    async with plane.policy(**SOON), plane.policy(**SOON), plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        committed, held = await traffic(plane, token, random.Random(16))
        await shown(plane, token, committed, held)
        ledger = await equal(plane)
    (pot,) = ledger.pots.values()
    assert (pot.nano, pot.held_nano) == (committed, held)


async def test_an_emptied_store_is_filled_by_all_services_at_once_to_the_same_numbers(plane: Plane) -> None:
    """N services that find it empty do not make the spending N times as much."""
    credential = plane.key(usd=BUDGET_USD)
    store = Store(plane.valkey.url, timeout_s=1.0)
    async with plane.policy(**SOON), plane.policy(**SOON), plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        committed, held = await traffic(plane, token, random.Random(17))
        await shown(plane, token, committed, held)
        for _ in range(3):
            await store.do("FLUSHALL")
            await asyncio.gather(*[plane.balances(token) for _ in range(12)])
            await shown(plane, token, committed, held)
        await equal(plane)
    await store.close()


async def test_a_store_that_dies_in_the_middle_of_traffic_leaves_no_drift(plane: Plane) -> None:
    credential = plane.key(usd=BUDGET_USD)
    async with plane.policy(**SOON), plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token

        async def ask(number: int) -> None:
            attempt = new_id("att")
            try:
                await plane.evaluate(complete(500, attempt=attempt, due_s=600), token)
            except Failure:
                return  # nothing was permitted
            await plane.outcome(attempt, 10 + number)

        asking = [asyncio.create_task(ask(number)) for number in range(60)]
        await plane.valkey.kill()
        await plane.valkey.start()
        await asyncio.gather(*asking)
        await equal(plane, within_s=25.0)


async def test_a_reader_that_starts_from_the_beginning_finds_the_same_as_one_that_followed(plane: Plane) -> None:
    """A policy service that was never there before, over a store that holds everything: nothing is counted again."""
    credential = plane.key(usd=BUDGET_USD)
    async with plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        committed, held = await traffic(plane, token, random.Random(18))
        await shown(plane, token, committed, held)
    for _ in range(2):
        async with plane.policy(**SOON):
            await shown(plane, token, committed, held)
            await equal(plane)
