"""What a running plane tells the commands beside it: `state.json` in the data folder, there only while it runs."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.local.layout import write_private

FILE_NAME = "state.json"


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """`health`: base address of each service's /live, /ready and /metrics. `model`: what answers chat, in words.

    `ready`: all parts have said that they are. `pids`: of the processes as they were when it was written.
    """

    pid: int
    url: str
    http_url: str
    health: dict[str, str]
    tenant: str = "default"
    model: str = ""
    model_url: str = ""
    store_port: int = 0
    ready: bool = False
    pids: dict[str, int] = {}

    @property
    def running(self) -> bool:
        """Whether the process that wrote this still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def read_state(root: Path) -> State | None:
    """None when no plane has written one, or its process is gone."""
    with suppress(OSError, msgspec.DecodeError):
        state = msgspec.json.decode((root / FILE_NAME).read_bytes(), type=State)
        return state if state.running else None
    return None


def write_state(root: Path, state: State) -> None:
    write_private(root / FILE_NAME, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")


def forget_state(root: Path) -> None:
    (root / FILE_NAME).unlink(missing_ok=True)
