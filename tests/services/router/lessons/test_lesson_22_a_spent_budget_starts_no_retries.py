"""A hard budget is a refusal of its own that nobody retries; a rate limit says when to come back."""

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.support.model_server import status


async def test_a_spent_budget_is_asked_about_once_and_no_provider_hears_of_it(plane: Plane) -> None:
    await plane.log_in(usd=0.000001)
    plane.deploy("spare", "three")
    plane.aliases["chat"] = {"deployments": ["one", "two"], "fallback": ["spare"]}
    async with plane.router(rounds_max=5, attempts_max=20):
        with pytest.raises(Failure) as caught:
            await plane.complete(max_tokens=1000)
        decisions = await plane.decisions()
    assert caught.value.code is Code.BUDGET_EXHAUSTED
    assert not caught.value.retryable
    assert len(decisions) == 1
    assert plane.server.received == []


async def test_refusals_by_policy_put_no_deployment_to_rest(plane: Plane) -> None:
    await plane.log_in(usd=0.0005)
    async with plane.router(breaker_failures_max=1):
        for _ in range(5):
            with pytest.raises(Failure) as caught:
                await plane.complete(max_tokens=100_000)
            assert caught.value.code is Code.BUDGET_EXHAUSTED
        assert (await plane.complete(max_tokens=1)).served.deployment == "one"


async def test_a_rate_limit_is_another_code_and_says_when(plane: Plane) -> None:
    plane.server.script(status(429, retry_after="20"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert (caught.value.code, caught.value.retryable) == (Code.RATE_LIMITED, True)
        assert caught.value.retry_after_s == 20.0


async def test_a_used_up_minute_of_every_deployment_says_when_too(plane: Plane) -> None:
    for model in ("one", "two"):
        plane.deployments[model]["rpm"] = 1
    async with plane.router():
        await plane.complete()
        assert (await plane.complete()).served.deployment == "two"
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert caught.value.code is Code.RATE_LIMITED
        assert 1.0 <= caught.value.retry_after_s <= 60.0
    assert len(plane.server.received) == 2
