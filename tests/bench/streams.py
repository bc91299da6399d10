"""Many streams at once through one router, and what one stream costs: python -m tests.bench.streams

Method. A broker, a store, the policy service, one router, one edge and a scripted provider, each a process of its own;
this is the client. The router has core 0 for itself, everybody else shares core 1. The provider sends each answer at a
steady pace, one word an event, and each word is the time when it was sent: whoever reads it knows how long it was on
its way. Every request is decided by policy, reserved for and recorded.

- Alone: single streams, one directly from the provider and one through edge and router in turn, both over HTTP, in the
  same run. Added time to first token: from the request to the first word, the plane's median less the direct one's.
  Added time per token: of the words after the first, how long they were on their way, the same.
- Many: 500 streams at once at 20 words a second, read over the bus, as the edge does. Every word must arrive. The
  longest pause between two of one stream is told in paces (goal: at most 10). CPU: user and system time of the router's
  process over 5 seconds in which all streams flow, per frame read (goal: at most 80 us). Memory: how much larger its
  resident size is in the middle than before the first of them, per stream (goal: at most 60 KiB).

Use the ratios: the machine decides the figures. Nothing else may run beside it; it takes about 40 s.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import uvloop
import yaml

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE
from penstock.contracts.llm import CompletionRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate
from penstock.contracts.subjects import LLM_STREAM
from penstock.local.broker import Broker, BrokerSettings
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from tests.bench.chat import cpu_s, quantile, resident_mib
from tests.support.paced import sent_ns
from tests.support.process import ModuleProcess, module_process
from tests.support.valkey_server import valkey_server

ROUTER_CORE, OTHERS_CORE = 0, 1
PER_S = 20.0
WORDS = 240
ALONE_WORDS = 20
SETTLE_S = 2.0
WINDOW_S = 5.0
BODY = msgspec.json.encode({"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Say hello."}]})
PRICE = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10}


@dataclass(frozen=True)
class Bench:
    """The plane of one run. `providers`: the base URL of the one for few streams, and of the one for many."""

    bus: Bus
    edge: str
    direct: str
    key: str
    token: str
    router_pid: int


@dataclass
class Seen:
    """What the reader of one stream saw. `late_ns`: how long each word was on its way."""

    words: int = 0
    last: float = 0.0
    longest_s: float = 0.0
    frames: int = 0
    late_ns: list[int] = field(default_factory=list)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Everything started, and somebody logged in."""
    os.sched_setaffinity(0, {OTHERS_CORE})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        (folder / "nats.conf").write_text("max_payload: 1MB\njetstream { sync_interval: always }\n")
        broker = Broker(BrokerSettings(folder / "nats.conf", folder))
        await broker.start()
        stack.push_async_callback(broker.stop)
        store = await stack.enter_async_context(valkey_server())
        bus = await Bus.connect(BusConfig(url=broker.url, principal="gateway"))
        stack.push_async_callback(bus.close)
        await bus.prepare()
        credential = create_key(folder / "keys.json", ApiKey("", "", "acme", "user:alice", scopes=("*",)), now=1.0)[1]
        few = await stack.enter_async_context(provider(ALONE_WORDS))
        many = await stack.enter_async_context(provider(WORDS))
        (folder / "models.yaml").write_text(yaml.safe_dump(models(few, many)))
        environment = {
            "PENSTOCK_NATS_URL": broker.url,
            "PENSTOCK_CONFIG_DIR": str(folder),
            "PENSTOCK_DATA_DIR": str(folder),
            "PENSTOCK_KEPT_STREAMS_MAX": "10000",
        }

        async def service(name: str, **more: str) -> ModuleProcess:
            process = await stack.enter_async_context(
                module_process(f"services.{name}", environment=environment | more, start_timeout_s=40)
            )
            await process.says('"event":"ready"')
            return process

        await service("policy", PENSTOCK_STORE_URL=store.url)
        router = await service("router", PENSTOCK_MODELS_FILE="models.yaml")
        router_pid = router.child.pid
        os.sched_setaffinity(router_pid, {ROUTER_CORE})
        gateway = await service("gateway", PENSTOCK_HTTP_PORT="0")
        port = (await gateway.says(r'"event":"http".*"port":(\d+)'))[1]
        identity = await bus.call(POLICY_AUTHENTICATE, Authenticate(credential), Meta(), timeout_s=10)
        yield Bench(bus, f"http://127.0.0.1:{port}/v1", few, credential, identity.token, router_pid)


@asynccontextmanager
async def provider(words: int) -> AsyncIterator[str]:
    """Its base URL."""
    async with module_process("tests.support.paced", ("--words", str(words), "--per-s", str(PER_S))) as process:
        yield (await process.says(r"^ready (\S+)"))[1]


def models(few: str, many: str) -> dict[str, object]:
    """An alias for each provider."""

    def deployment(url: str) -> dict[str, object]:
        return {"base_url": url, "model": "paced", "price": PRICE, "concurrency_max": 10_000}

    return {
        "deployments": {"few": deployment(few), "many": deployment(many)},
        "aliases": {"chat": ["few"], "crowd": ["many"]},
        "default": {"chat": "chat"},
    }


async def over_http(session: aiohttp.ClientSession, url: str, key: str) -> tuple[float, Seen]:
    """Milliseconds to the first word, and the rest."""
    seen = Seen()
    first_ms = 0.0
    began = time.perf_counter()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    async with session.post(f"{url}/chat/completions", data=BODY, headers=headers) as answer:
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {(await answer.read())[:300]!r}")
        rest = b""
        async for piece in answer.content.iter_any():
            *whole, rest = (rest + piece).split(b"\n\n")
            if whole and not first_ms:
                first_ms = (time.perf_counter() - began) * 1000
            see(seen, b"\n\n".join(whole))
    return first_ms, seen


def see(seen: Seen, frame: bytes) -> None:
    """Counts the words of one frame."""
    now_ns = time.monotonic_ns()
    words = sent_ns(frame)
    if not words:
        return
    seen.words += len(words)
    seen.frames += 1
    seen.late_ns += [now_ns - each for each in words]
    if seen.last:
        seen.longest_s = max(seen.longest_s, now_ns / 1e9 - seen.last)
    seen.last = now_ns / 1e9


async def alone(plane: Bench, rounds: int) -> dict[str, object]:
    """The two in turn."""
    first: dict[str, list[float]] = {"direct": [], "plane": []}
    later: dict[str, list[float]] = {"direct": [], "plane": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(rounds + 2):
            for name, url in (("direct", plane.direct), ("plane", plane.edge)):
                first_ms, seen = await over_http(session, url, plane.key)
                if seen.words != ALONE_WORDS:
                    raise SystemExit(f"{seen.words} words of {ALONE_WORDS}")
                if number >= 2:
                    first[name].append(first_ms)
                    later[name] += [each / 1e6 for each in seen.late_ns[1:]]

    def told(times: dict[str, list[float]]) -> dict[str, float]:
        medians = {name: statistics.median(values) for name, values in times.items()}
        return {name: round(ms, 3) for name, ms in medians.items()} | {
            "added": round(medians["plane"] - medians["direct"], 3)
        }

    return {"first_token_ms": told(first), "each_token_ms": told(later)}


async def one_of_many(plane: Bench, seen: Seen, resumable: bool) -> None:
    """One stream, read over the bus."""
    meta = Meta(request="req_1", tenant="acme", token=plane.token, deadline=time.time() + 50)
    request = CompletionRequest("crowd", msgspec.Raw(BODY), headed=True, resumable=resumable)
    async with plane.bus.stream(LLM_STREAM, request, meta) as reader:
        async for frame in reader:
            see(seen, frame)


async def many(plane: Bench, count: int, resumable: bool) -> dict[str, object]:
    """All at once."""
    before_mib = resident_mib(plane.router_pid)
    all_seen = [Seen() for _ in range(count)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for seen in all_seen:
            group.create_task(one_of_many(plane, seen, resumable))
        while any(not seen.words for seen in all_seen):  # noqa: ASYNC110  # an event would cost the readers time
            await asyncio.sleep(0.05)
        started_s = time.perf_counter() - began
        await asyncio.sleep(SETTLE_S)
        frames, cpu, since = sum(seen.frames for seen in all_seen), cpu_s(plane.router_pid), time.perf_counter()
        await asyncio.sleep(WINDOW_S)
        took = time.perf_counter() - since
        frames = sum(seen.frames for seen in all_seen) - frames
        used_s = cpu_s(plane.router_pid) - cpu
        in_the_middle_mib = resident_mib(plane.router_pid)
    if any(seen.words != WORDS for seen in all_seen):
        raise SystemExit("not every word arrived")
    late_ms = [each / 1e6 for seen in all_seen for each in seen.late_ns]
    return {
        "streams": count,
        "all_started_s": round(started_s, 2),
        "words": sum(seen.words for seen in all_seen),
        "frames_per_s": round(frames / took),
        "router_cpu_us_per_frame": round(used_s / frames * 1e6, 1),
        "router_cpu_share": round(used_s / took, 2),
        "on_the_way_ms": {f"p{int(q * 100)}": round(quantile(late_ms, q), 1) for q in (0.5, 0.99)},
        "longest_pause_paces": round(max(seen.longest_s for seen in all_seen) * PER_S, 1),
        "router_before_mib": round(before_mib, 1),
        "kib_per_stream": round((in_the_middle_mib - before_mib) * 1024 / count, 1),
    }


async def warmed(plane: Bench) -> None:
    """A few streams, so that what is made once is made."""
    for _ in range(100):
        try:
            await asyncio.gather(*(one_of_many_briefly(plane) for _ in range(20)))
            return
        except Failure:
            await asyncio.sleep(0.1)
    raise SystemExit("the router does not answer")


async def one_of_many_briefly(plane: Bench) -> None:
    """Leaves after the first frames."""
    meta = Meta(request="req_1", tenant="acme", token=plane.token, deadline=time.time() + 50)
    async with plane.bus.stream(LLM_STREAM, CompletionRequest("crowd", msgspec.Raw(BODY)), meta) as reader:
        async for _ in reader:
            return


async def run(count: int, rounds: int, resumable: bool) -> dict[str, object]:
    """Both, in one run."""
    async with bench() as plane:
        await warmed(plane)
        return {"alone": await alone(plane, rounds), "many": await many(plane, count, resumable)}


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--resumable", action="store_true", help="the many are kept for readers who come back")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(uvloop.run(run(given.streams, given.rounds, given.resumable)), indent=2) + "\n")


if __name__ == "__main__":
    main()
