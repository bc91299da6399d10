"""A failing deployment leaves the rotation at once, comes back by one probe, and is never blamed for what is not its
fault. The state machine itself is checked in test_breaker_model.py."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, plain, status


async def test_of_25_requests_a_failing_deployment_gets_three(plane: Plane) -> None:
    plane.server.script(status(500), model="one")
    async with plane.router(breaker_rest_s=60.0):
        for _ in range(25):
            assert (await plane.complete()).served.deployment == "two"
    assert plane.server.asked("one") == 3


@pytest.mark.parametrize("number", [400, 404, 422])
async def test_what_is_not_its_fault_never_trips_it(plane: Plane, number: int) -> None:
    plane.deploy("alone", "single")
    plane.server.script(status(number, "no"), model="single")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=60.0):
        for _ in range(10):
            with pytest.raises(Failure) as caught:
                await plane.complete("alone")
            assert caught.value.code in (Code.INVALID, Code.UPSTREAM)
    assert plane.server.asked("single") == 10


async def test_each_deployment_is_asked_with_its_own_model_name(plane: Plane) -> None:
    plane.server.script(status(500), model="one")
    async with plane.router():
        await plane.complete()
    assert [request.fields["model"] for request in plane.server.received] == ["one", "two"]


async def test_after_the_rest_one_probe_goes_out_however_many_ask(plane: Plane) -> None:
    probes = asyncio.Event()

    async def slow(line: Line, request: Received) -> None:
        await probes.wait()
        await plain()(line, request)

    plane.server.script(status(500), slow, model="one")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=0.1):
        assert (await plane.complete()).served.deployment == "two"

        async def probing() -> None:
            call = asyncio.create_task(plane.complete())
            done, _ = await asyncio.wait({call}, timeout=0.2)
            if done:
                raise AssertionError("answered by the other one")
            pending.append(call)

        pending: list[asyncio.Task[object]] = []
        await eventually(probing)
        answers = await asyncio.gather(*(plane.complete() for _ in range(10)))
        assert {answer.served.deployment for answer in answers} == {"two"}
        assert plane.server.asked("one") == 2
        probes.set()
        await asyncio.gather(*pending)
        assert (await plane.complete()).served.deployment == "one"


async def test_who_chose_it_before_its_trial_began_does_not_make_a_second_one(plane: Plane) -> None:
    """The first deployment fails late: by then the second one, chosen as well, is being tried by somebody else."""
    fails, answers, probing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late_failure(line: Line, request: Received) -> None:
        await fails.wait()
        await status(500)(line, request)

    async def probe(line: Line, request: Received) -> None:
        probing.set()
        await answers.wait()
        await plain()(line, request)

    plane.deploy("second", "two")
    plane.server.script(late_failure, model="one")
    plane.server.script(status(500), probe, plain(), model="two")
    async with plane.router(breaker_failures_max=1, breaker_rest_s=0.05, rounds_max=1):
        with pytest.raises(Failure):
            await plane.complete("second")
        rested_at = asyncio.get_running_loop().time() + 0.06

        async def rested() -> None:
            assert asyncio.get_running_loop().time() > rested_at

        async def under_way() -> None:
            assert plane.server.asked("one") == 1

        await eventually(rested)
        chain = asyncio.create_task(plane.complete())
        await eventually(under_way)
        trial = asyncio.create_task(plane.complete("second"))
        await probing.wait()
        fails.set()
        with pytest.raises(Failure) as caught:
            await chain
        assert caught.value.detail == "the provider answered with status 500"
        answers.set()
        assert (await trial).served.deployment == "two"
    assert plane.server.asked("two") == 2


async def test_a_later_shorter_rest_does_not_shorten_a_longer_one(plane: Plane) -> None:
    plane.deploy("alone", "single", concurrency_max=8)
    replies = [status(429, retry_after="30"), status(429, retry_after="1")]
    both = asyncio.Event()

    async def limited(line: Line, request: Received) -> None:
        reply = replies.pop(0)
        if replies:
            await both.wait()
        else:
            both.set()
        await reply(line, request)

    plane.server.script(limited, model="single")
    async with plane.router(rounds_max=1):
        await asyncio.gather(*(plane.complete("alone") for _ in range(2)), return_exceptions=True)
        with pytest.raises(Failure) as caught:
            await plane.complete("alone")
    assert caught.value.code is Code.RATE_LIMITED
    assert 20.0 < caught.value.retry_after_s <= 30.0
