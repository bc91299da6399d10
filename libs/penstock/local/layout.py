"""The one data folder of a plane on this machine: where it is, what lies in it. Only its owner may look."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FolderUnusable(Exception):
    """The data folder belongs to somebody else, or is no folder."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"The data folder {path} {reason}. Set PENSTOCK_DATA to another one.")


class FolderInUse(Exception):
    """Another plane runs from this folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"A plane already runs from {path}. Stop it, or set PENSTOCK_DATA to another folder.")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of what is kept. Every folder is made when it is first asked for, with mode 0700."""

    root: Path

    @property
    def broker(self) -> Path:
        return self.folder("broker")

    @property
    def store(self) -> Path:
        return self.folder("store")

    @property
    def keys(self) -> Path:
        return self.folder("keys")

    @property
    def config(self) -> Path:
        return self.folder("config")

    @property
    def policies(self) -> Path:
        return self.folder("policies")

    @property
    def audit(self) -> Path:
        return self.folder("audit")

    @property
    def files(self) -> Path:
        """What tools may read and write."""
        return self.folder("files")

    @property
    def logs(self) -> Path:
        return self.folder("logs")

    def secret(self, name: str) -> Path:
        """The file of a random secret, made at the first call and the same ever after."""
        path = self.keys / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        return path

    @contextmanager
    def held(self) -> Iterator[None]:
        """FolderInUse for a second plane. The kernel lets go when the process ends, however it ends."""
        private_folder(self.root)
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FolderInUse(self.root) from error
            yield
        finally:
            os.close(handle)

    def folder(self, name: str) -> Path:
        """A folder of this name, private like the others."""
        private_folder(self.root)
        return private_folder(self.root / name)


def find_layout(environment: Mapping[str, str], here: Path, home: Path) -> Layout:
    """PENSTOCK_DATA if set; else .penstock in the present folder if it exists; else the user's own folder."""
    named = environment.get("PENSTOCK_DATA", "").strip()
    if named:
        return Layout(here / Path(named).expanduser())
    if (here / ".penstock").is_dir():
        return Layout(here / ".penstock")
    data = environment.get("XDG_DATA_HOME", "").strip()
    return Layout((Path(data) if data else home / ".local" / "share") / "penstock")


def private_folder(path: Path) -> Path:
    """Makes it, or takes away what others may do in it; FolderUnusable if it is not ours to change."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FolderUnusable(path, "is not a folder") from error
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise FolderUnusable(path, "belongs to another user")
    if status.st_mode & _OTHERS:
        path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """All or nothing, mode 0600 from the first byte on, and on the disk when it returns."""
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        passing.replace(path)
    except OSError:
        passing.unlink(missing_ok=True)
        raise
