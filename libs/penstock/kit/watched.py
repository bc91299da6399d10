"""Files that are followed while somebody may be writing them: when a change is whole enough to be read.

An editor or a script may empty a file and fill it piece by piece. What is looked at every so often is therefore read
only when two looks in succession found the same: a change takes effect after at most two intervals, and is read once.
"""

import hashlib
from pathlib import Path


class Changes:
    """Told at every look what was seen (a `stamp`, a digest of the content), it says when it is time to read."""

    def __init__(self, seen: str = "") -> None:
        """`seen`: of what was read already."""
        self._read = seen
        self._before = seen

    def settled(self, seen: str) -> bool:
        """Whether this differs from what was read last, and the look before found the same. True once for a change."""
        steady = seen == self._before
        self._before = seen
        if not steady or seen == self._read:
            return False
        self._read = seen
        return True

    def forget(self) -> None:
        """What was read changed under the reader's hands: whatever is found next is a change."""
        self._read = ""
        self._before = ""


def stamp(path: Path) -> str:
    """Differs when the file, or any file in the folder, was written; never empty. Does not read their content."""
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
