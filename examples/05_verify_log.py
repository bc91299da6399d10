"""What the audit log says about one job, and whether the log is whole.

Start a plane with `make run`, then: .venv/bin/python examples/05_verify_log.py
With the plane's audit folder, a copy of it is verified too, and again after one byte of the copy was changed:
    .venv/bin/python examples/05_verify_log.py .penstock/audit
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import penstock
from penstock.contracts.audit import Trail


async def main() -> None:
    async with await penstock.connect() as plane:
        view = await plane.run(penstock.job("chat", "Hello"), timeout_s=120)
        print(f"the trail of {view.id}:")
        trail = await recorded(plane, view.id)
        for entry in trail.entries:
            data = json.loads(bytes(entry.record.data))
            what = data.get("effect") or data.get("status")
            print(f"  {entry.index:>4}  {entry.record.type:<21} {data.get('action', ''):<15} {what}")
        verified = await plane.verify()
        while verified.records <= trail.entries[-1].index:  # signed once a second
            await asyncio.sleep(0.2)
            verified = await plane.verify()
        print(f"the service says: {verified.records} records, {len(verified.problems)} problems, root {verified.root}")
    if len(sys.argv) > 1:
        verify_copy(Path(sys.argv[1]))


async def recorded(plane: penstock.Penstock, job: str) -> Trail:
    """The job's trail; the log is a moment behind the job."""
    async with asyncio.timeout(10):
        while True:
            trail = await plane.trail(job=job)
            if any(entry.record.type == "penstock.outcome.v1" for entry in trail.entries):
                return trail
            await asyncio.sleep(0.05)


def verify_copy(audit: Path) -> None:
    """Checks a copy offline: no service is asked, the log and the public key are enough."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(audit / "log", copy / "log")
        shutil.copy(audit / "key.pub", copy / "key.pub")
        print("a copy:", *verify(copy))

        bundles = [path for path in (copy / "log" / "tile" / "entries").rglob("*") if path.is_file()]
        bundle = max(bundles, key=lambda path: path.stat().st_size)
        content = bytearray(bundle.read_bytes())
        content[len(content) // 2] ^= 1
        bundle.write_bytes(content)
        print("one bit of it changed:", *verify(copy))


def verify(folder: Path) -> tuple[str, str]:
    command = [sys.executable, "-m", "penstock.cli", "audit", "verify", "--folder", str(folder / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"exit status {done.returncode}:", (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    asyncio.run(main())
