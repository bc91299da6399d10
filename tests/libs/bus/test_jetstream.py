"""What all stored verbs share: errors as Failures, tries within a budget, batched reads."""

import asyncio

import msgspec
import pytest

from penstock.bus import Bus
from penstock.bus.jetstream import Refused, seconds
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import NOTED, SHORT, TASK, Note, verbs_bus
from tests.support.wire import wire


async def fill(bus: Bus, count: int, topic: str = "a") -> None:
    await asyncio.gather(*[bus.emit(NOTED, Note(n), Meta(), topic=topic) for n in range(1, count + 1)])


async def test_a_subject_that_no_stream_takes_is_unavailable_when_the_budget_is_over(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, budget_s=0.3)
    async with verbs_bus(nats_url, limits=limits) as bus:
        with pytest.raises(Failure) as caught:
            await bus.jetstream.store("nobody.keeps.this", b"x", {}, "id1")
    assert (caught.value.code, caught.value.detail) == (Code.UNAVAILABLE, "no stream takes nobody.keeps.this")


async def test_a_full_stream_is_refused_at_once_and_says_so(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        text = "x" * 200_000
        for n in range(10):
            await bus.assign(TASK, Note(n, text), Meta(), tenant="acme", kind="any")
        began = asyncio.get_running_loop().time()
        with pytest.raises(Failure) as caught:
            await bus.assign(TASK, Note(10, text), Meta(), tenant="acme", kind="any")
    assert caught.value.code is Code.OVERLOADED
    assert caught.value.retryable
    assert caught.value.detail == "the stream of test.tasks.acme.any is full: maximum bytes exceeded"
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_message_above_the_streams_limit_is_too_large(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        settings = {"name": "SMALL", "subjects": ["small"], "max_msg_size": 100}
        await bus.jetstream.ask("STREAM.CREATE.SMALL", settings, dict[str, msgspec.Raw], "stream SMALL")
        with pytest.raises(Failure) as caught:
            await bus.jetstream.store("small", b"x" * 200, {}, "id1")
    assert caught.value.code is Code.TOO_LARGE


async def test_a_stream_that_was_not_set_up_is_named(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        with pytest.raises(Refused) as caught:
            await bus.jetstream.ask("STREAM.INFO.NOTES", {}, dict[str, msgspec.Raw], "stream NOTES")
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.detail == "stream NOTES: stream not found; the set-up has not been run"


async def test_reading_a_stream_that_does_not_exist_ends_with_the_budget(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, budget_s=0.3)
    async with verbs_bus(nats_url, prepared=False, limits=limits) as bus:
        with pytest.raises(Failure) as caught:
            await bus.read(NOTED, topic="a")
    assert (caught.value.code, caught.value.detail) == (Code.UNAVAILABLE, "stream NOTES does not answer")


async def test_the_same_message_id_is_stored_once(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        first = await bus.jetstream.store("test.notes.a", b"{}", {}, "same")
        second = await bus.jetstream.store("test.notes.a", b"{}", {}, "same")
    assert (first.seq, first.duplicate, second.seq, second.duplicate) == (1, False, 1, True)


async def test_a_publish_whose_acknowledgement_is_lost_is_stored_once(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        link.pause_answers()
        emitting = asyncio.create_task(bus.emit(NOTED, Note(1), Meta(), topic="a"))
        async with verbs_bus(broker.url) as other:

            async def stored() -> None:
                assert await other.read(NOTED, topic="a")

            await eventually(stored)
            link.reset()
            link.resume()
            assert await emitting == 1
            assert [stored.body for stored in await other.read(NOTED, topic="a")] == [Note(1)]


async def test_when_the_broker_stays_silent_the_outcome_is_said_to_be_unknown(broker: NatsServer) -> None:
    limits = msgspec.structs.replace(SHORT, attempt_s=0.2, budget_s=0.5)
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}", limits=limits) as bus:
        link.pause()
        with pytest.raises(Failure) as caught:
            await bus.emit(NOTED, Note(1), Meta(), topic="a")
        link.reset()
        link.resume()
    assert caught.value.code is Code.DEADLINE
    assert not caught.value.retryable


async def test_a_write_waits_for_a_broker_that_is_away(broker: NatsServer) -> None:
    async with verbs_bus(broker.url) as bus:
        await broker.stop()
        emitting = asyncio.create_task(bus.emit(NOTED, Note(1), Meta(), topic="a"))
        await broker.start()
        assert await emitting == 1


async def test_a_write_is_unavailable_when_the_broker_does_not_come_back_in_time(broker: NatsServer) -> None:
    limits = msgspec.structs.replace(SHORT, budget_s=0.5)
    async with verbs_bus(broker.url, limits=limits) as bus:
        await broker.kill()
        await bus_knows_it_is_away(bus)
        with pytest.raises(Failure) as caught:
            await bus.emit(NOTED, Note(1), Meta(), topic="a")
    assert caught.value.code is Code.UNAVAILABLE


async def bus_knows_it_is_away(bus: Bus) -> None:
    async def away() -> None:
        assert not bus.connected

    await eventually(away)


async def test_a_caller_whose_deadline_has_passed_is_not_stored(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        with pytest.raises(Failure) as caught:
            await bus.emit(NOTED, Note(1), Meta(deadline=1.0), topic="a")
        assert await bus.read(NOTED) == []
    assert caught.value.code is Code.DEADLINE


async def test_a_read_goes_over_as_many_pages_as_it_takes(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, page_max_messages=7)
    async with verbs_bus(nats_url, limits=limits) as bus:
        await fill(bus, 50)
        stored = await bus.read(NOTED, topic="a")
        assert [s.sequence for s in stored] == list(range(1, 51))
        assert [s.sequence for s in await bus.read(NOTED, after=40, limit=5, topic="a")] == [41, 42, 43, 44, 45]
        assert [r.sequence for r in await bus.jetstream.read("NOTES", "test.notes.*", limit=99, up_to=3)] == [1, 2, 3]


async def test_a_read_that_is_cut_in_the_middle_is_whole(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        await fill(bus, 200, "a")
        await asyncio.gather(*[bus.emit(NOTED, Note(n, "x" * 20_000), Meta(), topic="b") for n in range(200)])
        link.delay(0.005)
        reading = asyncio.create_task(bus.read(NOTED))
        passed = link.bytes_passed

        async def half_way() -> None:
            assert link.bytes_passed - passed > 500_000

        await eventually(half_way, within_s=20, every_s=0.001)
        link.reset()
        link.delay(0)
        assert [s.sequence for s in await reading] == list(range(1, 401))


async def test_a_latest_and_a_last_message_are_the_same_or_none(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await fill(bus, 3)
        latest = await bus.jetstream.latest("NOTES", "test.notes.a")
        last = await bus.jetstream.last("NOTES", "test.notes.a")
        assert latest is not None
        assert last is not None
        assert (latest.sequence, latest.subject, latest.data) == (3, "test.notes.a", b'{"n":3,"text":""}')
        assert (last.sequence, last.subject, last.data) == (3, "test.notes.a", b'{"n":3,"text":""}')
        assert latest.time == last.time
        assert await bus.jetstream.latest("NOTES", "test.notes.z") is None
        assert await bus.jetstream.last("NOTES", "test.notes.z") is None


def test_times_of_any_precision_are_read() -> None:
    assert seconds("2026-11-24T06:16:24.540613017Z") == 1795500984.540613
    assert seconds("2026-11-24T06:16:24.54061Z") == 1795500984.54061
    assert seconds("2026-11-24T06:16:24Z") == 1795500984.0
