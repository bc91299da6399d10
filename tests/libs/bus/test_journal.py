"""Journal: compare-and-append over a real broker, with lost acknowledgements, races and a killed broker."""

import asyncio

import msgspec
import pytest

from penstock.bus import Bus, Fenced
from penstock.bus.append import append
from penstock.bus.jetstream import EXPECTED_SUBJECT_SEQUENCE, MESSAGE_ID
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import EVENT_ID
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import LOG, SHORT, Note, smuggle, verbs_bus
from tests.support.wire import wire


async def events_of(bus: Bus, key: str) -> list[Note]:
    return [event for _, event in await bus.journal(LOG, key=key).load()]


async def until_count(bus: Bus, count: int) -> None:
    async def stored() -> None:
        assert len(await events_of(bus, "a")) == count

    await eventually(stored)


async def test_what_was_appended_is_loaded_in_order(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writer = bus.journal(LOG, key="a")
        assert await writer.load() == []
        assert [await writer.append(Note(n)) for n in range(3)] == [1, 2, 3]
        assert (writer.sequence, writer.events) == (3, [Note(0), Note(1), Note(2)])
        reader = bus.journal(LOG, key="a")
        assert await reader.load() == [(1, Note(0)), (2, Note(1)), (3, Note(2))]
        assert (reader.sequence, reader.events) == (3, [Note(0), Note(1), Note(2)])


async def test_what_nobody_appended_fences_the_writer_and_is_passed_over(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writer = bus.journal(LOG, key="a")
        await writer.append(Note(1))
        await smuggle(bus, "LOGS", "test.log.a")
        with pytest.raises(Fenced):
            await writer.append(Note(2))
        assert await writer.load() == [(1, Note(1))]
        assert await writer.append(Note(2)) == 3
        assert await events_of(bus, "a") == [Note(1), Note(2)]
        await smuggle(bus, "LOGS", "test.log.b")
        assert await events_of(bus, "b") == []


async def test_journals_of_other_keys_do_not_disturb(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writers = [bus.journal(LOG, key=f"k{k}") for k in range(20)]
        for n in range(5):
            await asyncio.gather(*[writer.append(Note(n)) for writer in writers])
        assert await events_of(bus, "k7") == [Note(0), Note(1), Note(2), Note(3), Note(4)]


async def test_a_journal_longer_than_a_page_is_loaded_whole(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, page_max_messages=10)
    async with verbs_bus(nats_url, limits=limits) as bus:
        writer = bus.journal(LOG, key="a")
        for n in range(35):
            await writer.append(Note(n))
        assert [note.n for note in await events_of(bus, "a")] == list(range(35))


async def test_of_two_writers_one_is_fenced(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        mine, theirs = bus.journal(LOG, key="a"), other.journal(LOG, key="a")
        await mine.append(Note(0))
        await theirs.load()
        results = await asyncio.gather(mine.append(Note(1)), theirs.append(Note(2)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Fenced", "int"]
        assert len(await events_of(bus, "a")) == 2


async def test_of_ten_writers_in_ten_rounds_each_round_has_one_winner(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        for turn in range(10):
            writers = [bus.journal(LOG, key="a") for _ in range(10)]
            for writer in writers:
                await writer.load()
            results = await asyncio.gather(*[w.append(Note(turn)) for w in writers], return_exceptions=True)
            assert sum(isinstance(result, int) for result in results) == 1
            assert sum(isinstance(result, Fenced) for result in results) == 9
        assert [note.n for note in await events_of(bus, "a")] == list(range(10))


async def test_the_fenced_writer_is_told_the_sequence_that_stands(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        mine, theirs = bus.journal(LOG, key="a"), bus.journal(LOG, key="a")
        await theirs.append(Note(1))
        with pytest.raises(Fenced) as caught:
            await mine.append(Note(2))
        assert (caught.value.sequence, caught.value.code) == (1, Code.CONFLICT)
        await mine.load()
        assert await mine.append(Note(2)) == 2


async def test_an_append_that_was_already_stored_is_recognised_by_its_event_id(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writer = bus.journal(LOG, key="a")
        await writer.append(Note(0))
        headers = {EVENT_ID: "evt_1", MESSAGE_ID: "evt_1", EXPECTED_SUBJECT_SEQUENCE: "1"}
        await bus.jetstream.publish("test.log.a", b'{"n":1}', headers, 1.0)
        assert await writer.append(Note(1), event_id="evt_1") == 2
        assert await writer.append(Note(2)) == 3
        assert [note.n for note in await events_of(bus, "a")] == [0, 1, 2]


async def test_it_is_recognised_when_the_duplicate_window_is_over_too(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        # without the message id the stream cannot know the repeat
        await bus.jetstream.publish("test.log.a", b'{"n":1}', {EVENT_ID: "evt_1", EXPECTED_SUBJECT_SEQUENCE: "0"}, 1.0)
        sequence = await append(bus.jetstream, "LOGS", "test.log.a", b'{"n":1}', {}, expected=0, event_id="evt_1")
        assert sequence == 1


async def test_a_lost_acknowledgement_makes_no_gap_and_no_duplicate(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        writer = bus.journal(LOG, key="a")
        await writer.append(Note(0))
        async with verbs_bus(broker.url) as other:
            for n in range(1, 4):
                link.pause_answers()
                appending = asyncio.create_task(writer.append(Note(n)))
                await until_count(other, n + 1)
                link.reset()
                link.resume()
                assert await appending == n + 1
            assert [note.n for note in await events_of(other, "a")] == [0, 1, 2, 3]


async def test_appends_go_on_over_a_broker_that_is_killed_and_comes_back(broker: NatsServer) -> None:
    async with verbs_bus(broker.url) as bus:
        writers = [bus.journal(LOG, key=f"k{k}") for k in range(8)]
        done = 0

        async def write(key: int) -> None:
            nonlocal done
            for n in range(60):
                await writers[key].append(Note(n))
                done += 1

        writing = [asyncio.create_task(write(key)) for key in range(8)]
        for at in (80, 240):

            async def enough(at: int = at) -> None:
                assert done >= at

            await eventually(enough, every_s=0.001)
            await broker.kill()
            await broker.start()
        await asyncio.gather(*writing)
        for key in range(8):
            assert [note.n for note in await events_of(bus, f"k{key}")] == list(range(60))


async def test_a_zombie_that_comes_back_after_the_outage_is_fenced(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        zombie = bus.journal(LOG, key="a")
        await zombie.append(Note(0))
        link.cut()
        appending = asyncio.create_task(zombie.append(Note(1)))
        async with verbs_bus(broker.url) as other:
            successor = other.journal(LOG, key="a")
            await successor.load()
            await successor.append(Note(2))
            link.mend()
            with pytest.raises(Fenced):
                await appending
            assert [note.n for note in await events_of(other, "a")] == [0, 2]


async def test_a_cancelled_append_is_resolved_before_it_ends(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writer = bus.journal(LOG, key="a")
        appending = asyncio.create_task(writer.append(Note(0)))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        assert (writer.sequence, writer.events) == (1, [Note(0)])
        assert await writer.append(Note(1)) == 2


async def test_after_an_unresolved_append_nothing_is_appended_until_it_is_loaded(broker: NatsServer) -> None:
    limits = msgspec.structs.replace(SHORT, attempt_s=0.1, budget_s=0.3)
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}", limits=limits) as bus:
        writer = bus.journal(LOG, key="a")
        link.pause_answers()
        with pytest.raises(Failure) as caught:
            await writer.append(Note(0))
        assert caught.value.code is Code.DEADLINE
        with pytest.raises(Failure) as caught:
            await writer.append(Note(1))
        assert caught.value.code is Code.UNKNOWN_OUTCOME
        link.reset()
        link.resume()
        await bus.connection.wait_connected(5)
        assert await writer.load() == [(1, Note(0))]
        assert await writer.append(Note(1)) == 2


async def test_appends_of_one_writer_at_the_same_time_are_put_in_order(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        writer = bus.journal(LOG, key="a")
        assert await asyncio.gather(*[writer.append(Note(n)) for n in range(10)]) == list(range(1, 11))
        assert [note.n for note in await events_of(bus, "a")] == list(range(10))


async def test_an_event_above_the_limit_is_refused(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        with pytest.raises(Failure) as caught:
            await bus.journal(LOG, key="a").append(Note(0, "x" * 300_000))
        assert caught.value.code is Code.TOO_LARGE
        assert await events_of(bus, "a") == []


async def test_an_event_that_cannot_be_read_is_named_and_not_skipped(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.jetstream.store("test.log.a", b'{"n":"x"}', {}, "id1")
        with pytest.raises(Failure) as caught:
            await bus.journal(LOG, key="a").load()
    assert caught.value.code is Code.INTERNAL
    assert caught.value.detail.startswith("event 1 () of test.log.a cannot be read")
