"""A Python module as a process of its own: started, waited for by a line or a URL, stopped, killed."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.local.child import Child, Command
from penstock.local.readiness import answers_200

ROOT = Path(__file__).parents[2]


class ModuleProcess:
    """`python -m module`, with what it printed so far in `output`."""

    def __init__(self, child: Child, start_timeout_s: float) -> None:
        self.child = child
        self._start_timeout_s = start_timeout_s

    @property
    def output(self) -> str:
        return self.child.output()

    def start(self) -> None:
        """Again, after an end: with the same arguments and environment."""
        self.child.start()

    async def says(self, pattern: str) -> re.Match[str]:
        """Waits for a line that matches; StartFailed, with the output, if the process ends first."""
        found: list[re.Match[str]] = []

        async def said() -> bool:
            match = re.search(pattern, self.output, re.MULTILINE)
            if match:
                found.append(match)
            return match is not None

        await self.child.until_ready(said, self._start_timeout_s)
        return found[0]

    async def answers(self, url: str) -> None:
        """Waits until a GET of `url` is answered with 200."""

        async def ready() -> bool:
            return await answers_200(url)

        await self.child.until_ready(ready, self._start_timeout_s)

    async def kill(self) -> int:
        """kill -9 of the process and all it started."""
        return await self.child.kill()

    async def terminate(self, within_s: float = 10.0) -> int:
        """SIGTERM, and the exit status; TimeoutError if it goes on."""
        self.child.terminate()
        return await asyncio.wait_for(self.child.exited(), within_s)


@asynccontextmanager
async def module_process(
    module: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    start_timeout_s: float = 20.0,
) -> AsyncIterator[ModuleProcess]:
    """The environment is this process's without its PENSTOCK_ variables, with `environment` laid over it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    path = os.pathsep.join([str(ROOT / "libs"), str(ROOT)])
    env = inherited | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | dict(environment or {})
    with tempfile.TemporaryDirectory(prefix="penstock-process-") as folder:
        argv = (sys.executable, "-m", module, *arguments)
        child = Child(Command(module, argv, Path(folder) / "output.log", env=env, cwd=ROOT))
        child.start()
        try:
            yield ModuleProcess(child, start_timeout_s)
        finally:
            await child.kill()
