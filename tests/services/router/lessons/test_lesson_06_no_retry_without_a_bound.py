"""A rate limit in the middle of a stream, and one that never ends, cost a bounded number of tries and no busy loop."""

import time

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane, Streamed
from tests.support.model_server import chunk, error_event, events, status


async def test_a_rate_limit_in_the_middle_of_a_stream_ends_it_once(plane: Plane) -> None:
    plane.deploy("alone", "single")
    limited = error_event("slow down", "rate_limit_exceeded")
    plane.server.script(events(chunk({"content": "x"}), limited, pause_s=0.02), model="single")
    seen = Streamed()
    async with plane.router(attempts_max=50, rounds_max=50, hops_max=50):
        with pytest.raises(Failure) as caught:
            await plane.stream("alone", into=seen)
        await plane.outcomes(1)
    assert caught.value.code is Code.RATE_LIMITED
    assert (plane.server.asked("single"), seen.text.count(b'"content":"x"')) == (1, 1)


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "plain"])
async def test_a_rate_limit_that_never_ends_is_tried_so_often_and_no_more(plane: Plane, streaming: bool) -> None:
    plane.deploy("alone", "single")
    plane.server.script(status(429), model="single")
    async with plane.router(attempts_max=50, rounds_max=3, backoff_s=0.1):
        busy = time.process_time()
        with pytest.raises(Failure) as caught:
            await (plane.stream("alone") if streaming else plane.complete("alone"))
        assert time.process_time() - busy < 1.5
    assert caught.value.code is Code.RATE_LIMITED
    assert 1 <= plane.server.asked("single") <= 3


async def test_fallbacks_and_keys_cannot_multiply_tries_beyond_the_cap(plane: Plane) -> None:
    for name in "abcdefgh":
        (plane.folder / name).write_text(f"sk-{name}\n", encoding="utf-8")
    plane.deploy("deep", "three", "four", keys=[f"file:{name}" for name in "abcdefgh"])
    plane.aliases["chat"] = {"deployments": ["one", "two"], "fallback": ["deep"]}
    plane.server.script(status(500))
    plane.server.script(status(401), model="three")
    plane.server.script(status(429), model="four")
    async with plane.router(attempts_max=50, rounds_max=50, hops_max=9, breaker_failures_max=1000):
        with pytest.raises(Failure):
            await plane.complete()
    assert len(plane.server.received) <= 9
