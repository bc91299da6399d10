"""The continuous pull: as many as there are free slots, never more, whatever the broker says."""

import asyncio

import msgspec
import pytest

from penstock.bus import Bus
from penstock.bus.message import Message
from penstock.bus.pull import Delivery, Pull
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.verbs import NOTED, NOTES_SINK, SHORT, Note, verbs_bus


class State(msgspec.Struct):
    num_ack_pending: int
    num_pending: int
    num_waiting: int


async def state_of(bus: Bus) -> State:
    return await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, State, "sink")


async def fill(bus: Bus, count: int) -> None:
    await asyncio.gather(*[bus.emit(NOTED, Note(n), Meta(), topic="a") for n in range(count)])


class Held:
    """Takes deliveries and keeps them."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    async def reached(self, count: int) -> None:
        async def enough() -> None:
            assert len(self.deliveries) == count

        await eventually(enough)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.NOTES.sink.3.17.40.1795500984540613017.5",
        "$JS.ACK.hub.ACCOUNT.NOTES.sink.3.17.40.1795500984540613017.5",
        "$JS.ACK.hub.ACCOUNT.NOTES.sink.3.17.40.1795500984540613017.5.random",
    ],
    ids=["short", "with-domain", "with-domain-and-token"],
)
def test_every_form_of_the_ack_subject_is_read(reply: str) -> None:
    delivery = Delivery(Message("test.notes.a", reply, b"x"), 5.0)
    assert (delivery.deliveries, delivery.sequence, delivery.time) == (3, 17, 1795500984.540613)
    assert (delivery.subject, delivery.data, delivery.held_since) == ("test.notes.a", b"x", 5.0)


async def test_no_more_is_taken_from_the_broker_than_there_are_slots(nats_url: str) -> None:
    held = Held()
    async with verbs_bus(nats_url) as bus:
        await fill(bus, 50)
        pull = Pull(bus.jetstream, NOTES_SINK, 7, held)
        await pull.start()
        await held.reached(7)
        state = await state_of(bus)
        assert (state.num_ack_pending, state.num_pending) == (7, 43)
        for delivery in held.deliveries[:2]:
            pull.ack(delivery)
        await held.reached(9)
        state = await state_of(bus)
        assert (state.num_ack_pending, state.num_pending, pull.held) == (7, 41, 7)
        await pull.stop()
        pull.close()


async def test_an_idle_pull_is_asked_for_again_when_it_expires(nats_url: str) -> None:
    held = Held()
    limits = msgspec.structs.replace(SHORT, pull_expires_s=0.4, pull_heartbeat_s=0.2)
    async with verbs_bus(nats_url, limits=limits) as bus:
        pull = Pull(bus.jetstream, NOTES_SINK, 4, held)
        await pull.start()
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def three_times_its_age() -> None:
            assert loop.time() - began > 1.3

        await eventually(three_times_its_age)
        assert (await state_of(bus)).num_waiting <= 1
        assert pull._round == 0
        await fill(bus, 2)
        await held.reached(2)
        await pull.stop()
        pull.close()


async def test_a_nak_gives_it_again_after_its_delay_and_a_term_never(nats_url: str) -> None:
    held = Held()
    async with verbs_bus(nats_url) as bus:
        await fill(bus, 2)
        pull = Pull(bus.jetstream, NOTES_SINK, 4, held)
        await pull.start()
        await held.reached(2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        pull.term(held.deliveries[0], "no\r\nPUB x 0")
        pull.nak(held.deliveries[1], 0.3)
        await held.reached(3)
        again = held.deliveries[2]
        assert (again.sequence, again.deliveries) == (held.deliveries[1].sequence, 2)
        assert loop.time() - began > 0.25
        pull.ack(again)

        async def nothing_left() -> None:
            state = await state_of(bus)
            assert (state.num_ack_pending, state.num_pending) == (0, 0)

        await eventually(nothing_left)
        await pull.stop()
        pull.close()


async def test_settling_twice_settles_once(nats_url: str) -> None:
    held = Held()
    async with verbs_bus(nats_url) as bus:
        await fill(bus, 1)
        pull = Pull(bus.jetstream, NOTES_SINK, 1, held)
        await pull.start()
        await held.reached(1)
        pull.ack(held.deliveries[0])
        pull.nak(held.deliveries[0])
        assert pull.held == 0
        await bus.connection.round_trip(1)
        assert (await state_of(bus)).num_ack_pending == 0
        await pull.stop()
        pull.close()


async def test_what_is_settled_while_the_connection_is_away_is_said_when_it_is_back(nats_url: str) -> None:
    held = Held()
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as observer:
        await fill(bus, 3)
        pull = Pull(bus.jetstream, NOTES_SINK, 3, held)
        await pull.start()
        await held.reached(3)
        reconnecting = asyncio.create_task(bus.connection._client.force_reconnect())

        async def away() -> None:
            assert not bus.connection._client.is_connected

        await eventually(away, every_s=0)
        for delivery in held.deliveries:
            pull.ack(delivery)
        await reconnecting

        async def acknowledged() -> None:
            assert (await state_of(observer)).num_ack_pending == 0

        await eventually(acknowledged)
        await pull.stop()
        pull.close()


async def test_a_stopped_pull_leaves_no_request_at_the_broker(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        pull = Pull(bus.jetstream, NOTES_SINK, 5, Held())
        await pull.start()

        async def waiting() -> None:
            assert (await state_of(bus)).num_waiting == 1

        await eventually(waiting)
        await pull.stop()
        pull.close()

        async def gone() -> None:
            assert (await state_of(bus)).num_waiting == 0

        await eventually(gone)
        await fill(bus, 1)
        assert (await state_of(bus)).num_ack_pending == 0
