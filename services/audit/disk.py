"""What the log does to files, step by step, so that each step is on the disk before the next one begins."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUse(Exception):
    """Another process writes to this folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"Another process writes the audit log in {path}. Stop it, or give this one a folder of its own."
        )


class Disk:
    """Durable: a `write` after the next `settle`, an `append` when it returns, a `cut` after the next `append`."""

    def __init__(self) -> None:
        self._unsettled: set[Path] = set()

    def write(self, path: Path, data: bytes, *, private: bool = False) -> None:
        """All of it or nothing stands under this name."""
        self._make_folder(path.parent)
        passing = path.with_name(f"{path.name}.new")
        passing.unlink(missing_ok=True)
        mode = 0o600 if private else 0o644
        handle = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        passing.replace(path)
        self._unsettled.add(path.parent)

    def settle(self) -> None:
        """The names of all that was written are on the disk."""
        for folder in sorted(self._unsettled):
            _sync_folder(folder)
        self._unsettled.clear()

    def append(self, handle: int, data: bytes) -> None:
        _write_all(handle, data)
        os.fdatasync(handle)

    def cut(self, handle: int, size_bytes: int) -> None:
        os.ftruncate(handle, size_bytes)

    def remove_folder(self, path: Path) -> None:
        """A folder of files, if it is there."""
        if not path.is_dir():
            return
        for file in path.iterdir():
            file.unlink()
        path.rmdir()

    def _make_folder(self, path: Path) -> None:
        if path.is_dir():
            return
        self._make_folder(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)
        self._unsettled.add(path.parent)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """InUse for a second process. The kernel lets go when the process ends, however it ends."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(folder) from error
        yield
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
