"""Call over a real broker: concurrency, failures, deadlines, cancellation, lost workers, large bodies."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import run_id
from penstock.contracts.meta import Meta
from tests.support.echo import ECHO, ONCE, TENANT_ECHO, Ask, Pair, Said, pair
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.wire import wire


@pytest.fixture(params=[True, False], ids=["lean", "plain"])
async def both(request: pytest.FixtureRequest, nats_url: str) -> AsyncIterator[Pair]:
    async with pair(nats_url, lean=request.param) as parties:
        yield parties


async def echo(ask: Ask, meta: Meta) -> Said:
    await asyncio.sleep(ask.wait_s)
    return Said(ask.text)


async def failure_of(call: object) -> Failure:
    with pytest.raises(Failure) as caught:
        await call  # type: ignore[misc]  # any awaitable
    return caught.value


async def test_a_call_is_answered_with_the_typed_reply(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=10)
    assert await both.asker.call(ECHO, Ask("hello"), Meta()) == Said("hello")


async def test_a_thousand_calls_at_once_are_answered_side_by_side(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=1000)
    began = time.monotonic()
    replies = await asyncio.gather(*[both.asker.call(ECHO, Ask(str(n), 0.3), Meta()) for n in range(1000)])
    assert [r.text for r in replies] == [str(n) for n in range(1000)]
    assert time.monotonic() - began < 30  # one after another would take 300 s


async def test_meta_arrives_as_it_was_sent(both: Pair) -> None:
    seen: list[Meta] = []

    async def handler(ask: Ask, meta: Meta) -> Said:
        seen.append(meta)
        return Said("")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=1)
    sent = Meta(
        request="req_1",
        tenant="acme",
        token="a.b.c",
        deadline=time.time() + 3,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        idempotency_key="run-1 step-2",
        job="job_1",
        step="llm-1",
        epoch=7,
    )
    await both.asker.call(ECHO, Ask("x"), sent)
    assert (seen[0].request, seen[0].tenant, seen[0].token) == ("req_1", "acme", "a.b.c")
    assert (seen[0].idempotency_key, seen[0].job, seen[0].step, seen[0].epoch) == ("run-1 step-2", "job_1", "llm-1", 7)
    assert seen[0].traceparent == sent.traceparent
    assert abs(seen[0].deadline - sent.deadline) < 0.01


async def test_the_tenant_is_what_the_subject_says_not_what_the_client_writes(both: Pair) -> None:
    seen: list[str] = []

    async def handler(ask: Ask, meta: Meta) -> Said:
        seen.append(meta.tenant)
        return Said("")

    await both.answerer.serve_call(TENANT_ECHO, handler, in_flight_max=1)
    await both.asker.call(TENANT_ECHO, Ask("x"), Meta(tenant="evil"), tenant="acme")
    assert seen == ["acme"]


async def test_a_failure_crosses_the_bus_whole(both: Pair) -> None:
    async def handler(ask: Ask, meta: Meta) -> Said:
        raise Failure(
            Code.BUDGET_EXHAUSTED,
            "nothing left",
            decision="dec_1",
            reasons=("team budget",),
            retry_after_s=2.5,
            param="n",
        )

    await both.answerer.serve_call(ECHO, handler, in_flight_max=1)
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta()))
    assert (failure.code, failure.detail) == (Code.BUDGET_EXHAUSTED, "nothing left")
    assert (failure.decision, failure.reasons, failure.retry_after_s, failure.param) == (
        "dec_1",
        ("team budget",),
        2.5,
        "n",
    )


async def test_a_handler_that_breaks_is_an_internal_failure_without_its_words(
    both: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ask: Ask, meta: Meta) -> Said:
        raise ValueError("secret detail")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=1)
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta()))
    assert (failure.code, failure.detail) == (Code.INTERNAL, "internal error")
    assert "a handler failed" in caplog.text


async def test_more_at_once_than_allowed_is_overloaded(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=2)
    results = await asyncio.gather(
        *[both.asker.call(ECHO, Ask(str(n), 0.2), Meta()) for n in range(3)], return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, Failure)]
    assert [f.code for f in refused] == [Code.OVERLOADED]


async def test_nobody_answering_is_unavailable_soon(both: Pair) -> None:
    began = time.monotonic()
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta()))
    assert failure.code is Code.UNAVAILABLE
    assert time.monotonic() - began < 3


async def test_a_deadline_that_comes_while_nobody_answers_ends_the_call_then(both: Pair) -> None:
    client = both.asker.connection._client
    began, sent = time.monotonic(), client.stats["out_msgs"]
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta(), timeout_s=0.25))
    assert failure.code in (Code.UNAVAILABLE, Code.DEADLINE)
    assert time.monotonic() - began < 0.45
    assert client.stats["out_msgs"] - sent < 10


async def test_a_deadline_holds_while_a_large_body_is_put_away(both: Pair) -> None:
    # there is no stream for it: the bus would try for long
    began = time.monotonic()
    failure = await failure_of(both.asker.call(ECHO, Ask("x" * 300_000), Meta(), timeout_s=0.2))
    assert failure.code is Code.DEADLINE
    assert time.monotonic() - began < 3


async def test_a_large_body_that_passes_by_is_kept_little_longer_than_its_call_may_take(both: Pair) -> None:
    await both.asker.prepare()
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    await both.asker.call(ECHO, Ask("x" * 300_000), Meta(), timeout_s=5)
    records = await both.asker.jetstream.read("BLOB", "penstock.blob.*.*", limit=10)
    assert len(records) == 4
    assert all(0 < int(record.headers["Nats-TTL"]) <= 80 for record in records)


async def test_a_loop_that_stood_still_takes_nobody_for_lost(nats_url: str) -> None:
    async with pair(nats_url, silence_s=1.0) as both:
        began = asyncio.Event()

        async def handler(ask: Ask, meta: Meta) -> Said:
            began.set()
            await asyncio.sleep(ask.wait_s)
            return Said(ask.text)

        await both.answerer.serve_call(ONCE, handler, in_flight_max=1)
        call = asyncio.create_task(both.asker.call(ONCE, Ask("x", 0.5), Meta(), timeout_s=20))
        await asyncio.wait_for(began.wait(), 1)
        time.sleep(2.5)  # noqa: ASYNC251  # the machine has no time for this process
        assert await call == Said("x")


async def test_a_service_that_starts_late_is_waited_for(both: Pair) -> None:
    call = asyncio.create_task(both.asker.call(ECHO, Ask("late"), Meta()))
    await asyncio.sleep(0)
    await both.answerer.serve_call(ECHO, echo, in_flight_max=1)
    assert await call == Said("late")


async def test_a_deadline_ends_the_call_and_the_handler(both: Pair) -> None:
    ended = asyncio.Event()

    async def handler(ask: Ask, meta: Meta) -> Said:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return Said("")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=1)
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta(deadline=time.time() + 0.2)))
    assert failure.code is Code.DEADLINE
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_deadline_that_has_passed_is_not_even_asked(both: Pair) -> None:
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta(deadline=time.time() - 1)))
    assert failure.code is Code.DEADLINE


async def test_cancelling_the_call_cancels_the_handler(both: Pair) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(ask: Ask, meta: Meta) -> Said:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return Said("")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=1)
    call = asyncio.create_task(both.asker.call(ECHO, Ask("x"), Meta()))
    await asyncio.wait_for(began.wait(), 1)
    call.cancel()
    await asyncio.wait_for(ended.wait(), 1)


async def test_cancelling_a_job_stops_everything_that_works_for_it(both: Pair) -> None:
    began = asyncio.Semaphore(0)

    async def handler(ask: Ask, meta: Meta) -> Said:
        began.release()
        await asyncio.sleep(30)
        return Said("")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=5)
    calls = [asyncio.create_task(both.asker.call(ECHO, Ask("x"), Meta(job="job_1", tenant="acme"))) for _ in range(3)]
    for _ in range(3):
        await asyncio.wait_for(began.acquire(), 1)
    await both.asker.cancel(run_id("acme", "job_1"))
    for call in calls:
        assert (await failure_of(call)).code is Code.CANCELLED
    assert await both.answerer.idle(1)


async def test_cancelling_a_job_leaves_another_tenants_job_of_the_same_id_alone(both: Pair) -> None:
    began = asyncio.Event()

    async def handler(ask: Ask, meta: Meta) -> Said:
        began.set()
        await asyncio.sleep(0.2)
        return Said("done")

    await both.answerer.serve_call(ECHO, handler, in_flight_max=5)
    call = asyncio.create_task(both.asker.call(ECHO, Ask("x"), Meta(job="job_1", tenant="acme")))
    await asyncio.wait_for(began.wait(), 1)
    await both.asker.cancel(run_id("other", "job_1"))
    assert await call == Said("done")


async def test_malformed_and_mistyped_requests_are_refused_with_a_sentence(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    connection = both.asker.connection
    reply = await connection.request("test.echo", b'{"text": 5}', timeout_s=2)
    assert reply.headers["Nats-Service-Error-Code"] == "invalid"
    assert reply.data == b'{"code":"invalid","detail":"Expected `str`, got `int` - at `$.text`"}'
    # what only passes by, or is not known, is read by nobody here, and by somebody later
    for bad in (b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"text":"x","other":"\xff"}'):
        reply = await connection.request("test.echo", bad, timeout_s=2)
        assert reply.headers["Nats-Service-Error-Code"] == "invalid"
    reply = await connection.request("test.echo", b'{"text":"x"}', headers={"Penstock-Epoch": "many"}, timeout_s=2)
    assert reply.headers["Nats-Service-Error-Code"] == "invalid"


async def test_bodies_of_32_mib_travel_both_ways(both: Pair) -> None:
    await both.asker.prepare()
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    text = "x" * (32 * 1024 * 1024)
    reply = await both.asker.call(ECHO, Ask(text), Meta(), timeout_s=60)
    assert len(reply.text) == len(text)
    assert reply.text == text


async def test_a_body_above_the_limit_is_refused_before_it_is_sent(both: Pair) -> None:
    failure = await failure_of(both.asker.call(ECHO, Ask("x" * (65 * 1024 * 1024)), Meta()))
    assert failure.code is Code.TOO_LARGE


async def test_a_message_above_the_brokers_limit_never_reaches_the_wire(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    with pytest.raises(Failure) as caught:
        both.asker.connection.publish("test.echo", b"x" * 1_044_400, headers={"a": "b" * 4096})
    assert caught.value.code is Code.TOO_LARGE
    assert await both.asker.call(ECHO, Ask("still here"), Meta()) == Said("still here")


async def test_a_header_with_a_line_break_is_refused(both: Pair) -> None:
    failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta(request="a\r\nPenstock-Tenant: b")))
    assert failure.code is Code.INVALID


async def test_work_longer_than_the_silence_limit_is_kept_alive(nats_url: str) -> None:
    async with pair(nats_url, silence_s=5.0) as both:
        await both.answerer.serve_call(ONCE, echo, in_flight_max=1)
        assert await both.asker.call(ONCE, Ask("slow", 5.8), Meta(), timeout_s=20) == Said("slow")


async def test_a_worker_that_dies_is_noticed_by_its_silence(nats_url: str) -> None:
    async with pair(nats_url, silence_s=1.0) as both:
        began = asyncio.Event()

        async def handler(ask: Ask, meta: Meta) -> Said:
            began.set()
            await asyncio.sleep(30)
            return Said("")

        await both.answerer.serve_call(ONCE, handler, in_flight_max=1)
        call = asyncio.create_task(both.asker.call(ONCE, Ask("x"), Meta(), timeout_s=30))
        await asyncio.wait_for(began.wait(), 1)
        # as a process that is gone: no goodbye, no reconnect
        await both.answerer.connection._client.close()
        assert (await failure_of(call)).code is Code.UNKNOWN_OUTCOME


async def test_a_repeatable_call_survives_a_broker_restart(broker: NatsServer) -> None:
    async with pair(broker.url) as both:
        began = asyncio.Event()

        async def handler(ask: Ask, meta: Meta) -> Said:
            began.set()
            await asyncio.sleep(ask.wait_s)
            return Said(ask.text)

        await both.answerer.serve_call(ECHO, handler, in_flight_max=10)
        call = asyncio.create_task(both.asker.call(ECHO, Ask("x", 0.5), Meta(), timeout_s=20))
        await asyncio.wait_for(began.wait(), 1)
        await broker.kill()
        await broker.start()
        assert await call == Said("x")


async def test_a_call_begun_while_the_broker_is_away_is_made_when_it_is_back(broker: NatsServer) -> None:
    async with pair(broker.url) as both:
        await both.answerer.serve_call(ECHO, echo, in_flight_max=10)
        await broker.kill()

        async def gone() -> None:
            assert not both.asker.connected

        await eventually(gone)
        call = asyncio.create_task(both.asker.call(ECHO, Ask("x"), Meta(), timeout_s=10))
        await asyncio.sleep(0)
        await broker.start()
        assert await call == Said("x")


async def test_without_a_broker_calls_fail_as_unavailable_and_closing_still_works(broker: NatsServer) -> None:
    async with pair(broker.url, silence_s=0.5) as both:
        await broker.kill()

        async def gone() -> None:
            assert not both.asker.connected

        await eventually(gone)
        failure = await failure_of(both.asker.call(ECHO, Ask("x"), Meta(), timeout_s=5))
        assert failure.code is Code.UNAVAILABLE


async def test_a_broker_that_stops_answering_is_noticed_and_left(broker: NatsServer) -> None:
    async with wire(broker.port) as link:
        bus = await Bus.connect(
            BusConfig(url=f"nats://127.0.0.1:{link.port}", watchdog_interval_s=0.2, watchdog_timeout_s=0.2)
        )
        link.pause()

        async def noticed() -> None:
            assert not bus.connected

        await eventually(noticed)
        link.resume()

        async def back() -> None:
            assert bus.connected

        await eventually(back)
        await bus.close()


async def test_a_reader_that_died_is_replaced_by_the_watchdog(broker: NatsServer) -> None:
    bus = await Bus.connect(BusConfig(url=broker.url, watchdog_interval_s=0.1))
    task = bus.connection._client._reading_task
    assert task is not None
    task.cancel()

    async def back() -> None:
        assert bus.connection.reconnects == 1
        assert bus.connected

    await eventually(back)
    await bus.close()


async def test_no_broker_at_all_is_a_failure_that_names_the_address() -> None:
    failure = await failure_of(Bus.connect(BusConfig(url="nats://127.0.0.1:1", connect_timeout_s=0.5)))
    assert failure.code is Code.UNAVAILABLE
    assert "nats://127.0.0.1:1" in failure.detail
