"""Listening over a real broker: order, batches, retries, and what an earlier listener left behind."""

import asyncio

import msgspec
import pytest

from penstock.bus import Bus, Stored
from penstock.contracts.endpoint import Consumer
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import NOTED, NOTES, NOTES_SINK, SHORT, Note, verbs_bus
from tests.support.wire import wire


class State(msgspec.Struct):
    num_ack_pending: int
    num_pending: int


class Sink:
    """A handler that keeps batches, and raises what it was told to first."""

    def __init__(self, *errors: Exception) -> None:
        self.batches: list[list[int]] = []
        self.tries = 0
        self._errors = list(errors)

    async def __call__(self, batch: list[Stored[Note]]) -> None:
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        self.batches.append([stored.body.n for stored in batch])

    @property
    def notes(self) -> list[int]:
        return [n for batch in self.batches for n in batch]

    async def reached(self, count: int) -> None:
        async def enough() -> None:
            assert len(set(self.notes)) >= count

        await eventually(enough, within_s=15)


async def emit_all(bus: Bus, first: int, end: int) -> None:
    for n in range(first, end):
        await bus.emit(NOTED, Note(n), Meta(), topic="a")


async def all_acknowledged(bus: Bus) -> None:
    async def acknowledged() -> None:
        state = await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, State, "sink")
        assert (state.num_ack_pending, state.num_pending) == (0, 0)

    await eventually(acknowledged, within_s=10)


async def test_events_come_in_order_and_in_batches_and_are_acknowledged(nats_url: str) -> None:
    sink = Sink()
    async with verbs_bus(nats_url) as bus:
        await asyncio.gather(*[bus.emit(NOTED, Note(n), Meta(), topic="a") for n in range(500)])
        listener = await bus.listen(NOTED, NOTES_SINK, sink, batch_max=50)
        await sink.reached(500)
        await all_acknowledged(bus)
        await listener.stop()
    assert sink.notes == list(range(500))
    assert max(len(batch) for batch in sink.batches) > 10
    assert max(len(batch) for batch in sink.batches) <= 50


async def test_a_batch_whose_handler_fails_comes_again_whole_and_nothing_overtakes_it(nats_url: str) -> None:
    sink = Sink(Failure(Code.UNAVAILABLE), ValueError("a bug"), Failure(Code.INTERNAL))
    async with verbs_bus(nats_url) as bus:
        listener = await bus.listen(NOTED, NOTES_SINK, sink)
        await emit_all(bus, 0, 100)
        await sink.reached(100)
        await all_acknowledged(bus)
        await listener.stop()
    assert sink.notes == list(range(100))
    assert sink.tries == len(sink.batches) + 3


async def test_nothing_is_acknowledged_before_the_handler_returned(nats_url: str) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(batch: list[Stored[Note]]) -> None:
        entered.set()
        await release.wait()

    async with verbs_bus(nats_url) as bus:
        await emit_all(bus, 0, 3)
        listener = await bus.listen(NOTED, NOTES_SINK, slow)
        await entered.wait()
        state = await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, State, "sink")
        assert state.num_ack_pending == 3
        release.set()
        await all_acknowledged(bus)
        await listener.stop()


async def test_a_slow_handler_keeps_its_batch_beyond_the_ack_wait(nats_url: str) -> None:
    loop = asyncio.get_running_loop()
    sink = Sink()
    release = asyncio.Event()

    async def slow(batch: list[Stored[Note]]) -> None:
        await release.wait()
        await sink(batch)

    async def ack_wait_is_over() -> None:
        assert loop.time() - began > 2.2  # the consumer's ack wait is 1 s

    async with verbs_bus(nats_url) as bus:
        began = loop.time()
        listener = await bus.listen(NOTED, NOTES_SINK, slow)
        await emit_all(bus, 0, 40)
        await eventually(ack_wait_is_over)
        release.set()
        await sink.reached(40)
        await all_acknowledged(bus)
        await listener.stop()
    assert sink.notes == list(range(40))


async def test_a_slow_handler_bounds_what_is_held(nats_url: str) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(batch: list[Stored[Note]]) -> None:
        entered.set()
        await release.wait()

    async with verbs_bus(nats_url) as bus:
        await asyncio.gather(*[bus.emit(NOTED, Note(n), Meta(), topic="a") for n in range(300)])
        listener = await bus.listen(NOTED, NOTES_SINK, slow, batch_max=10)
        await entered.wait()

        async def full() -> None:
            assert listener._pull.held == 20

        await eventually(full)
        state = await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, State, "sink")
        assert (state.num_ack_pending, state.num_pending) == (20, 280)
        release.set()
        await all_acknowledged(bus)
        await listener.stop()


async def make_patient(bus: Bus) -> None:
    """A consumer that waits 30 s before it gives anything to anybody again."""
    settings = {"durable_name": "patient", "ack_policy": "explicit", "ack_wait": 30 * 10**9, "max_ack_pending": 64}
    ask = {"stream_name": "NOTES", "config": settings}
    await bus.jetstream.ask("CONSUMER.CREATE.NOTES.patient", ask, dict[str, msgspec.Raw], "patient")


async def test_what_a_killed_listener_left_is_handled_first_and_without_waiting(nats_url: str) -> None:
    patient = Consumer("patient", NOTES, "test.notes.*", used_by="audit", ack_wait_s=30, held_max=64)
    entered, sink = asyncio.Event(), Sink()

    async def never(batch: list[Stored[Note]]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as doomed:
        await make_patient(bus)
        await emit_all(bus, 0, 30)
        await doomed.listen(NOTED, patient, never, batch_max=8)
        await entered.wait()
        await doomed.connection._client.close()  # as kill -9: nothing more is said
        await emit_all(bus, 30, 40)
        began = asyncio.get_running_loop().time()
        listener = await bus.listen(NOTED, patient, sink)
        await sink.reached(40)
        await listener.stop()
    assert sink.notes == list(range(40))
    assert asyncio.get_running_loop().time() - began < 5


async def test_what_a_second_killed_listener_left_is_found_however_far_it_had_come(nats_url: str) -> None:
    """One message of the first stays unacknowledged for 30 s, and far behind it lies what the second left."""
    patient = Consumer("patient", NOTES, "test.notes.*", used_by="audit", ack_wait_s=30, held_max=64)
    held, sink, last = asyncio.Event(), Sink(), Sink()

    async def never(batch: list[Stored[Note]]) -> None:
        held.set()
        await asyncio.Event().wait()

    async def until_200(batch: list[Stored[Note]]) -> None:
        if batch[0].body.n >= 200:
            await never(batch)
        await sink(batch)

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as first, verbs_bus(nats_url) as second:
        await make_patient(bus)
        await emit_all(bus, 0, 1)
        await first.listen(NOTED, patient, never)
        await held.wait()
        await first.connection._client.close()  # as kill -9: nothing more is said
        held.clear()
        await second.listen(NOTED, patient, until_200)
        await emit_all(bus, 1, 200)
        await sink.reached(200)
        await emit_all(bus, 200, 210)
        await held.wait()
        await second.connection._client.close()
        began = asyncio.get_running_loop().time()
        listener = await bus.listen(NOTED, patient, last)
        await emit_all(bus, 210, 215)
        await last.reached(215)
        await listener.stop()
    assert last.notes == list(range(215))
    assert asyncio.get_running_loop().time() - began < 10


async def test_what_came_again_after_it_was_caught_up_is_acknowledged_and_not_handled_twice(nats_url: str) -> None:
    entered, sink = asyncio.Event(), Sink()

    async def never(batch: list[Stored[Note]]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as doomed:
        await emit_all(bus, 0, 10)
        await doomed.listen(NOTED, NOTES_SINK, never)
        await entered.wait()
        await doomed.connection._client.close()
        listener = await bus.listen(NOTED, NOTES_SINK, sink)
        await sink.reached(10)
        await all_acknowledged(bus)
        await listener.stop()
    assert sink.notes == list(range(10))


async def test_what_is_caught_up_and_comes_again_is_not_acknowledged_before_it_was_handled(nats_url: str) -> None:
    entered, release, sink = asyncio.Event(), asyncio.Event(), Sink()

    async def never(batch: list[Stored[Note]]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def slow(batch: list[Stored[Note]]) -> None:
        await release.wait()
        await sink(batch)

    async def all_came_again() -> None:
        assert listener._pull.held == 10

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as doomed:
        await emit_all(bus, 0, 10)
        await doomed.listen(NOTED, NOTES_SINK, never)
        await entered.wait()
        await doomed.connection._client.close()
        listener = await bus.listen(NOTED, NOTES_SINK, slow)
        await eventually(all_came_again)
        state = await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, State, "sink")
        assert (state.num_ack_pending, sink.notes) == (10, [])
        release.set()
        await all_acknowledged(bus)
        await listener.stop()
    assert sink.notes == list(range(10))


async def test_order_holds_over_a_broker_that_is_restarted_and_killed(broker: NatsServer) -> None:
    sink = Sink()
    async with verbs_bus(broker.url) as bus, verbs_bus(broker.url) as emitter:
        listener = await bus.listen(NOTED, NOTES_SINK, sink, batch_max=16)
        emitting = asyncio.create_task(emit_all(emitter, 0, 400))
        await sink.reached(80)
        await broker.restart()
        await sink.reached(200)
        await broker.kill()
        await broker.start()
        await emitting
        await sink.reached(400)
        await listener.stop()
    first_seen = list(dict.fromkeys(sink.notes))
    assert first_seen == list(range(400))


async def test_order_holds_when_deliveries_are_lost_with_a_connection(broker: NatsServer) -> None:
    sink = Sink()
    async with (
        wire(broker.port) as link,
        verbs_bus(broker.url) as emitter,
        verbs_bus(f"nats://127.0.0.1:{link.port}") as bus,
    ):
        listener = await bus.listen(NOTED, NOTES_SINK, sink)
        await emit_all(emitter, 0, 10)
        await sink.reached(10)
        for turn in range(1, 4):
            link.pause_answers()
            await emit_all(emitter, turn * 10, turn * 10 + 5)
            link.reset()
            link.resume()
            await emit_all(emitter, turn * 10 + 5, turn * 10 + 10)
            await sink.reached(turn * 10 + 10)
        await listener.stop()
    assert list(dict.fromkeys(sink.notes)) == list(range(40))


async def test_an_event_that_cannot_be_read_goes_to_the_dead_letters_and_the_rest_goes_on(nats_url: str) -> None:
    sink = Sink()
    async with verbs_bus(nats_url) as bus:
        await emit_all(bus, 0, 2)
        await bus.jetstream.store("test.notes.a", b"not json", {}, "bad")
        await emit_all(bus, 2, 4)
        listener = await bus.listen(NOTED, NOTES_SINK, sink)
        await sink.reached(4)
        await all_acknowledged(bus)
        await listener.stop()
        [letter] = await bus.jetstream.read("DLQ", "penstock.dlq.*", limit=9)
    assert sink.notes == [0, 1, 2, 3]
    assert (letter.subject, letter.data) == ("penstock.dlq.NOTES", b"not json")
    assert letter.headers["Penstock-Dead-Sequence"] == "3"


async def test_two_listeners_on_one_consumer_share_the_work(nats_url: str) -> None:
    mine, theirs = Sink(), Sink()
    # a listener that believes that it lost something reads it again, also what the other one has
    calm = msgspec.structs.replace(SHORT, pull_heartbeat_s=10.0, pull_expires_s=30.0)
    async with verbs_bus(nats_url, limits=calm) as bus, verbs_bus(nats_url, limits=calm) as other:
        listeners = [await b.listen(NOTED, NOTES_SINK, s, batch_max=4) for b, s in ((bus, mine), (other, theirs))]
        await asyncio.gather(*[bus.emit(NOTED, Note(n), Meta(), topic="a") for n in range(400)])
        await all_acknowledged(bus)
        for listener in listeners:
            await listener.stop()
    assert sorted(mine.notes + theirs.notes) == list(range(400))
    assert len(mine.notes) > 20
    assert len(theirs.notes) > 20


async def test_a_listener_of_a_consumer_that_is_not_there_does_not_start(nats_url: str) -> None:
    missing = Consumer("missing", NOTES, "test.notes.*", used_by="audit")
    async with verbs_bus(nats_url, limits=msgspec.structs.replace(SHORT, budget_s=0.3)) as bus:
        with pytest.raises(Failure) as caught:
            await bus.listen(NOTED, missing, Sink())
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.detail == "consumer missing: consumer not found; the set-up has not been run"


async def test_what_a_listener_held_when_it_stopped_is_given_to_the_next_at_once(nats_url: str) -> None:
    patient = Consumer("patient", NOTES, "test.notes.*", used_by="audit", ack_wait_s=30, held_max=64)
    entered, sink = asyncio.Event(), Sink()

    async def never(batch: list[Stored[Note]]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with verbs_bus(nats_url) as bus:
        await make_patient(bus)
        await emit_all(bus, 0, 30)
        stopped = await bus.listen(NOTED, patient, never, batch_max=8)
        await entered.wait()
        await stopped.stop()
        listener = await bus.listen(NOTED, patient, sink)
        await sink.reached(30)

        async def acknowledged() -> None:
            state = await bus.jetstream.ask("CONSUMER.INFO.NOTES.patient", {}, State, "patient")
            assert (state.num_ack_pending, state.num_pending) == (0, 0)

        await eventually(acknowledged, within_s=10)
        await listener.stop()
    assert sink.notes == list(range(30))


async def test_a_listener_has_stopped_when_its_handler_has_let_go(nats_url: str) -> None:
    said: list[str] = []

    async def handle(batch: list[Stored[Note]]) -> None:
        said.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)  # as who gives back what it has borrowed
            said.append("let go")

    async def began() -> None:
        assert said == ["began"]

    async with verbs_bus(nats_url) as bus:
        listener = await bus.listen(NOTED, NOTES_SINK, handle)
        await emit_all(bus, 0, 1)
        await eventually(began)
        await listener.stop()
        assert said == ["began", "let go"]
