"""How long `penstock up` takes until it is ready, without a model, on an otherwise idle machine.

Method: a fresh folder, then the same folder again (its streams, keys and data are there), three times each; the clock
runs from the start of the process to its `ready` line. Beside it the CPU time of the whole tree until then, which does
not depend on what else the machine does, and the resident memory of each service, idle.

Bounds: 5 s to ready, the best of three; 120 MiB for each service.

Run: python -m tests.bench.up
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from penstock.local.child import Child
from tests.support.plane import PlaneProcess, write_scripted_models

ROUNDS = 3
READY_S = 5.0
SERVICE_MIB = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


async def main() -> int:
    fresh: list[float] = []
    again: list[float] = []
    memory: dict[str, float] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
            root = Path(name) / "data"
            write_scripted_models(root)
            fresh.append(await _once(root, "fresh folder", memory))
            again.append(await _once(root, "same folder again", memory))
    print(f"ready: fresh folder {min(fresh):.2f} s, again {min(again):.2f} s (bound {READY_S:g} s)")  # noqa: T201
    for service, mib in sorted(memory.items()):
        print(f"  {service:<14}{mib:6.0f} MiB (bound {SERVICE_MIB:g})")  # noqa: T201
    good = min(fresh) <= READY_S and max(memory.values()) <= SERVICE_MIB
    return 0 if good else 1


async def _once(root: Path, what: str, memory: dict[str, float]) -> float:
    plane = PlaneProcess(root)
    began = time.perf_counter()
    try:
        await plane.start()
        took_s = time.perf_counter() - began
        pids = plane.state.pids
        cpu_s = sum(_cpu_s(pid) for pid in (plane.child.pid, *_children(plane.child)))
        memory |= {service: max(memory.get(service, 0.0), _mib(pid)) for service, pid in pids.items()}
        print(f"{what}: ready after {took_s:.2f} s, {cpu_s:.1f} s of CPU in all")  # noqa: T201
        return took_s
    finally:
        await plane.child.stop(grace_s=30)


def _children(child: Child) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text("utf-8").split()]


def _cpu_s(pid: int) -> float:
    """User and system time, fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _mib(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines() if "VmRSS" in line)
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
