"""A price that nobody knows is never taken for nothing, from the models file to the books."""

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Balance
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually

ESTIMATE = {"unknown_price": "estimate", "estimate_nano_per_token": 1_000}
FREE = {"unknown_price": "free"}


async def unpriced(plane: Plane, *, usd: float = 1.0) -> None:
    """`dear` has no price in the file, and is in no table; the key has a budget."""
    plane.deploy("dear", "dear")
    del plane.deployments["dear"]["price"]
    await plane.log_in(usd=usd)


async def settled(plane: Plane) -> Balance:
    async def nothing_reserved() -> Balance:
        balance = await plane.balance()
        assert balance.reserved_nano == 0
        return balance

    return await eventually(nothing_reserved)


async def test_an_unknown_price_is_denied_unless_somebody_said_otherwise(plane: Plane) -> None:
    await unpriced(plane)
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete("dear")
    assert caught.value.code is Code.DENIED
    assert any("price" in reason for reason in caught.value.reasons)
    assert plane.server.received == []
    assert (await settled(plane)).committed_nano == 0


@pytest.mark.parametrize("plane", [ESTIMATE], indirect=True)
async def test_an_unknown_price_is_estimated_and_booked_as_reserved(plane: Plane) -> None:
    await unpriced(plane)
    async with plane.router():
        answer = await plane.complete("dear", max_tokens=100)
        assert answer.served.cost_nano == -1
        (outcome,) = await plane.outcomes(1)
        (decision,) = await plane.decisions()
        assert outcome.cost_nano == -1
        assert decision.reserved_nano == decision.reserved_tokens * 1_000 > 100_000
        assert (await settled(plane)).committed_nano == decision.reserved_nano


@pytest.mark.parametrize("plane", [ESTIMATE], indirect=True)
async def test_an_estimated_price_runs_into_the_budget(plane: Plane) -> None:
    await unpriced(plane, usd=0.0001)
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete("dear", max_tokens=100)
    assert caught.value.code is Code.BUDGET_EXHAUSTED
    assert plane.server.received == []


@pytest.mark.parametrize("plane", [FREE], indirect=True)
async def test_an_unknown_price_is_free_only_where_the_operator_wrote_that(plane: Plane) -> None:
    await unpriced(plane)
    async with plane.router():
        answer = await plane.complete("dear")
        assert answer.served.cost_nano == -1
        (decision,) = await plane.decisions()
        assert decision.reserved_nano == 0
        assert (await settled(plane)).committed_nano == 0


async def test_a_price_of_zero_is_free_and_no_unknown_price(plane: Plane) -> None:
    plane.deploy("gift", "gift", price="free")
    await plane.log_in(usd=1.0)
    async with plane.router():
        answer = await plane.complete("gift")
        assert answer.served.cost_nano == 0
        assert answer.served.price_version == "models file"


async def test_unknown_prices_are_told_when_the_file_is_read(plane: Plane) -> None:
    await unpriced(plane)
    async with plane.router():
        assert any('"price_unknown": ["dear"]' in line or '"price_unknown":["dear"]' in line for line in plane.lines)


async def test_a_file_with_a_bad_price_never_replaces_a_good_one(plane: Plane) -> None:
    async with plane.router():
        assert (await plane.complete()).served.cost_nano > 0
        plane.deployments["one"]["price"] = {"input_usd_per_mtok": "cheap"}
        plane.rewrite()

        async def refused() -> None:
            assert any("models file refused" in line for line in plane.lines)

        await eventually(refused)
        assert (await plane.complete()).served.cost_nano > 0
