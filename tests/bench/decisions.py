"""What one decision costs, and how many one policy process and two give: python -m tests.bench.decisions

Method. A broker (every record fsynced), a store and policy as a process of its own, on whatever cores there are,
shared by all of them and by those who ask. A question is asked over the bus with a transaction token (verified), judged
by the starter bundle and 100 more policies, reserves dollars, tokens, a request and a slot in four limits of two
accounts and in the key's, and is answered when the stream has acknowledged its record. The accounts hear every record
again, as they always do.

- `different`: each question has another number of tokens, which the policies look at, so that no answer of Cedar is
  remembered; `alike`: all ask for the same, as most do.
- Latency: open loop, 100 a second, 15 seconds, one asker. Rate: closed loop, 2 askers in processes of their own, 64 in
  flight each, 6 seconds after 2 of warming up. A batch: 50 tools in one call, one call after the other.
- CPU: user and system time of each process over the rate run, per decision.

Nothing else may run beside it. One virtual machine's figures are no other's: compare within a run.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE, POLICY_EVALUATE, POLICY_EVALUATIONS
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Authenticate, Entity, Question, Questions, Reserve
from penstock.local.store import Store, StoreSettings
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.money.limits import Limit
from services.policy.rulebook import STARTER
from tests.support.eventually import eventually
from tests.support.nats_server import nats_server
from tests.support.process import module_process

POLICIES = 100
IN_FLIGHT = 64
ASKERS = 2
WARM_S, RATE_S = 2.0, 6.0
LATENCY_S, PER_S = 15.0, 100
BATCHES, TOOLS = 60, 50
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = """
acme:
  "tenant:*": [{usd: 1000000, period: month}, {requests: 100000000, period: day}]
  "user:*": [{tokens: 100000000000, period: day}, {requests: 100000000, period: hour, usd: 1000000}]
"""


@dataclass(frozen=True)
class Site:
    """A policy plane, and a token to ask it with; `key_account` is its key's."""

    nats_url: str
    store_url: str
    token: str
    key_account: str
    pids: tuple[int, ...]


@asynccontextmanager
async def site(
    processes: int, limits: str = LIMITS, usd: float = 1_000_000.0, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """So many policy processes on one broker and one store."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        broker = await stack.enter_async_context(nats_server())
        store = Store(StoreSettings(folder / "store"))
        await store.start()
        stack.push_async_callback(store.stop)
        environment = {**_files(folder, limits), **(settings or {})} | {
            "PENSTOCK_NATS_URL": broker.url,
            "PENSTOCK_STORE_URL": store.url,
        }
        credential = create_key(folder / "keys.json", ApiKey("", "", "acme", "user:alice", limits=(Limit(usd),)), 1.0)[
            1
        ]
        bus = await Bus.connect(BusConfig(url=broker.url, principal="router"))
        stack.push_async_callback(bus.close)
        await bus.prepare()
        pids = []
        for number in range(processes):
            own = {"PENSTOCK_HEALTH_PORT": "0", "PENSTOCK_DATA_DIR": str(folder / "data")}
            process = await stack.enter_async_context(module_process("services.policy", (), environment | own))
            await process.says('"event":"ready"')
            pids.append(process.child.pid)
            assert len(pids) == number + 1
        token = await eventually(lambda: _token(bus, credential), within_s=20)
        yield Site(broker.url, store.url, token, f"key:{credential.split('_')[1]}", tuple(pids))


def _files(folder: Path, limits: str) -> dict[str, str]:
    bundle = folder / "bundle"
    bundle.mkdir()
    for file in STARTER.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    more = [
        f'@id("bench-{n}") @reason("too much at once") forbid (principal, action, resource)\n'
        f'when {{ context.tokens > {1_000_000 + n} && context.depth > {n % 7} && principal.key != "k{n}" }};\n'
        for n in range(POLICIES)
    ]
    (bundle / "bench.cedar").write_text("".join(more), encoding="utf-8")
    (folder / "data").mkdir()
    (folder / "accounts.yaml").write_text(limits, encoding="utf-8")
    return {
        "PENSTOCK_BUNDLE_DIR": str(bundle),
        "PENSTOCK_KEYS_FILE": str(folder / "keys.json"),
        "PENSTOCK_LIMITS_FILE": str(folder / "accounts.yaml"),
    }


async def _token(bus: Bus, credential: str) -> str:
    try:
        return (await bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=2)).token
    except Failure as failure:
        raise AssertionError from failure


def question(different: bool) -> Question:
    tokens = random.randrange(1, 100_000) if different else 700
    reserve = Reserve(cost_nano=1000, tokens=tokens)
    return Question(ActionName("model.complete"), Entity("Model", "default"), new_id("att"), reserve=reserve)


async def latencies(bus: Bus, token: str, *, different: bool) -> list[float]:
    """Milliseconds, of an open loop."""
    meta, found = Meta(request="req_bench", token=token), list[float]()

    async def once() -> None:
        began = time.perf_counter()
        assert (await bus.call(POLICY_EVALUATE, question(different), meta, timeout_s=10)).decision
        found.append((time.perf_counter() - began) * 1000)

    tasks = []
    began = time.perf_counter()
    for number in range(int(LATENCY_S * PER_S)):
        await asyncio.sleep(max(0.0, began + number / PER_S - time.perf_counter()))
        tasks.append(asyncio.create_task(once()))
    await asyncio.gather(*tasks)
    return found[PER_S:]


async def batches(bus: Bus, token: str) -> list[float]:
    """Milliseconds of one call with 50 tools."""
    meta, found = Meta(request="req_bench", token=token), []
    for _ in range(BATCHES):
        tools = [
            Question(ActionName("tool.call"), Entity("Tool", f"tool_{n}", {"effect": "read"}), new_id("att"))
            for n in range(TOOLS)
        ]
        began = time.perf_counter()
        await bus.call(POLICY_EVALUATIONS, Questions(tools), meta, timeout_s=10)
        found.append((time.perf_counter() - began) * 1000)
    return found[5:]


def asker(url: str, token: str, different: bool) -> int:
    """A process: how many decisions it got within RATE_S."""

    async def ask() -> int:
        bus = await Bus.connect(BusConfig(url=url, principal="router"))
        meta, counts, begins = Meta(request="req_bench", token=token), [0], time.perf_counter() + WARM_S
        ends = begins + RATE_S

        async def worker() -> None:
            while (now := time.perf_counter()) < ends:
                await bus.call(POLICY_EVALUATE, question(different), meta, timeout_s=20)
                counts[0] += now >= begins

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        await bus.close()
        return counts[0]

    return uvloop.run(ask())


async def rate(at: Site, *, different: bool) -> dict[str, float]:
    """Decisions a second, and the CPU of policy for each, in ms."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(ASKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [loop.run_in_executor(pool, asker, at.nats_url, at.token, different) for _ in range(ASKERS)]
        before = sum(_cpu_s(pid) for pid in at.pids)
        counts = await asyncio.gather(*running)
    cpu_s = sum(_cpu_s(pid) for pid in at.pids) - before
    count = sum(counts)
    return {
        "per_s": round(count / RATE_S),
        "policy_cpu_ms": round(cpu_s / (count * (RATE_S + WARM_S) / RATE_S) * 1000, 3),
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def shown(found: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(found, n=100)
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2), "count": len(found)}


async def measure(processes: int, kinds: tuple[bool, ...]) -> dict[str, object]:
    """All figures for so many policy processes."""
    report: dict[str, object] = {}
    async with site(processes) as at:
        bus = await Bus.connect(BusConfig(url=at.nats_url, principal="router"))
        for different in kinds:
            name = "different" if different else "alike"
            if processes == 1:
                report[f"{name}_at_{PER_S}_per_s"] = shown(await latencies(bus, at.token, different=different))
            report[name] = await rate(at, different=different)
        if processes == 1:
            report[f"batch_of_{TOOLS}"] = shown(await batches(bus, at.token))
        await bus.close()
    return report


async def run(kinds: tuple[bool, ...]) -> dict[str, object]:
    return {"one_process": await measure(1, kinds), "two_processes": await measure(2, kinds)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=("alike", "different", "both"), default="both")
    wanted = {"alike": (False,), "different": (True,), "both": (True, False)}[parser.parse_args().kind]
    print(json.dumps(uvloop.run(run(wanted)), indent=2))  # noqa: T201  # it is what it is for
