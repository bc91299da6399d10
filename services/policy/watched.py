"""A value read from files, read anew when they change; a bad change is reported and the good value kept."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from penstock.kit.log import Log

Value = TypeVar("Value")


class Watched(Generic[Value]):
    """`value` is the last good one. The first reading raises what `read` raises: nobody starts with a bad file."""

    def __init__(
        self,
        what: str,
        path: Path,
        read: Callable[[Path], Value],
        refusals: tuple[type[Exception], ...],
        log: Log,
    ) -> None:
        self._what = what
        self._path = path
        self._read = read
        self._refusals = refusals
        self._log = log
        self._seen = stamp(path)
        self.value = read(path)
        self.problem = ""

    def look(self) -> bool:
        """Reads again if something changed; whether there is a new value. Called every second or so."""
        seen = stamp(self._path)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.value = self._read(self._path)
        except self._refusals as refused:
            self.problem = str(refused)
            self._log.error(f"{self._what} refused, the old one stays", problem=self.problem)
            return False
        self.problem = ""
        self._log.info(f"{self._what} changed")
        return True


def stamp(path: Path) -> str:
    """Differs when the file, or any file in the folder, was written. Does not read their content."""
    digest = hashlib.sha256()
    for file in _files(path):
        try:
            status = file.stat()
        except OSError:
            continue
        digest.update(
            f"{file.name}:{status.st_mtime_ns}:{status.st_size}:{status.st_ino}:{status.st_ctime_ns};".encode()
        )
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return []
