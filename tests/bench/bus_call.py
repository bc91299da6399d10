"""A typed `bus.call` against a raw nats-py request, in one run: python -m tests.bench.bus_call

Method. One broker, one process that answers and one that asks, each on uvloop; the asker is measured. Both ways
carry the same 200-byte JSON body; `bus.call` also carries Meta in headers, decodes both ways into structs, has a
deadline and a cancel. At 1 in flight and at 64, rounds of the two ways alternate; the median of the rounds is compared.
Goal: at most 1.5 times raw.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from penstock.bus import Bus, BusConfig
from penstock.contracts.endpoint import Call, Subject
from penstock.contracts.errors import Failure
from penstock.contracts.meta import Meta
from penstock.local.broker import Broker, BrokerSettings
from tests.support.eventually import eventually

ROUNDS = 7
CALLS = 3000
META = Meta(
    request="req_0123456789abcdef", tenant="acme", token="x" * 400, traceparent="00-" + "a" * 32 + "-" + "b" * 16
)


class Body(msgspec.Struct, frozen=True):
    text: str


ECHO = Call(Subject("bench.echo"), Body, Body, "router", ("gateway",))
BODY = Body("x" * 180)


def answerer(url: str) -> None:
    """The process that answers, both ways."""

    async def serve() -> None:
        bus = await Bus.connect(BusConfig(url=url, principal="router"))

        async def handler(body: Body, meta: Meta) -> Body:
            return body

        await bus.serve_call(ECHO, handler, in_flight_max=1000)
        raw = await nats.connect(url)

        async def callback(message: Msg) -> None:
            await message.respond(message.data)

        await raw.subscribe("bench.raw", cb=callback)
        await asyncio.Event().wait()

    uvloop.run(serve())


async def per_call_us(once: Callable[[], Awaitable[object]], in_flight: int) -> float:
    """Microseconds of wall time per call."""

    async def worker() -> None:
        for _ in range(CALLS // in_flight):
            await once()

    began = time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(in_flight)])
    return (time.perf_counter() - began) / CALLS * 1e6


async def measure(url: str) -> dict[str, object]:
    """The figures of one run."""
    bus = await Bus.connect(BusConfig(url=url, principal="gateway"))
    raw = await nats.connect(url)
    payload = msgspec.json.encode(BODY)

    async def typed() -> None:
        await bus.call(ECHO, BODY, META)

    async def plain() -> None:
        await raw.request("bench.raw", payload, timeout=5)

    async def answered() -> None:
        try:
            await typed()
            await plain()
        except (Failure, NoRespondersError) as error:
            raise AssertionError("not there yet") from error

    await eventually(answered, within_s=60)
    report: dict[str, object] = {}
    for in_flight in (1, 64):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(await per_call_us(typed, in_flight))
            theirs.append(await per_call_us(plain, in_flight))
        mine, raws = statistics.median(ours), statistics.median(theirs)
        report[f"{in_flight}_in_flight"] = {
            "bus_call_us": round(mine, 1),
            "raw_request_us": round(raws, 1),
            "ratio": round(mine / raws, 2),
        }
    await bus.close()
    await raw.close()
    return report


async def run() -> dict[str, object]:
    """With a broker and an answering process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nats.conf").write_text("max_payload: 1MB\n")
        broker = Broker(BrokerSettings(folder / "nats.conf", folder))
        await broker.start()
        process = multiprocessing.get_context("spawn").Process(target=answerer, args=(broker.url,), daemon=True)
        process.start()
        try:
            return await measure(broker.url)
        finally:
            process.kill()
            await broker.stop()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run()), indent=2))  # noqa: T201  # it is what it is for
