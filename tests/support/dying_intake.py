"""Takes in published jobs as the orchestrator does, and kills itself after one is stored, before it is answered.

python -m tests.support.dying_intake <url> <seed file>
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.bus import Bus, BusConfig
from penstock.contracts.services import ORCHESTRATOR
from penstock.contracts.subjects import JOB, JOB_PUBLISH


@contextmanager
def dying() -> Iterator[None]:
    """Around the storing of one message."""
    yield
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, seed_file: str) -> None:
    bus = await Bus.connect(BusConfig(url=url, principal=ORCHESTRATOR, seed_file=seed_file))
    await bus.serve_deposit(JOB_PUBLISH, JOB, slots=1, waiting_max_bytes=1_000_000, around=dying)
    sys.stdout.write("taking in\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
