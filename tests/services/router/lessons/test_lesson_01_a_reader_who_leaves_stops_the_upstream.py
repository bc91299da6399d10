"""A reader who leaves, at whatever moment, closes the upstream's socket within a second, and what was held is free."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from penstock.contracts.errors import Failure
from penstock.contracts.subjects import LLM_COMPLETE, LLM_STREAM
from tests.services.router.conftest import Plane, asking
from tests.support.eventually import eventually
from tests.support.model_server import Reply, chunk, events, hang, status

ROLE = chunk({"role": "assistant", "content": ""})


async def stream(plane: Plane) -> None:
    async with plane.bus.stream(LLM_STREAM, asking("chat"), plane.meta(job="job_1")) as reader:
        async for _ in reader:
            pass


async def whole(plane: Plane) -> None:
    await plane.bus.call(LLM_COMPLETE, asking("chat"), plane.meta(job="job_1"))


async def leaves(plane: Plane, work: Callable[[Plane], Awaitable[None]], phase: Callable[[], None]) -> None:
    """Somebody asks, and leaves in that phase."""
    asking = asyncio.ensure_future(work(plane))

    async def there() -> None:
        phase()

    await eventually(there)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError, Failure):
        await asking


@pytest.mark.parametrize(
    ("reply", "work"),
    [
        (hang(), whole),
        (hang(), stream),
        (events(ROLE, then="hang"), stream),
        (events(ROLE, chunk({"content": "x"}), then="hang"), stream),
        (events(*[chunk({"content": "x" * 2000})] * 2000, then="hang"), stream),
    ],
    ids=["a plain answer", "before the headers", "before content", "in the middle", "in a flood"],
)
async def test_the_upstream_is_closed_within_a_second_and_nothing_is_held(
    plane: Plane, reply: Reply, work: Callable[[Plane], Awaitable[None]]
) -> None:
    plane.server.script(reply)
    async with plane.router():
        tasks = len(asyncio.all_tasks())

        def under_way() -> None:
            assert plane.server.under_way == 1

        await leaves(plane, work, under_way)

        async def closed() -> None:
            assert plane.server.under_way == 0

        await eventually(closed, within_s=1.0)
        (outcome,) = await plane.outcomes(1)

        async def at_rest() -> None:
            assert len(asyncio.all_tasks()) <= tasks

        await eventually(at_rest)
    assert outcome.status == "cancelled"


@pytest.mark.parametrize("work", [whole, stream])
async def test_who_leaves_between_two_tries_is_asked_for_no_more(
    plane: Plane, work: Callable[[Plane], Awaitable[None]]
) -> None:
    plane.server.script(status(500))
    async with plane.router(backoff_s=2.0, backoff_max_s=2.0):

        def first_round_over() -> None:
            assert (plane.server.asked("one"), plane.server.asked("two"), plane.server.under_way) == (1, 1, 0)

        await leaves(plane, work, first_round_over)
        outcomes = await plane.outcomes(2)
        assert [each.status for each in outcomes] == ["error", "error"]

        async def at_rest() -> None:
            assert all("_pause" not in str(task) for task in asyncio.all_tasks())

        await eventually(at_rest)
    assert len(plane.server.received) == 2


async def test_whenever_somebody_leaves_each_decision_has_one_outcome_and_nobody_is_asked_in_vain(plane: Plane) -> None:
    """Before the question to policy, meanwhile, on the way to the provider, and after."""
    plane.server.script(hang())
    loop = asyncio.get_running_loop()
    async with plane.router():
        readers = [asyncio.ensure_future(stream(plane)) for _ in range(30)]
        for number, reader in enumerate(readers):
            loop.call_later(number * 0.004, reader.cancel)
        await asyncio.gather(*readers, return_exceptions=True)

        async def settled() -> None:
            decisions, outcomes = await plane.decisions(), await plane.ended()
            assert plane.server.under_way == 0
            assert len(decisions) == len(outcomes)
            assert {each.status for each in outcomes} <= {"cancelled"}

        await eventually(settled)
