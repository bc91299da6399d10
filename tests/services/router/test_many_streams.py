"""Two hundred streams at once on one router's process: every word arrives, nobody is stalled, and memory is bounded."""

import asyncio
import time
from pathlib import Path

import msgspec

from penstock.contracts.llm import CompletionRequest
from penstock.contracts.subjects import LLM_STREAM
from tests.services.router.conftest import Plane, asking
from tests.support.eventually import eventually
from tests.support.paced import Pace, paced_server, sent_ns
from tests.support.process import module_process

STREAMS = 200
PACE = Pace(words=20, per_s=5.0)
STALL_MAX_PACES = 10
STREAM_MAX_KIB = 80
"""The benchmark's goal is 60; few streams share what a process takes once."""


def resident_kib(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


class Crowd:
    """Readers, and what they have seen together."""

    def __init__(self, plane: Plane, readers: int) -> None:
        self._plane = plane
        self.words = [0] * readers
        self.longest_s = 0.0

    async def read(self, number: int) -> None:
        last = 0.0
        async with self._plane.bus.stream(LLM_STREAM, self.request(), self._plane.meta()) as reader:
            async for frame in reader:
                now = time.monotonic()
                self.words[number] += len(sent_ns(frame))
                self.longest_s = max(self.longest_s, now - last if last else 0.0)
                last = now

    @staticmethod
    def request() -> CompletionRequest:
        return msgspec.structs.replace(asking("crowd"), headed=True)


async def test_two_hundred_streams_on_one_router(plane: Plane) -> None:
    async with paced_server(PACE) as url:
        plane.deploy("crowd", "paced", base_url=url, concurrency_max=1000, timeouts={"idle_s": 10})
        plane.rewrite()
        environment = {
            "PENSTOCK_NATS_URL": plane.broker.url,
            "PENSTOCK_MODELS_FILE": "models.yaml",
            "PENSTOCK_CONFIG_DIR": str(plane.folder),
            "PENSTOCK_DATA_DIR": str(plane.folder),
        }
        async with module_process("services.router", environment=environment) as router:
            await router.says('"event":"ready"')
            few = Crowd(plane, 20)
            await asyncio.gather(*(few.read(number) for number in range(20)))
            before_kib = resident_kib(router.child.pid)
            crowd = Crowd(plane, STREAMS)
            readers = [asyncio.create_task(crowd.read(number)) for number in range(STREAMS)]

            async def all_flow() -> None:
                assert min(crowd.words) >= 2

            await eventually(all_flow, within_s=10)
            grown_kib = resident_kib(router.child.pid) - before_kib
            await asyncio.gather(*readers)
    assert crowd.words == [PACE.words] * STREAMS
    assert crowd.longest_s < STALL_MAX_PACES / PACE.per_s
    assert grown_kib / STREAMS < STREAM_MAX_KIB
