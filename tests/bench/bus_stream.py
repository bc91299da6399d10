"""CPU of one stream frame, on each side of one hop: python -m tests.bench.bus_stream

Method. One broker, a producing process and this, which reads. 100,000 frames of 200 bytes as fast as credit allows,
in one stream and in 32 at once.
User plus system time of each process, per frame. Goal: at most 60 µs for a hop, both sides
together.
"""

import asyncio
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from penstock.bus import Bus, BusConfig, Sender
from penstock.contracts.endpoint import Stream, Subject
from penstock.contracts.errors import Failure
from penstock.contracts.meta import Meta
from penstock.local.broker import Broker, BrokerSettings
from tests.support.eventually import eventually

FRAMES = 100_000
FRAME = b"x" * 200


class Ask(msgspec.Struct, frozen=True):
    frames: int


class Done(msgspec.Struct, frozen=True):
    cpu_s: float


FLOOD = Stream(Subject("bench.flood"), Ask, Done, "router", ("gateway",))


def producer(url: str) -> None:
    """The process that sends; it reports its own CPU."""

    async def serve() -> None:
        bus = await Bus.connect(BusConfig(url=url, principal="router"))

        async def handler(ask: Ask, meta: Meta, out: Sender) -> Done:
            began = time.process_time()
            for _ in range(ask.frames):
                await out.send(FRAME)
            return Done(time.process_time() - began)

        await bus.serve_stream(FLOOD, handler, in_flight_max=100)
        await asyncio.Event().wait()

    uvloop.run(serve())


async def measure(url: str) -> dict[str, object]:
    """The figures of one run."""
    bus = await Bus.connect(BusConfig(url=url, principal="gateway"))
    report: dict[str, object] = {}

    async def one(frames: int) -> float:
        async with bus.stream(FLOOD, Ask(frames), Meta()) as reader:
            async for _ in reader:
                pass
        return reader.end.cpu_s

    async def answered() -> None:
        try:
            await one(1000)
        except Failure as error:
            raise AssertionError("not there yet") from error

    await eventually(answered, within_s=60)
    for streams in (1, 32):
        each = FRAMES // streams
        cpu, began = time.process_time(), time.perf_counter()
        produced = max(await asyncio.gather(*[one(each) for _ in range(streams)]))
        took = time.perf_counter() - began
        read = time.process_time() - cpu
        report[f"{streams}_streams"] = {
            "frames_per_s": round(FRAMES / took),
            "reader_cpu_us": round(read / FRAMES * 1e6, 1),
            "producer_cpu_us": round(produced / FRAMES * 1e6, 1),
            "hop_cpu_us": round((read + produced) / FRAMES * 1e6, 1),
        }
    await bus.close()
    return report


async def run() -> dict[str, object]:
    """With a broker and a producing process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nats.conf").write_text("max_payload: 1MB\n")
        broker = Broker(BrokerSettings(folder / "nats.conf", folder))
        await broker.start()
        process = multiprocessing.get_context("spawn").Process(target=producer, args=(broker.url,), daemon=True)
        process.start()
        try:
            return await measure(broker.url)
        finally:
            process.kill()
            await broker.stop()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run()), indent=2))  # noqa: T201  # it is what it is for
