"""Whatever ends a request, what it held is free again: places at a deployment, requests of its minute, reservations of
every account above it. A reservation whose outcome never comes ends by itself."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import Reply, chunk, events, hang, hang_up, plain, status

ENDS: dict[str, tuple[Reply, bool]] = {
    "a timeout": (hang(), False),
    "a timeout of a stream": (hang(), True),
    "a hang-up": (hang_up(), False),
    "an error": (status(500), True),
    "a refusal": (status(400), False),
    "a stream that stalls": (events(chunk({"content": "x"}), then="hang"), True),
    "a stream that is cut": (events(chunk({"content": "x"}), then="cut"), True),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_deployment_that_takes_two_at_once_takes_two_more_after_any_end(plane: Plane, end: str) -> None:
    reply, streamed = ENDS[end]
    quick = {"headers_s": 0.1, "first_content_s": 0.1, "idle_s": 0.1, "total_s": 0.3}
    plane.deploy("narrow", "single", concurrency_max=2, timeouts=quick)
    plane.server.script(reply, model="single")
    async with plane.router(breaker_failures_max=1000, rounds_max=1):
        for _ in range(3):
            asked = [plane.stream("narrow") if streamed else plane.complete("narrow") for _ in range(2)]
            ends = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(each, Failure) and each.code is not Code.OVERLOADED for each in ends), ends
        plane.server.script(plain(), model="single")
        answers = await asyncio.gather(*[plane.complete("narrow") for _ in range(2)])
        assert {answer.served.deployment for answer in answers} == {"single"}


async def test_callers_who_leave_at_any_time_leave_no_place_taken(plane: Plane) -> None:
    plane.deploy("narrow", "single", concurrency_max=2)
    await plane.log_in(usd=1.0)
    plane.server.script(hang(), model="single")
    async with plane.router():
        for round in range(4):
            calls = [asyncio.create_task(plane.complete("narrow")) for _ in range(2)]

            async def under_way(count: int = 2 * round + 2) -> None:
                assert plane.server.asked("single") == count

            await eventually(under_way)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await plane.outcomes(2 * round + 2)
        plane.server.script(plain(), model="single")
        assert (await plane.complete("narrow")).served.deployment == "single"
        await nothing_reserved(plane)


async def nothing_reserved(plane: Plane) -> None:
    async def free() -> None:
        assert (await plane.balance()).reserved_nano == 0

    await eventually(free)


async def test_who_policy_refuses_uses_up_no_request_of_a_deployments_minute(plane: Plane) -> None:
    plane.deploy("narrow", "single", rpm=2)
    await plane.log_in(usd=0.001)
    async with plane.router():
        for _ in range(5):
            with pytest.raises(Failure) as caught:
                await plane.complete("narrow", max_tokens=1_000_000)
            assert caught.value.code is Code.BUDGET_EXHAUSTED
        for _ in range(2):
            assert (await plane.complete("narrow", max_tokens=5)).served.deployment == "single"
        with pytest.raises(Failure) as caught:
            await plane.complete("narrow", max_tokens=5)
        assert caught.value.code is Code.RATE_LIMITED


async def test_who_a_deployment_has_no_place_for_reserves_nothing(plane: Plane) -> None:
    plane.deploy("narrow", "single", concurrency_max=1)
    await plane.log_in(usd=1.0)
    plane.server.script(hang(), model="single")
    async with plane.router():
        first = asyncio.create_task(plane.complete("narrow", max_tokens=100))

        async def under_way() -> None:
            assert plane.server.asked("single") == 1

        await eventually(under_way)
        held = (await plane.balance()).reserved_nano
        for _ in range(5):
            with pytest.raises(Failure) as caught:
                await plane.complete("narrow", max_tokens=100)
            assert caught.value.code is Code.OVERLOADED
        assert (await plane.balance()).reserved_nano == held > 0
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await plane.outcomes(1)
        await nothing_reserved(plane)


async def test_a_narrow_account_that_refuses_leaves_nothing_in_the_wide_ones(plane: Plane) -> None:
    await plane.log_in(usd=0.0001)
    limits = plane.folder / "accounts.yaml.new"
    limits.write_text("acme:\n  tenant:acme: {usd: 1}\n  user:alice: {usd: 1}\n", encoding="utf-8")
    limits.replace(plane.folder / "accounts.yaml")
    async with plane.router():

        async def three_accounts() -> None:
            accounts = {balance.account: balance.reserved_nano for balance in await plane.balances()}
            assert accounts == {"tenant:acme": 0, "user:alice": 0, f"key:{plane.key_id}": 0}

        await eventually(three_accounts)
        for _ in range(5):
            with pytest.raises(Failure) as caught:
                await plane.complete(max_tokens=100_000)
            assert caught.value.code is Code.BUDGET_EXHAUSTED
        await three_accounts()
