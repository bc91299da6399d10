"""However many ask at once, of however many routers: no more is committed than the budget, and what is reserved counts
from the moment it is asked for."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Balance
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, Reply, plain

ANSWER_TOKENS = 100
BUDGET_USD = 0.01
BUDGET_NANO = 10_000_000


def held_back(reply: Reply, gate: asyncio.Event) -> Reply:
    async def answer(line: Line, request: Received) -> None:
        await gate.wait()
        await reply(line, request)

    return answer


async def settled(plane: Plane) -> list[Balance]:
    async def nothing_reserved() -> list[Balance]:
        balances = await plane.balances()
        assert all(balance.reserved_nano == 0 for balance in balances)
        return balances

    return await eventually(nothing_reserved)


async def asked(plane: Plane, count: int) -> tuple[int, int]:
    """How many of so many were answered, and how many refused for the budget. Nothing else happens."""
    calls = [plane.complete("all", max_tokens=ANSWER_TOKENS) for _ in range(count)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, Failure) and end.code is Code.BUDGET_EXHAUSTED]
    answered = [end for end in ends if not isinstance(end, BaseException)]
    assert len(refused) + len(answered) == count, ends
    return len(answered), len(refused)


async def test_sixty_at_once_over_three_routers_spend_no_more_than_the_budget(plane: Plane) -> None:
    """Each answer is as long as it may be: what was reserved is what it costs, and not one too many is let in."""
    await plane.log_in(usd=BUDGET_USD)
    plane.deploy("all", "single", concurrency_max=1000)
    plane.server.script(plain("x", prompt=1, output=ANSWER_TOKENS), model="single")
    async with plane.router(), plane.router(), plane.router():
        answered, refused = await asked(plane, 60)
        (balance,) = await settled(plane)
    assert 0 < answered < 60
    assert answered == plane.server.asked("single")
    assert balance.committed_nano == answered * (1 * 2_000 + ANSWER_TOKENS * 10_000) <= BUDGET_NANO
    assert refused == 60 - answered


async def test_what_is_under_way_counts_before_it_is_paid(plane: Plane) -> None:
    gate = asyncio.Event()
    await plane.log_in(usd=BUDGET_USD)
    plane.deploy("all", "single", concurrency_max=1000)
    plane.server.script(held_back(plain("x", prompt=1, output=1), gate), model="single")
    async with plane.router(), plane.router():
        asking = asyncio.create_task(asked(plane, 40))

        async def all_decided() -> int:
            under_way = plane.server.asked("single")
            assert under_way + len([each for each in await plane.decisions() if each.effect == "deny"]) == 40
            return under_way

        under_way = await eventually(all_decided)
        (balance,) = await plane.balances()
        assert (balance.committed_nano, balance.reserved_nano <= BUDGET_NANO) == (0, True)
        assert under_way * ANSWER_TOKENS * 10_000 <= balance.reserved_nano
        gate.set()
        assert await asking == (under_way, 40 - under_way)
        (balance,) = await settled(plane)
    assert balance.committed_nano == under_way * 12_000


async def test_an_estimate_that_was_too_low_overruns_by_what_was_under_way_and_no_more(plane: Plane) -> None:
    """A provider that bills more input than anybody could guess: afterwards nothing more is let in."""
    await plane.log_in(usd=BUDGET_USD)
    plane.deploy("all", "single", concurrency_max=1000)
    plane.server.script(plain("x", prompt=5_000, output=1), model="single")
    async with plane.router(), plane.router():
        for _ in range(3):
            try:
                await plane.complete("all", max_tokens=ANSWER_TOKENS)
            except Failure as failure:
                assert failure.code is Code.BUDGET_EXHAUSTED
            (balance,) = await settled(plane)
        assert (await asked(plane, 10))[0] == 0
        (balance,) = await settled(plane)
    one = 5_000 * 2_000 + 10_000
    assert BUDGET_NANO < balance.committed_nano <= BUDGET_NANO + one


async def test_a_budget_of_tokens_holds_too(plane: Plane) -> None:
    await plane.log_in()
    limits = plane.folder / "accounts.yaml.new"
    limits.write_text("acme:\n  user:alice: {tokens: 1000}\n", encoding="utf-8")
    limits.replace(plane.folder / "accounts.yaml")
    plane.deploy("all", "single", concurrency_max=1000, price="free")
    plane.server.script(plain("x", prompt=1, output=ANSWER_TOKENS), model="single")

    async def in_force() -> None:
        assert [balance.account for balance in await plane.balances()] == ["user:alice"]

    async with plane.router(), plane.router():
        await eventually(in_force)
        answered, _ = await asked(plane, 30)
        assert 0 < answered <= 9

        async def all_settled() -> None:
            (balance,) = await plane.balances()
            assert balance.tokens == answered * (ANSWER_TOKENS + 1) <= 1_000

        await eventually(all_settled)


@pytest.mark.parametrize("who", ["user:new", "workload:new"])
async def test_the_first_requests_of_somebody_never_seen_are_bounded_as_any(plane: Plane, who: str) -> None:
    limits = plane.folder / "accounts.yaml.new"
    limits.write_text(f'"*":\n  "{who.partition(":")[0]}:*": {{usd: 0.005}}\n', encoding="utf-8")
    limits.replace(plane.folder / "accounts.yaml")
    await plane.log_in(subject=who)

    async def in_force() -> None:
        assert [balance.account for balance in await plane.balances()] == [who]

    plane.deploy("all", "single", concurrency_max=1000)
    plane.server.script(plain("x", prompt=1, output=ANSWER_TOKENS), model="single")
    async with plane.router(), plane.router():
        await eventually(in_force)
        answered, _ = await asked(plane, 30)
        (balance,) = await settled(plane)
    assert 0 < answered < 30
    assert balance.committed_nano <= 5_000_000
