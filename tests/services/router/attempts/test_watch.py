"""Four limits, each with its own failure."""

import asyncio
from collections.abc import Callable

import pytest

from penstock.contracts.errors import Code
from services.router.attempts.watch import Watch
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Timeouts

LIMITS = Timeouts(headers_s=0.02, first_content_s=0.03, idle_s=0.04, total_s=0.2)


def watch(limits: Timeouts = LIMITS, deadline_s: float = 10.0) -> Watch:
    loop = asyncio.get_running_loop()
    return Watch(limits, loop.time() + deadline_s, loop)


async def failure(wait: Callable[[Watch], None], limits: Timeouts = LIMITS, deadline_s: float = 10.0) -> Fault:
    with pytest.raises(Fault) as caught:
        async with watch(limits, deadline_s) as under_way:
            wait(under_way)
            await asyncio.Event().wait()
    return caught.value


async def test_each_limit_says_which_it_was() -> None:
    assert (await failure(Watch.headers)).detail == "no answer began within 0.02 s"
    assert (await failure(Watch.first_content)).detail == "no content came within 0.03 s"
    assert (await failure(Watch.content)).detail == "nothing came for 0.04 s"
    assert (await failure(Watch.whole)).detail == "the answer took longer than 0.2 s"
    assert (await failure(Watch.whole, deadline_s=0.01)).detail == "the caller's deadline passed"


async def test_a_timeout_may_be_tried_elsewhere_and_counts_as_used() -> None:
    fault = await failure(Watch.headers)
    assert (fault.kind, fault.code, fault.sent) == (FaultKind.TIMEOUT, Code.DEADLINE, True)


async def test_the_total_ends_a_stream_that_never_stops_giving() -> None:
    limits = Timeouts(headers_s=5, first_content_s=5, idle_s=5, total_s=0.05)
    assert (await failure(Watch.content, limits)).detail == "the answer took longer than 0.05 s"


async def test_a_slow_reader_does_not_use_up_the_provider_s_time() -> None:
    loop = asyncio.get_running_loop()
    async with watch() as under_way:
        under_way.content()
        under_way.pause()
        passed: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.08, passed.set_result, None)
        await passed
        under_way.resume()
        await asyncio.sleep(0)


async def test_a_deadline_that_has_passed_ends_at_once() -> None:
    assert (await failure(Watch.headers, deadline_s=-1.0)).detail == "the caller's deadline passed"


async def test_the_caller_s_own_cancellation_is_no_timeout() -> None:
    async def work() -> None:
        async with watch():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
