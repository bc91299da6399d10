"""Streamed answers: nothing is shown before there is content, everything after it is, and the end is true."""

import asyncio
import contextlib

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import run_id
from penstock.contracts.llm import Usage
from penstock.contracts.subjects import LLM_STREAM
from services.router.sse import SseParser
from tests.services.router.conftest import Plane, Streamed, asking
from tests.support.eventually import eventually
from tests.support.model_server import (
    Reply,
    body,
    calls,
    chunk,
    error_event,
    event,
    events,
    hang,
    hang_up,
    huge,
    json,
    status,
    streamed,
    usage_chunk,
)

ROLE = chunk({"role": "assistant", "content": ""})
WANTS_USAGE = {"include_usage": True}
DONE = b"data: [DONE]\n\n"


def whole(frame: bytes) -> bool:
    """Whether it holds whole events and nothing else."""
    parser = SseParser(1_000_000)
    return bool(parser.feed(frame)) and parser.finish() == []


async def test_the_provider_s_bytes_arrive_as_they_were_with_usage_when_asked(plane: Plane) -> None:
    plane.server.script(streamed("Hel", "lo", prompt=100, output=5, cached=80))
    async with plane.router():
        seen = await plane.stream(stream_options=WANTS_USAGE)
        (outcome,) = await plane.outcomes(1)
    expected = [
        chunk({"role": "assistant", "content": ""}, counted=True),
        chunk({"content": "Hel"}, counted=True),
        chunk({"content": "lo"}, counted=True),
        chunk({}, "stop", counted=True),
        usage_chunk(100, 5, 80),
        DONE,
    ]
    assert seen.text == b"".join(expected)
    assert all(whole(frame) for frame in seen.frames)
    assert seen.end is not None
    served = seen.end.served
    assert (seen.end.finish, served.deployment, served.attempts) == ("stop", "one", 1)
    assert served.usage == Usage(uncached=20, cache_read=80, output=5)
    assert served.cost_nano == 20 * 2_000 + 80 * 200 + 5 * 10_000
    assert served.first_token_ms > 0
    assert (outcome.status, outcome.usage, outcome.cost_nano) == ("ok", served.usage, served.cost_nano)


async def test_usage_that_was_not_asked_for_is_counted_and_not_shown(plane: Plane) -> None:
    plane.server.script(streamed("Hel", "lo", prompt=100, output=5))
    async with plane.router():
        seen = await plane.stream()
    assert b"usage" not in seen.text
    assert seen.text == b"".join([ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE])
    assert seen.end is not None
    assert seen.end.served.usage == Usage(uncached=100, output=5)
    assert plane.server.received[0].wants_usage


async def test_a_provider_that_counts_nothing_is_estimated(plane: Plane) -> None:
    plane.server.script(streamed("x" * 400, usage=False))
    async with plane.router():
        seen = await plane.stream()
    assert seen.end is not None
    assert seen.end.served.usage == Usage(uncached=6, output=101, estimated=True)


async def test_a_tool_call_passes_and_the_reason_is_told(plane: Plane) -> None:
    plane.server.script(calls("f", '{"city":"Paris"}'))
    async with plane.router():
        seen = await plane.stream(tools=[{"type": "function", "function": {"name": "f"}}])
    assert seen.end is not None
    assert seen.end.finish == "tool_calls"
    assert seen.text.count(b'"tool_calls":') == 4


@pytest.mark.parametrize(
    "reply",
    [
        status(500),
        status(429, retry_after="1"),
        status(401),
        hang_up(),
        hang(),
        body(b"<html>", "text/html"),
        json({"error": {"message": "busy"}}),
        events(error_event("Overloaded")),
        events(ROLE, b": ping\n\n", error_event("Overloaded")),
        events(ROLE, event({"choices": []}), then="cut"),
        events(ROLE, DONE),
        events(ROLE, then="end"),
        events(ROLE, then="hang"),
        events(b": ping\n\n", then="hang"),
        events(b"data: {nonsense\n\n"),
        huge(3_000_000, "text/event-stream"),
    ],
    ids=[
        "500", "429", "401", "hangs up", "silence", "html", "error in json", "error event", "error after a role",
        "cut after a role", "done after a role", "end after a role", "stall after a role", "comments only",
        "garbage", "endless event",
    ],
)  # fmt: skip
async def test_before_the_first_content_another_deployment_answers_as_if_nothing_had_been(
    plane: Plane, reply: Reply
) -> None:
    plane.deployments["one"]["timeouts"] = {"headers_s": 0.2, "first_content_s": 0.3, "idle_s": 0.2}
    plane.server.script(reply, model="one")
    plane.server.script(streamed("Hel", "lo"), model="two")
    async with plane.router():
        seen = await plane.stream()
        first, second = await plane.outcomes(2)
    assert seen.text == b"".join([ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE])
    assert seen.end is not None
    assert (seen.end.served.deployment, seen.end.served.attempts) == ("two", 2)
    assert (first.status, first.deployment, second.status) == ("error", "one", "ok")


@pytest.mark.parametrize(
    ("then", "code", "detail"),
    [
        ([error_event("Overloaded")], Code.UPSTREAM, "the provider reported an error in its answer"),
        ([error_event("slow", "rate_limit_exceeded")], Code.RATE_LIMITED, "the provider limits our rate"),
        ("cut", Code.UPSTREAM, "the provider's answer was cut short"),
        ("end", Code.UPSTREAM, "the provider's stream ended early"),
        ("hang", Code.DEADLINE, "nothing came for 0.3 s"),
        ([b"data: {nonsense\n\n"], Code.UPSTREAM, "the provider's stream is not JSON"),
    ],
    ids=["error", "429", "cut", "early end", "stall", "garbage"],
)
async def test_after_the_first_content_nobody_else_is_asked_and_the_end_says_what_happened(
    plane: Plane, then: str | list[bytes], code: Code, detail: str
) -> None:
    plane.deployments["one"]["timeouts"] = {"headers_s": 1, "first_content_s": 1, "idle_s": 0.3}
    shown = [ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"})]
    more = [] if isinstance(then, str) else then
    how = then if isinstance(then, str) else "end"
    plane.server.script(events(*shown, *more, then=how, pause_s=0.02), model="one")
    seen = Streamed()
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.stream(into=seen)
        (outcome,) = await plane.outcomes(1)
    assert (caught.value.code, caught.value.detail) == (code, detail)
    assert seen.text == b"".join(shown)
    assert seen.end is None
    assert (outcome.status, outcome.code) == ("error", code.value)
    assert outcome.usage == Usage(uncached=6, output=3, estimated=True)
    assert plane.server.asked("two") == 0


async def test_keep_alives_of_the_provider_do_not_feed_the_watch(plane: Plane) -> None:
    plane.deployments["one"]["timeouts"] = {"headers_s": 1, "first_content_s": 1, "idle_s": 0.3}
    pings = [b": ping\n\n"] * 100
    plane.server.script(events(ROLE, chunk({"content": "x"}), *pings, then="hang", pause_s=0.05), model="one")
    seen = Streamed()
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.stream(into=seen)
    assert caught.value.detail == "nothing came for 0.3 s"
    assert b": ping\n\n" in seen.text


async def test_what_comes_in_one_read_goes_out_as_one_frame(plane: Plane) -> None:
    stream = b"".join([ROLE, *(chunk({"content": "x"}) for _ in range(50)), chunk({}, "stop"), DONE])
    plane.server.script(body(stream))
    async with plane.router():
        seen = await plane.stream()
    assert seen.text == stream
    assert len(seen.frames) < 5


async def test_a_stream_in_single_bytes_arrives_the_same(plane: Plane) -> None:
    stream = b"".join([ROLE, chunk({"content": "h\u00e9llo \u4e2d"}), b": c\r\n\r\n", chunk({}, "stop"), DONE])
    plane.server.script(events(*(stream[i : i + 1] for i in range(len(stream)))))
    async with plane.router():
        seen = await plane.stream()
    assert seen.text == stream
    assert all(whole(frame) for frame in seen.frames)


async def test_done_is_added_where_the_provider_leaves_it_out(plane: Plane) -> None:
    plane.server.script(streamed("x", done=False))
    async with plane.router():
        seen = await plane.stream()
    assert seen.text.endswith(chunk({}, "stop") + DONE)
    assert seen.text.count(DONE) == 1


async def test_what_follows_done_is_not_shown(plane: Plane) -> None:
    plane.server.script(events(ROLE, chunk({"content": "x"}, "stop"), DONE, b"data: more\n\n"))
    async with plane.router():
        seen = await plane.stream()
    assert seen.text == ROLE + chunk({"content": "x"}, "stop") + DONE


async def test_a_connection_that_stays_open_after_done_does_not_hold_the_caller(plane: Plane) -> None:
    plane.server.script(events(ROLE, chunk({"content": "x"}, "stop"), DONE, then="hang"))
    async with plane.router():
        seen = await asyncio.wait_for(plane.stream(), 1.0)
        (outcome,) = await plane.outcomes(1)
    assert seen.end is not None
    assert outcome.status == "ok"


@pytest.mark.parametrize("phase", ["before the headers", "before content", "in the middle"])
@pytest.mark.parametrize("how", ["the reader leaves", "the job is cancelled"])
async def test_a_reader_who_leaves_closes_the_upstream_and_what_was_used_is_settled_once(
    plane: Plane, phase: str, how: str
) -> None:
    await plane.log_in(usd=1)
    middle = events(ROLE, chunk({"content": "x" * 38}), then="hang")
    reply = {"before the headers": hang(), "before content": events(ROLE, then="hang"), "in the middle": middle}[phase]
    plane.server.script(reply)
    seen = Streamed()
    async with plane.router():
        reading = asyncio.create_task(_read(plane, seen))

        async def there() -> None:
            assert plane.server.under_way == 1
            assert bool(seen.frames) == (phase == "in the middle")

        await eventually(there)
        if how == "the reader leaves":
            reading.cancel()
        else:
            await plane.bus.cancel(run_id("acme", "job_1"))

        async def left() -> None:
            assert plane.server.under_way == 0
            assert len(plane.server.hung_up) == 1

        await eventually(left, within_s=1.0)
        with contextlib.suppress(asyncio.CancelledError, Failure):
            await reading
        (outcome,) = await plane.outcomes(1)
        output = 10 if phase == "in the middle" else 0
        assert outcome.status == "cancelled"
        assert outcome.usage == Usage(uncached=6, output=output, estimated=True)

        async def settled() -> None:
            balance = await plane.balance()
            assert (balance.committed_nano, balance.reserved_nano) == (6 * 2_000 + output * 10_000, 0)

        await eventually(settled)


async def _read(plane: Plane, seen: Streamed) -> None:
    meta = plane.meta(job="job_1")
    async with plane.bus.stream(LLM_STREAM, asking("chat"), meta) as reader:
        async for frame in reader:
            seen.frames.append(bytes(frame))


async def test_a_reader_that_does_not_read_stops_the_provider_and_loses_nothing(plane: Plane) -> None:
    """The idle limit does not run while the reader is the one who is waited for."""
    plane.deployments["one"]["timeouts"] = {"headers_s": 1, "first_content_s": 1, "idle_s": 0.2, "total_s": 20}
    pieces = [chunk({"content": "x" * 1000}) for _ in range(2000)]
    stream = [ROLE, *pieces, chunk({}, "stop"), DONE]
    plane.server.script(events(*stream))
    size = 0
    async with plane.router():
        async with plane.bus.stream(LLM_STREAM, asking("chat"), plane.meta()) as reader:
            first = await anext(aiter(reader))
            loop = asyncio.get_running_loop()
            rested: asyncio.Future[None] = loop.create_future()
            loop.call_later(0.5, rested.set_result, None)
            await rested
            size = len(first)
            async for frame in reader:
                size += len(frame)
        (outcome,) = await plane.outcomes(1)
    assert size == sum(map(len, stream))
    assert outcome.status == "ok"


async def test_a_deployment_that_begins_to_answer_is_well_before_it_has_ended(plane: Plane) -> None:
    plane.deploy("alone", "single")
    long = events(ROLE, chunk({"content": "x"}), then="hang")
    plane.server.script(status(500), long, streamed("y"), model="single")
    seen = Streamed()

    async def trial() -> None:
        while not seen.frames:
            with contextlib.suppress(Failure):
                await plane.stream("alone", into=seen)

    async def begun() -> None:
        assert seen.frames

    async with plane.router(breaker_failures_max=1, rounds_max=1):
        reading = asyncio.create_task(trial())
        await eventually(begun)
        other = await plane.stream("alone")
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    assert b'"content":"y"' in other.text


async def test_many_streams_at_once_each_get_their_own(plane: Plane) -> None:
    plane.server.script(streamed(*["a", "b", "c"] * 5, pause_s=0.01))
    async with plane.router():
        seen = await asyncio.gather(*(plane.stream() for _ in range(50)))
        await plane.outcomes(50)
    assert len({each.text for each in seen}) == 1
    assert len({each.end.served.attempt for each in seen if each.end}) == 50


async def test_fields_of_the_request_survive_and_the_body_says_it_is_a_stream(plane: Plane) -> None:
    async with plane.router():
        await plane.stream(x_mine={"a": [1]}, stream=False, stream_options={"include_obfuscation": False})
    fields = plane.server.received[0].fields
    assert fields["x_mine"] == {"a": [1]}
    assert fields["stream"] is True
    assert fields["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert msgspec.json.encode(fields["model"]) == b'"one"'
