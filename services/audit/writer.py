"""The log and its index as one thing, opened, written and closed in one thread.

The log is the truth: what the index lacks is read from it, what the index has too much makes it start anew.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.audit.checkpoint import SigningKey
from services.audit.disk import Disk
from services.audit.index import Index, Position
from services.audit.leaf import Leaf, Message, read_leaf
from services.audit.log import Log
from services.audit.merkle import leaf_hash
from services.audit.orphans import Facts, facts

CATCH_UP_RECORDS = 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the log stands. `kinds` counts what was added by the last call."""

    size: int
    signed: int
    sequence: int
    kinds: dict[str, int]


class Writer:
    """After an OSError it is closed and has to be made anew."""

    def __init__(self, folder: Path, key: SigningKey, disk: Disk, index: Path, records_max: int) -> None:
        """Raises LogDamaged, OSError. `records_max`: a checkpoint is signed when so many records have none."""
        folder.mkdir(parents=True, exist_ok=True)
        self._records_max = records_max
        self._log = Log(folder, key, disk)
        self.repaired = self._log.repaired
        try:
            self._index = Index(index)
            self._catch_up()
        except BaseException:
            self._log.close()
            raise

    def progress(self) -> Progress:
        return self._progress({})

    def unproven(self) -> list[bytes]:
        """See Log.unproven."""
        return self._log.unproven()

    def append(self, messages: Sequence[Message]) -> Progress:
        """Durable when it returns. Raises OutOfOrder before anything is written, and OSError."""
        first = self._log.size
        rows = [
            (message.tenant, facts(record, message.tenant))
            for message in self._log.append(messages)
            for record in message.records
        ]
        if rows:
            self._add_to_index(first, rows)
        if self._log.unpublished >= self._records_max:
            self._log.publish()
        return self._progress(dict(Counter(found.kind for _, found in rows)))

    def publish(self) -> Progress:
        """Signs what is not signed yet. Raises OSError."""
        self._log.publish()
        return self._progress({})

    def unsigned_entries(self, places: Sequence[int]) -> dict[int, bytes]:
        """Those of these records that no checkpoint covers: they are in no bundle yet."""
        return {place: self._log.entry(place) for place in places if self._log.head.size <= place < self._log.size}

    def overdue(self, now: float) -> int:
        return self._index.overdue(now)

    def close(self) -> None:
        self._index.close()
        self._log.close()

    def _add_to_index(self, first: int, rows: Sequence[tuple[str, Facts]]) -> None:
        try:
            self._index.add(first, rows, leaf_hash(self._log.entry(first + len(rows) - 1)))
        except sqlite3.Error as error:
            raise OSError(f"the index {self._index.path}: {error}") from error

    def _progress(self, kinds: dict[str, int]) -> Progress:
        return Progress(self._log.size, self._log.head.size, self._log.sequence, kinds)

    def _catch_up(self) -> None:
        position = self._index.position()
        if not self._is_beginning(position):
            self._index.restart()
            position = Position(0, b"")
        for first in range(position.size, self._log.size, CATCH_UP_RECORDS):
            entries = [self._log.entry(at) for at in range(first, min(first + CATCH_UP_RECORDS, self._log.size))]
            leaves = [read_leaf(entry) for entry in entries]
            rows = [(leaf.tenant, facts(self._record(leaf), leaf.tenant)) for leaf in leaves]
            self._add_to_index(first, rows)

    def _is_beginning(self, position: Position) -> bool:
        if position.size == 0:
            return True
        if position.size > self._log.size:
            return False
        return leaf_hash(self._log.entry(position.size - 1)) == position.last

    def _record(self, leaf: Leaf) -> bytes:
        if leaf.record_sha256:
            return self._log.folder.outside(leaf.record_sha256) or b""
        return bytes(leaf.record)
