"""Bounded concurrency."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.kit.limit import Limit
from tests.support.eventually import eventually


async def hold(limit: Limit, release: asyncio.Event) -> None:
    async with limit:
        await release.wait()


async def test_so_many_at_once_and_the_rest_is_refused() -> None:
    limit = Limit("renderings", 2)
    async with limit, limit:
        assert limit.in_flight == 2
        with pytest.raises(Failure) as refusal:
            async with limit:
                raise AssertionError("a third was let in")
    assert (refusal.value.code, refusal.value.detail) == (Code.OVERLOADED, "too many at once: renderings")
    assert limit.in_flight == 0


async def test_some_may_wait_and_are_let_in_in_order() -> None:
    limit = Limit("renderings", 1, waiting_max=1)
    release = asyncio.Event()
    first = asyncio.create_task(hold(limit, release))
    second = asyncio.create_task(hold(limit, release))

    async def both_there() -> None:
        assert (limit.in_flight, limit.waiting) == (1, 1)

    await eventually(both_there)
    with pytest.raises(Failure, match="overloaded"):
        async with limit:
            pass
    release.set()
    await asyncio.gather(first, second)
    assert (limit.in_flight, limit.waiting) == (0, 0)


async def test_nobody_waits_longer_than_the_limit() -> None:
    limit = Limit("renderings", 1, waiting_max=1, wait_s=0.01)
    async with limit:
        with pytest.raises(Failure, match="overloaded"):
            async with limit:
                pass
    async with limit:
        assert limit.in_flight == 1


async def test_a_place_is_given_back_after_an_exception_and_a_cancelled_wait() -> None:
    limit = Limit("renderings", 1, waiting_max=1)
    with pytest.raises(KeyError):
        async with limit:
            raise KeyError
    async with limit:
        waiting = asyncio.create_task(hold(limit, asyncio.Event()))

        async def waits() -> None:
            assert limit.waiting == 1

        await eventually(waits)
        waiting.cancel()
        await asyncio.wait({waiting})
    async with limit:
        assert (limit.in_flight, limit.waiting) == (1, 0)
