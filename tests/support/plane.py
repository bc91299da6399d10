"""A whole plane as its user has it: `penstock up` as a process in a folder, and the commands beside it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penstock.contracts.jobs import Submitted
from penstock.local.child import Child, Command
from penstock.local.state import State, read_state
from tests.support.process import ROOT

START_S = 90.0
COMMAND_S = 60.0

SCRIPT = {
    "rules": [
        {"when": {"contains": "slowly"}, "say": "one two three four five six seven eight", "pause_s": 0.2},
        {"when": {"contains": "for ever"}, "say": "on and " * 300, "pause_s": 0.2},
        {"say": "You said: {user}"},
    ]
}
MODELS = {
    "deployments": {"script": {"provider": "scripted", "model": "script", "script": "script.yaml"}},
    "aliases": {"default": ["script"]},
    "default": {"chat": "default"},
}


class _Submitted(msgspec.Struct):
    submitted: Submitted


@dataclass(frozen=True)
class Ran:
    """`values` is what it printed, a JSON value per line."""

    status: int
    values: list[dict[str, object]]
    errors: str


class PlaneProcess:
    """`child` is `penstock up`; all that it starts has its own group and ends with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        up = ("up", "--no-model", "--free-ports", "--tenant", "acme", "--json", "--data", str(root))
        argv = (sys.executable, "-m", "penstock.cli", *up)
        self.child = Child(Command("up", argv, root.parent / "up.log", env=environment(), cwd=ROOT))

    @property
    def state(self) -> State:
        state = read_state(self.root)
        assert state is not None
        return state

    async def start(self) -> None:
        self.child.start()

        async def ready() -> bool:
            state = read_state(self.root)
            return state is not None and state.ready

        await self.child.until_ready(ready, START_S)

    async def penstock(self, *arguments: str, text: str = "") -> Ran:
        """One command beside it, with --json."""
        argv = (sys.executable, "-m", "penstock.cli", *arguments, "--json", "--data", str(self.root))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), cwd=ROOT
        )
        async with asyncio.timeout(COMMAND_S):
            output, errors = await process.communicate(text.encode())
        values = [msgspec.json.decode(line, type=dict[str, object]) for line in output.splitlines()]
        assert process.returncode is not None
        return Ran(process.returncode, values, errors.decode())

    def command(self, *arguments: str) -> Child:
        """The same, to be started, signalled and waited for; what it prints is its `output()`."""
        argv = (sys.executable, "-m", "penstock.cli", *arguments, "--json", "--data", str(self.root))
        return Child(Command("penstock", argv, self.root.parent / "command.log", env=environment(), cwd=ROOT))

    async def first_job(self, command: Child) -> str:
        """Waits until that command has submitted a job and its first token was shown; the job's id."""

        async def shown() -> bool:
            return '"token"' in command.output()

        await command.until_ready(shown, COMMAND_S)
        return msgspec.json.decode(command.output().splitlines()[0], type=_Submitted).submitted.id


def environment() -> dict[str, str]:
    """This process's, without settings of a plane and without providers' keys."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PENSTOCK_") and not name.endswith("_API_KEY")
    }
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "libs"), str(ROOT)])}


def write_scripted_models(root: Path) -> None:
    """Answers that take no time and need no model."""
    config = root / "config"
    config.mkdir(parents=True, mode=0o700)
    (config / "script.yaml").write_bytes(msgspec.json.encode(SCRIPT))
    (config / "models.yaml").write_bytes(msgspec.json.encode(MODELS))


@asynccontextmanager
async def plane_process(folder: Path) -> AsyncIterator[PlaneProcess]:
    """Ready when the block begins; killed at its end if it still runs."""
    root = folder / "data"
    write_scripted_models(root)
    plane = PlaneProcess(root)
    try:
        await plane.start()
        yield plane
    finally:
        await plane.child.kill()
