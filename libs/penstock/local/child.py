"""One child process: its own group, its output in a private log file, and no life without its parent."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 20
_OUTPUT_LIMIT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What is run. `env` of None hands on the parent's environment; a log over `log_limit_bytes` is set aside
    when the child starts, as the one older log that is kept."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    log_limit_bytes: int = 10 * 1024 * 1024


class StartFailed(Exception):
    """A child that ended, or said nothing in time, before it was ready."""

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        self.name = name
        self.reason = reason
        self.log_tail = log_tail
        super().__init__(f"{name} did not start: {reason}" + (f"\n{log_tail}" if log_tail else ""))


class Child:
    """A process that can be started again after it ended. Signals go to its whole group.

    On Linux the kernel kills it when the thread that started it ends, so that `kill -9` of the parent leaves
    nothing behind; start it therefore from a thread that lives as long as the parent (the event loop's).
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._output_from = 0

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        if self.running:
            raise RuntimeError(f"{self.command.name} is running already")
        command = self.command
        with open(_fresh_log(command.log, command.log_limit_bytes), "ab") as log:
            self._output_from = log.tell()
            self._process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                env=None if command.env is None else dict(command.env),
                process_group=0,
                preexec_fn=_die_with(os.getpid()),
            )

    async def until_ready(self, ready: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Asks `ready` again and again; StartFailed, with the end of the log, when the child ends first."""
        pause_s = 0.002
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if not self.running:
                        raise StartFailed(self.command.name, f"it ended with {self.returncode}", self.log_tail())
                    if await ready():
                        return
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 1.5, 0.1)
        except TimeoutError as error:
            reason = f"it was not ready after {timeout_s:g} s"
            raise StartFailed(self.command.name, reason, self.log_tail()) from error

    async def exited(self) -> int:
        """Waits for the end; the exit status, negative for a signal as in subprocess."""
        process = self._started()
        while (status := process.poll()) is None:
            await _ended_or(process.pid, 0.05)
        return status

    async def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM, and SIGKILL for the whole group when it has not ended after `grace_s`."""
        self.terminate()
        try:
            return await asyncio.wait_for(self.exited(), grace_s)
        except TimeoutError:
            return await self.kill()

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    async def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return await self.exited()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """To the child's whole group; nothing happens when it has ended."""
        process = self._started()
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def output(self) -> str:
        """What it has written since it was last started: the first 256 KiB."""
        with suppress(FileNotFoundError), open(self.command.log, "rb") as log:
            log.seek(self._output_from)
            return log.read(_OUTPUT_LIMIT_BYTES).decode("utf-8", errors="replace")
        return ""

    def log_tail(self) -> str:
        return "\n".join(self.output().splitlines()[-_TAIL_LINES:])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.command.name} was not started")
        return self._process


def _die_with(parent: int) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the tie was made
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def _fresh_log(path: Path, limit_bytes: int) -> Path:
    with suppress(FileNotFoundError):
        if path.stat().st_size > limit_bytes:
            path.replace(path.with_name(path.name + ".1"))
    path.touch(mode=0o600)
    return path


async def _ended_or(pid: int, at_most_s: float) -> None:
    """Returns at the child's end where the kernel can tell, and after `at_most_s` elsewhere."""
    try:
        handle = os.pidfd_open(pid) if sys.platform == "linux" else None
    except OSError:
        handle = None
    if handle is None:
        await asyncio.sleep(at_most_s)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
