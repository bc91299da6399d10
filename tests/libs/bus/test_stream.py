"""Stream over a real broker: order, credit, cancellation, lost parties, a broker restarted in the middle."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.bus import Sender
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import run_id
from penstock.contracts.meta import Meta
from tests.support.echo import COUNT, Ask, Pair, Said, pair
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.wire import wire


@pytest.fixture(params=[True, False], ids=["lean", "plain"])
async def both(request: pytest.FixtureRequest, nats_url: str) -> AsyncIterator[Pair]:
    async with pair(nats_url, lean=request.param) as parties:
        yield parties


async def count(ask: Ask, meta: Meta, out: Sender) -> Said:
    for n in range(int(ask.text)):
        await out.send(b"%d" % n)
    return Said("done")


async def collect(parties: Pair, ask: Ask) -> tuple[list[bytes], Said]:
    async with parties.asker.stream(COUNT, ask, Meta()) as reader:
        frames = [frame async for frame in reader]
    return frames, reader.end


async def test_frames_arrive_in_order_and_the_end_is_typed(both: Pair) -> None:
    await both.answerer.serve_stream(COUNT, count, in_flight_max=1)
    frames, end = await collect(both, Ask("1000"))
    assert frames == [b"%d" % n for n in range(1000)]
    assert end == Said("done")


async def test_a_stream_without_frames_has_an_end(both: Pair) -> None:
    await both.answerer.serve_stream(COUNT, count, in_flight_max=1)
    assert await collect(both, Ask("0")) == ([], Said("done"))


async def test_a_frame_larger_than_a_frame_may_be_is_sent_in_parts(both: Pair) -> None:
    async def big(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"x" * 200_000)
        return Said("done")

    await both.answerer.serve_stream(COUNT, big, in_flight_max=1)
    frames, _ = await collect(both, Ask(""))
    assert [len(frame) for frame in frames] == [65536, 65536, 65536, 3392]


async def test_a_reader_that_stands_still_stops_the_sender_at_the_window(both: Pair) -> None:
    sent = 0

    async def endless(ask: Ask, meta: Meta, out: Sender) -> Said:
        nonlocal sent
        while True:
            await out.send(b"x")
            sent += 1

    await both.answerer.serve_stream(COUNT, endless, in_flight_max=1)
    async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
        await anext(reader)

        async def full() -> None:
            assert sent == 64
            assert len(reader._frames) == 63

        await eventually(full)


async def test_leaving_the_stream_cancels_the_sender(both: Pair) -> None:
    ended = asyncio.Event()

    async def endless(ask: Ask, meta: Meta, out: Sender) -> Said:
        try:
            while True:
                await out.send(b"x")
        finally:
            ended.set()

    await both.answerer.serve_stream(COUNT, endless, in_flight_max=1)
    async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
        await anext(reader)
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_failure_after_some_frames_is_raised_after_them(both: Pair) -> None:
    async def breaks(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"one")
        raise Failure(Code.UPSTREAM, "cut off")

    await both.answerer.serve_stream(COUNT, breaks, in_flight_max=1)
    frames = []
    with pytest.raises(Failure) as caught:
        async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
            async for frame in reader:
                frames.append(frame)
    assert frames == [b"one"]
    assert caught.value.code is Code.UPSTREAM


async def test_a_handler_that_breaks_ends_the_stream_as_internal(both: Pair, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"one")
        raise ValueError("secret")

    await both.answerer.serve_stream(COUNT, breaks, in_flight_max=1)
    with pytest.raises(Failure) as caught:
        await collect(both, Ask(""))
    assert (caught.value.code, caught.value.detail) == (Code.INTERNAL, "internal error")


async def test_a_refusal_before_the_stream_is_raised(both: Pair) -> None:
    await both.answerer.serve_stream(COUNT, count, in_flight_max=0)
    with pytest.raises(Failure) as caught:
        await collect(both, Ask("1"))
    assert caught.value.code is Code.OVERLOADED


async def test_nobody_answering_a_stream_is_unavailable(both: Pair) -> None:
    with pytest.raises(Failure) as caught:
        await collect(both, Ask("1"))
    assert caught.value.code is Code.UNAVAILABLE


async def test_cancelling_the_job_ends_the_stream(both: Pair) -> None:
    async def endless(ask: Ask, meta: Meta, out: Sender) -> Said:
        while True:
            await out.send(b"x")

    await both.answerer.serve_stream(COUNT, endless, in_flight_max=1)
    with pytest.raises(Failure) as caught:
        async with both.asker.stream(COUNT, Ask(""), Meta(job="job_9", tenant="acme")) as reader:
            await anext(reader)
            await both.asker.cancel(run_id("acme", "job_9"))
            async for _ in reader:
                pass
    assert caught.value.code is Code.CANCELLED


async def test_a_silent_sender_is_kept_alive(nats_url: str) -> None:
    async def slow(ask: Ask, meta: Meta, out: Sender) -> Said:
        await asyncio.sleep(5.8)
        return Said("done")

    async with pair(nats_url, silence_s=5.0) as both:
        await both.answerer.serve_stream(COUNT, slow, in_flight_max=1)
        assert await collect(both, Ask("")) == ([], Said("done"))


async def test_a_sender_that_dies_is_noticed_by_its_silence(nats_url: str) -> None:
    async def hangs(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"one")
        await asyncio.sleep(60)
        return Said("")

    async with pair(nats_url, silence_s=1.0) as both:
        await both.answerer.serve_stream(COUNT, hangs, in_flight_max=1)
        with pytest.raises(Failure) as caught:
            async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
                assert await anext(reader) == b"one"
                await both.answerer.connection._client.close()
                await anext(reader)
        assert caught.value.code is Code.UNKNOWN_OUTCOME


async def test_a_broker_killed_in_the_middle_costs_no_frame_and_doubles_none(broker: NatsServer) -> None:
    async with pair(broker.url) as both:
        halfway = asyncio.Event()

        async def paced(ask: Ask, meta: Meta, out: Sender) -> Said:
            for n in range(400):
                await out.send(b"%d" % n)
                if n == 150:
                    halfway.set()
                if n % 10 == 0:
                    await asyncio.sleep(0.01)
            return Said("done")

        await both.answerer.serve_stream(COUNT, paced, in_flight_max=1)

        async def kill() -> None:
            await halfway.wait()
            await broker.kill()
            await broker.start()

        killer = asyncio.create_task(kill())
        frames, end = await collect(both, Ask(""))
        await killer
        assert frames == [b"%d" % n for n in range(400)]
        assert end == Said("done")


async def test_a_stream_goes_on_whose_first_acknowledgement_was_lost(broker: NatsServer) -> None:
    async with wire(broker.port) as link, pair(broker.url, asker_url=f"nats://127.0.0.1:{link.port}") as both:
        taken, go_on = asyncio.Event(), asyncio.Event()

        async def waits(ask: Ask, meta: Meta, out: Sender) -> Said:
            taken.set()
            await go_on.wait()
            return await count(ask, meta, out)

        await both.answerer.serve_stream(COUNT, waits, in_flight_max=1)
        link.pause_answers()
        reading = asyncio.create_task(collect(both, Ask("3")))
        await asyncio.wait_for(taken.wait(), 2)
        link.reset()
        link.resume()

        async def back() -> None:
            assert both.asker.connection.reconnects == 1

        await eventually(back)
        go_on.set()
        frames, end = await asyncio.wait_for(reading, 9)
        assert (frames, end) == ([b"0", b"1", b"2"], Said("done"))


async def test_a_service_that_is_back_a_little_later_than_the_broker_is_waited_for(broker: NatsServer) -> None:
    async with pair(broker.url) as both:
        await broker.kill()

        async def gone() -> None:
            assert not both.asker.connected

        await eventually(gone)
        reading = asyncio.create_task(collect(both, Ask("2")))
        await asyncio.sleep(0.7)  # longer than nobody may answer
        await broker.start()

        async def asked() -> None:
            assert both.asker.connected

        await eventually(asked, every_s=0.001)
        await both.answerer.serve_stream(COUNT, count, in_flight_max=1)
        assert await reading == ([b"0", b"1"], Said("done"))


async def test_a_hundred_streams_at_once_do_not_mix(both: Pair) -> None:
    async def tagged(ask: Ask, meta: Meta, out: Sender) -> Said:
        for n in range(50):
            await out.send(f"{ask.text}:{n}".encode())
        return Said(ask.text)

    await both.answerer.serve_stream(COUNT, tagged, in_flight_max=100)
    results = await asyncio.gather(*[collect(both, Ask(str(k))) for k in range(100)])
    for k, (frames, end) in enumerate(results):
        assert frames == [f"{k}:{n}".encode() for n in range(50)]
        assert end == Said(str(k))


@pytest.mark.parametrize("how", ["the reader leaves", "it is cancelled"])
async def test_the_sender_knows_why_it_was_stopped_and_may_go_on_sending_to_nobody(both: Pair, how: str) -> None:
    """Work that outlives its reader is not held up by credit that never comes."""
    begun: list[Sender] = []
    after: list[bool] = []
    gone_on = asyncio.Event()

    async def go_on(out: Sender) -> None:
        for n in range(1000):
            await out.send(b"%d" % n)
        after.append(out.left)
        gone_on.set()

    async def handler(ask: Ask, meta: Meta, out: Sender) -> Said:
        begun.append(out)
        await asyncio.wait({asyncio.create_task(go_on(out))})
        return Said("done")

    await both.answerer.serve_stream(COUNT, handler, in_flight_max=1)
    if how == "the reader leaves":
        async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
            await anext(reader)
    else:
        async with both.asker.stream(COUNT, Ask(""), Meta(tenant="acme", job="job_1")) as reader:
            await anext(reader)
            await both.asker.cancel(run_id("acme", "job_1"))
            with pytest.raises(Failure):
                async for _ in reader:
                    pass
    await asyncio.wait_for(gone_on.wait(), 5.0)
    assert after == [how == "the reader leaves"]
    assert begun[0].left == after[0]
