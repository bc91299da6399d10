"""Event over a real broker: emit, read, and following without gap or repeat."""

import asyncio
from contextlib import aclosing

import pytest

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import InvalidToken
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import NOTED, Note, smuggle, verbs_bus
from tests.support.wire import wire


async def test_what_nobody_emitted_is_passed_over(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.emit(NOTED, Note(1), Meta(), topic="a")
        await smuggle(bus, "NOTES", "test.notes.a")
        await bus.emit(NOTED, Note(2), Meta(), topic="a")
        assert [stored.sequence for stored in await bus.read(NOTED, topic="a")] == [1, 3]
        follower = Follower(bus, topic="a")
        await follower.reached(2)
        await smuggle(bus, "NOTES", "test.notes.a")
        await bus.emit(NOTED, Note(3), Meta(), topic="a")
        await follower.reached(3)
        assert follower.notes == [Note(1), Note(2), Note(3)]
        await follower.stop()


class Follower:
    """Follows in a task, and keeps what came."""

    def __init__(self, bus: Bus, after: int = 0, **tokens: str) -> None:
        self.sequences: list[int] = []
        self.notes: list[Note] = []
        self._task = asyncio.create_task(self._run(bus, after, tokens))

    async def _run(self, bus: Bus, after: int, tokens: dict[str, str]) -> None:
        async with aclosing(bus.follow(NOTED, after=after, **tokens)) as stored:
            async for one in stored:
                self.sequences.append(one.sequence)
                self.notes.append(one.body)

    async def reached(self, count: int) -> None:
        async def enough() -> None:
            assert len(self.sequences) >= count

        await eventually(enough, within_s=15)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def emit(bus: Bus, n: int, topic: str = "a") -> int:
    return await bus.emit(NOTED, Note(n), Meta(), topic=topic)


async def test_what_was_emitted_is_read_with_place_time_and_subject(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        assert await emit(bus, 7) == 1
        [stored] = await bus.read(NOTED, topic="a")
    assert (stored.sequence, stored.subject, stored.body) == (1, "test.notes.a", Note(7))
    assert stored.time > 1_700_000_000


async def test_meta_travels_beside_the_event(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.emit(NOTED, Note(1), Meta(request="req_1", tenant="acme", epoch=3), topic="a")
        [record] = await bus.jetstream.read("NOTES", "test.notes.a", limit=1)
    assert record.headers["Penstock-Request"] == "req_1"
    assert record.headers["Penstock-Epoch"] == "3"


async def test_the_same_message_id_is_one_event(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        for _ in range(3):
            assert await bus.emit(NOTED, Note(1), Meta(), message_id="evt_1", topic="a") == 1
        assert len(await bus.read(NOTED)) == 1


async def test_reading_without_tokens_reads_every_subject_and_with_them_one(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        for n, topic in enumerate(["a", "b", "a", "c"]):
            await emit(bus, n, topic)
        assert [s.body.n for s in await bus.read(NOTED)] == [0, 1, 2, 3]
        assert [s.body.n for s in await bus.read(NOTED, topic="a")] == [0, 2]
        assert [s.body.n for s in await bus.read(NOTED, after=1)] == [1, 2, 3]
        assert await bus.read(NOTED, after=99) == []


async def test_a_topic_that_may_not_stand_in_a_subject_is_refused(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        with pytest.raises(InvalidToken):
            await emit(bus, 1, "a.b")
        with pytest.raises(InvalidToken):
            await bus.read(NOTED, topic="*")


async def test_a_live_event_is_stored_too_and_nobody_waits(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        for n in range(100):
            bus.emit_live(NOTED, Note(n), topic="a")

        async def stored() -> None:
            assert [s.body.n for s in await bus.read(NOTED)] == list(range(100))

        await eventually(stored)


async def test_following_begins_with_what_is_stored_and_goes_on_with_what_comes(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        for n in range(5):
            await emit(bus, n)
        follower = Follower(bus, after=2, topic="a")
        await follower.reached(3)
        for n in range(5, 10):
            await emit(bus, n)
        await follower.reached(8)
        await follower.stop()
    assert follower.sequences == [3, 4, 5, 6, 7, 8, 9, 10]
    assert [note.n for note in follower.notes] == [2, 3, 4, 5, 6, 7, 8, 9]


async def test_a_follower_sees_only_its_own_subject(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        follower = Follower(bus, topic="a")
        for n in range(20):
            await emit(bus, n, "ab"[n % 2])
        await follower.reached(10)
        await follower.stop()
    assert [note.n for note in follower.notes] == list(range(0, 20, 2))


async def test_a_live_event_reaches_its_follower_within_milliseconds(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        follower = Follower(bus, topic="a")
        await emit(bus, 0)
        await follower.reached(1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for n in range(1, 51):
            bus.emit_live(NOTED, Note(n), topic="a")
            await follower.reached(n + 1)
        await follower.stop()
    assert (loop.time() - began) / 50 < 0.2  # far below the second after which it would look by itself


async def test_a_thousand_events_at_full_speed_are_followed_in_order(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        followers = [Follower(bus, topic="a"), Follower(other, topic="a")]
        await asyncio.gather(*[emit(bus, n) for n in range(1000)])
        for follower in followers:
            await follower.reached(1000)
            await follower.stop()
            assert follower.sequences == list(range(1, 1001))


async def test_following_goes_on_over_a_broker_that_is_restarted_and_killed(broker: NatsServer) -> None:
    async with verbs_bus(broker.url) as bus, verbs_bus(broker.url) as emitter:
        follower = Follower(bus, topic="a")
        emitting = asyncio.create_task(emit_all(emitter, 300))
        await follower.reached(50)
        await broker.restart()
        await follower.reached(150)
        await broker.kill()
        await broker.start()
        await emitting
        await follower.reached(300)
        await follower.stop()
    assert follower.sequences == list(range(1, 301))
    assert [note.n for note in follower.notes] == list(range(300))


async def emit_all(bus: Bus, count: int) -> None:
    for n in range(count):
        await emit(bus, n)


async def test_what_was_emitted_while_a_follower_was_cut_off_comes_when_it_is_back(broker: NatsServer) -> None:
    async with (
        wire(broker.port) as link,
        verbs_bus(broker.url) as emitter,
        verbs_bus(f"nats://127.0.0.1:{link.port}") as bus,
    ):
        follower = Follower(bus, topic="a")
        await emit(emitter, 0)
        await follower.reached(1)
        link.pause()
        for n in range(1, 20):
            await emit(emitter, n)
        link.reset()
        link.resume()
        await follower.reached(20)
        await follower.stop()
    assert follower.sequences == list(range(1, 21))


async def test_a_follower_that_starts_while_events_come_misses_none(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as emitter:
        emitting = asyncio.create_task(emit_all(emitter, 200))
        followers = []
        for _ in range(20):
            followers.append(Follower(bus, topic="a"))
            await asyncio.sleep(0)
        await emitting
        for follower in followers:
            await follower.reached(200)
            await follower.stop()
            assert follower.sequences == list(range(1, 201))


async def test_closing_a_follower_ends_its_subscription(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await emit(bus, 0)
        before = len(bus.connection._client.direct)
        async with aclosing(bus.follow(NOTED, topic="a")) as stored:
            async for one in stored:
                assert one.body == Note(0)
                assert len(bus.connection._client.direct) == before + 1
                break
        assert len(bus.connection._client.direct) == before


async def test_an_event_that_cannot_be_read_is_said_to_be_so(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.jetstream.store("test.notes.a", b"{}", {}, "bad")
        with pytest.raises(Failure) as caught:
            await bus.read(NOTED)
    assert caught.value.code is Code.INVALID
