"""No bytes of one request in the answer to another, however many are under way, fail or leave; and no reload or
eviction takes from a request what it is using."""

import asyncio
import json
import random

import pytest

from penstock.contracts.errors import Failure
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import SURFACES, Step, ask, follow, hear, hear_stream, request
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, Reply, chunk, error_event, plain, usage_chunk

WORDS = 12
PATIENT = {"headers_s": 20.0, "first_content_s": 20.0, "idle_s": 20.0, "total_s": 30.0}


def words_of(mark: str) -> list[str]:
    """What a request with that mark is to hear: long enough to come in many pieces."""
    return [f"{mark}-{number} " for number in range(WORDS)]


def mark_in(received: Received) -> str:
    """The last word of what was asked."""
    return json.loads(received.body)["messages"][-1]["content"].split()[-1]  # type: ignore[no-any-return]  # a text


def echoing(chance: random.Random) -> Reply:
    """Every request hears its own mark, in pieces that come in turns with those of all others; some break."""

    async def reply(line: Line, received: Received) -> None:
        mark = mark_in(received)
        if mark.startswith("broken"):
            line.head(Content_Type="text/event-stream")
            line.write(chunk({"content": f"{mark}-0 "}))
            await asyncio.sleep(chance.random() / 50)
            line.write(error_event("broken"))
            line.end()
        elif received.streamed:
            line.head(Content_Type="text/event-stream")
            for piece in words_of(mark):
                line.write(chunk({"content": piece}))
                await asyncio.sleep(chance.random() / 200)
            line.write(chunk({}, "stop") + usage_chunk(9, 3, 0) + b"data: [DONE]\n\n")
            line.end()
        else:
            await asyncio.sleep(chance.random() / 50)
            await plain("".join(words_of(mark)))(line, received)

    return reply


async def test_two_hundred_different_requests_at_once_hear_each_their_own(plane: Plane) -> None:
    """Every protocol, whole and streamed, with some that break and some whose callers leave in the middle."""
    chance = random.Random(23)
    plane.deploy("wire", "one", protocols=["openai.chat"], concurrency_max=1000, timeouts=PATIENT)
    plane.server.script(echoing(chance))

    async def one(number: int) -> None:
        surface, mark = SURFACES[number % 4], f"m{number}"
        if number % 10 == 7:
            mark = f"broken{number}"
        if number % 10 == 7 or number % 2:
            body = request(surface, [Step(f"say {mark}")], streamed=True)
            try:
                text, _ = await follow(plane, "wire", surface, body)
            except Failure:
                assert mark.startswith("broken")
                return
            assert hear_stream(surface, text).text == "".join(words_of(mark))
        else:
            answer = await ask(plane, "wire", surface, request(surface, [Step(f"say {mark}")]))
            assert hear(surface, bytes(answer.body)).text == "".join(words_of(mark))

    async with plane.router(breaker_failures_max=10_000):
        leaving = [asyncio.create_task(one(number)) for number in range(1_000, 1_040)]
        tasks = [asyncio.create_task(one(number)) for number in range(160)]
        await asyncio.sleep(0)
        await asyncio.gather(*tasks[:40])
        for task in leaving[::2]:
            task.cancel()
        await asyncio.gather(*tasks[40:], *leaving[1::2])
        await asyncio.gather(*leaving, return_exceptions=True)


async def test_frames_of_streams_on_one_connection_after_another_never_mix(plane: Plane) -> None:
    """The same connection to the provider serves one request after another, also after one that broke."""
    plane.deploy("wire", "one", protocols=["openai.chat"])
    plane.server.script(echoing(random.Random(5)))
    async with plane.router(breaker_failures_max=10_000, rounds_max=1):
        for number in range(30):
            mark = f"{'broken' if number % 3 == 1 else 'm'}{number}"
            body = request("openai.chat", [Step(f"say {mark}")], streamed=True)
            try:
                text, _ = await follow(plane, "wire", "openai.chat", body)
            except Failure:
                assert number % 3 == 1
                continue
            assert hear_stream("openai.chat", text).text == "".join(words_of(mark))


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
async def test_no_reload_closes_what_a_request_is_using(plane: Plane, streaming: bool) -> None:
    """Files, keys and addresses change again and again while an answer is under way on the connection of before."""
    gate = asyncio.Event()

    async def slow(line: Line, received: Received) -> None:
        if not streaming:
            await gate.wait()
            await plain("whole")(line, received)
            return
        line.head(Content_Type="text/event-stream")
        line.write(chunk({"content": "be"}))
        await gate.wait()
        line.write(chunk({"content": "gun"}, "stop") + b"data: [DONE]\n\n")
        line.end()

    plane.deploy("work", "slow", timeouts=PATIENT)
    plane.server.script(slow, model="slow")
    async with plane.router(keep_alive_s=0.05):
        call = asyncio.create_task(plane.stream("work") if streaming else plane.complete("work"))

        async def under_way() -> None:
            assert plane.server.asked("slow") == 1

        await eventually(under_way)
        for edit in range(5):
            plane.deploy("work", f"other-{edit}")
            plane.deployments.pop("slow", None)
            plane.deployments.pop(f"other-{edit - 1}", None)
            plane.rewrite()

            async def taken(edit: int = edit) -> None:
                assert len({line for line in plane.lines if '"event":"models"' in line}) == edit + 2

            await eventually(taken)
            assert (await plane.complete("work")).served.deployment == f"other-{edit}"
        assert plane.server.hung_up == []
        gate.set()
        done = await call
        outcomes = await plane.outcomes(len(plane.server.received))
    assert [outcome.status for outcome in outcomes if outcome.deployment == "slow"] == ["ok"]
    assert done is not None
