"""A supervising process for tests: python -m tests.support.supervised FOLDER"""

import asyncio
import sys
from pathlib import Path

from penstock.local.child import Command
from penstock.local.processes import Program, Supervisor, says, stop_signals

CODE = "import time; print('ready', flush=True); time.sleep(60)"


async def main(folder: Path) -> None:
    program = Program(Command("part", (sys.executable, "-c", CODE), folder / "part.log"), says("^ready$"))

    def ready() -> None:
        sys.stdout.write(f"up {program.child.pid}\n")

    await Supervisor([[program]], lambda _: None).run(stop_signals(), ready)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
