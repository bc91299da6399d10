"""How much faster the bus takes work off a stream than nats-py's fetch(), in one run on one machine.

Method: one broker and this process share the machine. Both sides read the same 40,000 messages of 200 bytes, each
through a durable consumer of its own (explicit acks, at most 2,000 pending), acknowledge each message and decode
nothing. fetch: batches of 256, each message acknowledged with `await message.ack()`, as nats-py's documentation
shows it. bus: Pull with 1,024 slots, acknowledged as it is delivered. Three rounds, the sides in turn; the best of
each counts, since everything else on the machine only slows things down. Listener (typed bodies, whole batches) is
measured beside it. Two ratios count, by the clock and by this process's own CPU time: on a busy machine, or where
the broker is the slower half, the clock measures the others. Absolute figures are this machine's.

Run: python -m tests.bench.bus_pull
"""

import asyncio
import time
from collections.abc import Awaitable

import msgspec
import nats
import uvloop

from penstock.bus import Bus, BusConfig, Stored
from penstock.bus.pull import Delivery, Pull
from penstock.bus.setup import Setup, Table
from penstock.contracts.endpoint import Consumer, Event, StreamStore, Subject
from tests.support.nats_server import nats_server

MESSAGES = 40_000
ROUNDS = 3


class Body(msgspec.Struct, frozen=True):
    text: str


STORE = StreamStore("BENCH", ("bench.*",), memory=True)
BENCHED = Event(Subject("bench.{n}"), Body, STORE, emitted_by=("a",), heard_by=("b",))


def consumer(name: str) -> Consumer:
    return Consumer(name, STORE, "bench.*", used_by="b", held_max=2000)


async def by_fetch(url: str, name: str) -> None:
    client = await nats.connect(url)
    subscription = await client.jetstream().pull_subscribe_bind(consumer=name, stream="BENCH")
    got = 0
    while got < MESSAGES:
        for message in await subscription.fetch(256, timeout=5):
            await message.ack()
            got += 1
    await client.flush()
    await client.close()


async def by_pull(bus: Bus, name: str) -> None:
    got = 0
    done = asyncio.Event()

    def deliver(delivery: Delivery) -> None:
        nonlocal got
        pull.ack(delivery)
        got += 1
        if got == MESSAGES:
            done.set()

    pull = Pull(bus.jetstream, consumer(name), 1024, deliver)
    await pull.start()
    await done.wait()
    await bus.connection.round_trip(5)
    await pull.stop()
    pull.close()


async def by_listener(bus: Bus, name: str) -> None:
    got = 0
    done = asyncio.Event()

    async def handler(batch: list[Stored[Body]]) -> None:
        nonlocal got
        got += len(batch)
        if got == MESSAGES:
            done.set()

    listener = await bus.listen(BENCHED, consumer(name), handler, batch_max=512)
    await done.wait()
    await bus.connection.round_trip(5)
    await listener.stop()


class Best:
    """The best of the rounds, in seconds by the clock and of our own CPU."""

    def __init__(self) -> None:
        self.clock_s = self.cpu_s = float("inf")

    async def measure(self, run: Awaitable[None]) -> None:
        clock_s, cpu_s = time.perf_counter(), time.process_time()
        await run
        self.clock_s = min(self.clock_s, time.perf_counter() - clock_s)
        self.cpu_s = min(self.cpu_s, time.process_time() - cpu_s)


async def fill(bus: Bus) -> None:
    body = Body("x" * 188)
    for start in range(0, MESSAGES, 1000):
        for n in range(start, start + 1000):
            bus.emit_live(BENCHED, body, n=str(n % 100))
        await bus.connection.round_trip(5)


async def main() -> None:
    best = {"fetch": Best(), "pull": Best(), "listener": Best()}
    async with nats_server() as broker:
        bus = await Bus.connect(BusConfig(url=broker.url))
        every = tuple(consumer(f"{side}-{turn}") for side in best for turn in range(ROUNDS))
        await Setup(bus.jetstream).prepare(Table((STORE,), (), every))
        await fill(bus)
        for turn in range(ROUNDS):
            await best["fetch"].measure(by_fetch(broker.url, f"fetch-{turn}"))
            await best["pull"].measure(by_pull(bus, f"pull-{turn}"))
            await best["listener"].measure(by_listener(bus, f"listener-{turn}"))
        await bus.close()
    fetch = best["fetch"]
    for side, took in best.items():
        by_clock, by_cpu = fetch.clock_s / took.clock_s, fetch.cpu_s / took.cpu_s
        rate, cpu_us = MESSAGES / took.clock_s, took.cpu_s / MESSAGES * 1e6
        print(f"{side:9}{rate:8,.0f}/s {by_clock:5.1f} x fetch   {cpu_us:6.1f} us CPU {by_cpu:5.1f} x fetch")  # noqa: T201


if __name__ == "__main__":
    uvloop.run(main())
