"""Child processes: ended with their group, tied to their parent, told apart by their log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.local.child import Child, Command, StartFailed
from tests.support.eventually import eventually

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


async def test_sigterm_ends_a_child_with_its_status(tmp_path: Path) -> None:
    child = await _up(tmp_path, SLEEPS)
    assert await child.stop() == -signal.SIGTERM
    assert not child.running


async def test_a_child_deaf_to_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = await _up(tmp_path, DEAF)
    assert await child.stop(grace_s=0.1) == -signal.SIGKILL


async def test_a_grandchild_dies_with_its_group(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"grandchild = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}])\n"
        "print('grandchild', grandchild.pid, flush=True)\n"
        "time.sleep(60)"
    )
    child = await _up(tmp_path, code)
    grandchild = int(child.output().split("grandchild ")[1].split()[0])
    await child.kill()

    async def gone() -> None:
        assert not _alive(grandchild)

    await eventually(gone)


async def test_kill_9_of_the_parent_leaves_no_child_behind(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from penstock.local.child import Child, Command\n"
        f"log = Path({str(tmp_path / 'c.log')!r})\n"
        f"child = Child(Command('c', (sys.executable, '-c', {SLEEPS!r}), log))\n"
        "child.start()\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[1])
        assert _alive(child)
        parent.kill()

    async def gone() -> None:
        assert not _alive(child)

    await eventually(gone)


async def test_a_child_that_ends_before_it_is_ready_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    child = Child(_command(tmp_path, "print('no luck'); raise SystemExit(3)"))
    child.start()
    with pytest.raises(StartFailed, match=r"(?s)it ended with 3.*no luck"):
        await child.until_ready(_never, timeout_s=10)


async def test_a_child_that_is_never_ready_is_a_failure_after_its_time(tmp_path: Path) -> None:
    child = await _up(tmp_path, SLEEPS)
    with pytest.raises(StartFailed, match=r"not ready after 0\.05 s"):
        await child.until_ready(_never, timeout_s=0.05)
    await child.kill()


async def test_a_second_start_does_not_show_the_words_of_the_first(tmp_path: Path) -> None:
    child = await _up(tmp_path, "import os; print('up', os.getpid(), flush=True)")
    await child.exited()
    first = child.output()
    child.start()
    await child.exited()
    assert first not in child.output()
    assert child.output() == f"up {child.pid}\n"


async def test_a_log_over_its_limit_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("x" * 101)
    child = Child(Command("child", (sys.executable, "-c", "print('new')"), log, log_limit_bytes=100))
    child.start()
    await child.exited()
    assert log.read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "x" * 101


async def test_the_log_is_for_the_owner_alone(tmp_path: Path) -> None:
    child = await _up(tmp_path, SLEEPS)
    assert child.command.log.stat().st_mode & 0o777 == 0o600
    await child.kill()


async def test_starting_a_running_child_again_is_refused(tmp_path: Path) -> None:
    child = await _up(tmp_path, SLEEPS)
    with pytest.raises(RuntimeError, match="running already"):
        child.start()
    await child.kill()


def _command(folder: Path, code: str) -> Command:
    return Command("child", (sys.executable, "-c", code), folder / "child.log")


async def _up(folder: Path, code: str) -> Child:
    child = Child(_command(folder, code))
    child.start()

    async def spoke() -> None:
        assert child.output()

    await eventually(spoke)
    return child


async def _never() -> bool:
    return False


def _alive(pid: int) -> bool:
    """A zombie counts as gone: its parent was killed and the kernel's init is slow to reap here."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
