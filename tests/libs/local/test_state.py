"""The state file: there while a plane runs, and not believed when its process is gone."""

import os
import subprocess
import sys
from pathlib import Path

from penstock.local.state import State, forget_state, read_state, write_state


def test_a_running_planes_state_is_read_by_the_commands_beside_it(tmp_path: Path) -> None:
    state = _state(os.getpid())
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    forget_state(tmp_path)
    assert read_state(tmp_path) is None


def test_the_state_of_a_process_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_state(tmp_path, _state(ended.pid))
    assert read_state(tmp_path) is None


def test_a_damaged_file_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    assert read_state(tmp_path) is None


def _state(pid: int) -> State:
    return State(pid, "nats://127.0.0.1:1", "http://127.0.0.1:2", {"router": "http://127.0.0.1:3"})
