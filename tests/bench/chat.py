"""What the governed plane adds to one chat completion, and how many it carries: python -m tests.bench.chat

Method. The whole plane (`penstock up --no-model`: broker, store and seven services, every record fsynced) runs on
one core; this client and a scripted OpenAI-wire upstream that answers at once run on another. Requests are plain
(not streamed) with a 4 KiB body, through gateway, router and policy, with an API key, a dollar budget reserved and
settled in Valkey, and decision and outcome records in the audit stream.

- Latency: open loop at 10/s and 100/s, the same requests to the upstream directly in the same run, alternating; what is
  reported is plane minus direct at p50 and p99.
- Throughput: closed loop with 64 in flight.
- CPU: user plus system time of each process of the plane (/proc/<pid>/stat) over the throughput run, per request.
- Memory: resident size of each process, idle and after the run.

Use the ratios: the machine decides the figures. Nothing else may run beside it.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop
import yaml

PLANE_CORE = 0
LOAD_CORE = 1
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BODY = json.dumps(
    {
        "model": "chat",
        "max_tokens": 64,
        "messages": [{"role": "system", "content": "x" * 3800}, {"role": "user", "content": "Say hello."}],
    }
).encode()


@dataclass(frozen=True)
class Plane:
    """A running plane: its edge, a key, and the pid of each of its processes."""

    url: str
    key: str
    pids: dict[str, int]


async def ready_line(process: asyncio.subprocess.Process, what: str) -> str:
    """The first line of the process's output that holds `what`."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if what in line:
            return line
    raise SystemExit("a process ended before it was ready")


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    """The scripted provider's base URL."""
    process = await asyncio.create_subprocess_exec(
        "taskset",
        "-c",
        str(LOAD_CORE),
        sys.executable,
        "-m",
        "tests.support.model_server",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield (await ready_line(process, "ready")).split()[1]
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def plane(provider: str, core: int) -> AsyncIterator[Plane]:
    """A plane in a folder of its own, with one deployment and a budget on the tenant's account."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    (folder / "config").mkdir(parents=True)
    folder.chmod(0o700)
    price = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10}
    models = {
        "deployments": {"fast": {"base_url": provider, "model": "fast", "price": price}},
        "aliases": {"chat": ["fast"]},
        "default": {"chat": "chat"},
    }
    (folder / "config" / "models.yaml").write_text(yaml.safe_dump(models))
    (folder / "config" / "accounts.yaml").write_text(yaml.safe_dump({"default": {"tenant:default": {"usd": 100000}}}))
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(core), sys.executable, "-m", "penstock.cli", "up", "--json", "--no-model"),
        *("--free-ports", "--log-level", "warning", "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        ready = json.loads(await ready_line(process, '{"ready"'))["ready"]
        profile = json.loads((folder / "profile.json").read_text())
        pids = dict(ready["pids"]) | _servers(process.pid)
        yield Plane(ready["http_url"], Path(profile["api_key_file"]).read_text().strip(), pids)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _servers(parent: int) -> dict[str, int]:
    """The broker and the store among the launcher's children."""
    found = {}
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        name = Path(f"/proc/{child}/comm").read_text().strip()
        if name.startswith("nats"):
            found["broker"] = int(child)
        elif name.startswith(("valkey", "redis")):
            found["store"] = int(child)
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


class Client:
    """Sends the request, and refuses any other answer than 200."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str = "") -> None:
        self._session = session
        self._url = url
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    async def once(self) -> float:
        """Milliseconds."""
        began = time.perf_counter()
        async with self._session.post(self._url, data=BODY, headers=self._headers) as answer:
            text = await answer.read()
            if answer.status != 200:
                raise SystemExit(f"status {answer.status}: {text[:300]!r}")
        return (time.perf_counter() - began) * 1000

    async def closed(self, in_flight: int, seconds: float) -> int:
        """Requests answered with `in_flight` at once."""
        until = time.perf_counter() + seconds

        async def worker() -> int:
            count = 0
            while time.perf_counter() < until:
                await self.once()
                count += 1
            return count

        return sum(await asyncio.gather(*[worker() for _ in range(in_flight)]))


async def at_rate(clients: list[Client], per_s: float, seconds: float) -> list[list[float]]:
    """Open loop, the clients in turn; each client's times."""
    times: list[list[float]] = [[] for _ in clients]

    async def one(which: int) -> None:
        times[which].append(await clients[which].once())

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds) * len(clients)):
            await asyncio.sleep(max(0.0, began + number / (per_s * len(clients)) - time.perf_counter()))
            group.create_task(one(number % len(clients)))
    return times


def quantile(values: list[float], q: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[int(q * 1000) - 1]


async def measure(seconds: float, core: int) -> dict[str, object]:
    """All figures of one run."""
    report: dict[str, object] = {}
    async with (
        upstream() as provider,
        plane(provider, core) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        direct = Client(session, f"{provider}/chat/completions")
        governed = Client(session, f"{running.url}/v1/chat/completions", running.key)
        report["idle_mib"] = {name: round(resident_mib(pid)) for name, pid in running.pids.items()}
        await direct.closed(8, 1)
        await governed.closed(8, 3)
        for rate in (10, 100):
            ours, theirs = await at_rate([governed, direct], rate, seconds)
            report[f"at_{rate}_per_s_ms"] = {
                f"p{int(q * 100)}": {
                    "plane": round(quantile(ours, q), 2),
                    "direct": round(quantile(theirs, q), 2),
                    "added": round(quantile(ours, q) - quantile(theirs, q), 2),
                }
                for q in (0.5, 0.99)
            }
        before = {name: cpu_s(pid) for name, pid in running.pids.items()}
        began = time.perf_counter()
        count = await governed.closed(64, seconds)
        took = time.perf_counter() - began
        used = {name: (cpu_s(pid) - before[name]) / count * 1000 for name, pid in running.pids.items()}
        report["requests_per_s_64_in_flight"] = round(count / took)
        report["cpu_ms_per_request"] = {name: round(ms, 3) for name, ms in sorted(used.items(), key=lambda x: -x[1])}
        report["cpu_ms_per_request_all"] = round(sum(used.values()), 2)
        report["after_mib"] = {name: round(resident_mib(pid)) for name, pid in running.pids.items()}
    return report


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each part")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    print(json.dumps(uvloop.run(measure(arguments.seconds, PLANE_CORE)), indent=2))  # noqa: T201  # it is what it is for


if __name__ == "__main__":
    main()
