"""A value read from files, read anew when they change; a bad change is reported and the good value kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from penstock.kit.log import Log
from penstock.kit.watched import Changes, stamp

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
        self._changes = Changes(stamp(path))
        self.value = read(path)
        self.problem = ""

    def look(self) -> bool:
        """Reads again if something changed and nobody is writing any more; whether there is a new value.

        Called again and again: a change is taken over at the second look that finds it.
        """
        seen = stamp(self._path)
        if not self._changes.settled(seen):
            return False
        try:
            value = self._read(self._path)
        except self._refusals as refused:
            if self._moved(seen):
                return False
            self.problem = str(refused)
            self._log.error(f"{self._what} refused, the old one stays", problem=self.problem)
            return False
        if self._moved(seen):
            return False
        self.value = value
        self.problem = ""
        self._log.info(f"{self._what} changed")
        return True

    def _moved(self, seen: str) -> bool:
        """Whether somebody wrote while it was read: then nothing is made of it."""
        if stamp(self._path) == seen:
            return False
        self._changes.forget()
        return True
