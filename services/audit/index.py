"""Finds records by job, request and decision: SQLite, a pure fold of the log. Deleted, it is made again from it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.audit.orphans import Facts

VERSION = 1
_TABLES = """
CREATE TABLE record (place INTEGER PRIMARY KEY, tenant TEXT, job TEXT, request TEXT, decision TEXT);
CREATE INDEX record_job ON record (tenant, job, place) WHERE job <> '';
CREATE INDEX record_request ON record (tenant, request, place) WHERE request <> '';
CREATE INDEX record_decision ON record (tenant, decision, place) WHERE decision <> '';
CREATE TABLE waiting (tenant TEXT, decision TEXT, due REAL, PRIMARY KEY (tenant, decision)) WITHOUT ROWID;
CREATE INDEX waiting_due ON waiting (due);
CREATE TABLE early (tenant TEXT, decision TEXT, PRIMARY KEY (tenant, decision)) WITHOUT ROWID;
CREATE TABLE position (size INTEGER, last BLOB);
INSERT INTO position VALUES (0, x'');
"""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the fold has come: records, and the leaf hash of the last of them."""

    size: int
    last: bytes


class Index:
    """One writer; any number of readers, each with an Index of its own. Not for several threads at once."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """What is no index of this version is made anew, unless `read_only`."""
        self.path = path
        self._read_only = read_only
        self._db = self._opened()

    def position(self) -> Position:
        size, last = self._db.execute("SELECT size, last FROM position").fetchone()
        return Position(size, last)

    def add(self, first: int, rows: Sequence[tuple[str, Facts]], last: bytes) -> None:
        """Records from index `first` on, each with its tenant; `last` is the leaf hash of the last one. All or none."""
        with self._db as db:
            db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
                [
                    (place, tenant, facts.job, facts.request, facts.decision)
                    for place, (tenant, facts) in enumerate(rows, first)
                ],
            )
            for tenant, facts in rows:
                self._pair(db, tenant, facts)
            db.execute("UPDATE position SET size = ?, last = ?", (first + len(rows), last))

    def find(self, tenant: str, job: str, request: str, limit: int) -> list[int]:
        """The indexes of this tenant's records of this job and this request ("": any), in the log's order."""
        query, values = "SELECT place FROM record WHERE tenant = ?", [tenant]
        for column, value in (("job", job), ("request", request)):
            if value:
                query += f" AND {column} = ? AND {column} <> ''"
                values.append(value)
        rows = self._db.execute(f"{query} ORDER BY place LIMIT ?", (*values, limit))
        return [place for (place,) in rows]

    def overdue_of(self, tenant: str, places: Sequence[int], now: float) -> list[str]:
        """Which decisions among these records wait for an outcome that is overdue."""
        found: list[str] = []
        for place in places:
            row = self._db.execute(
                "SELECT decision FROM waiting NATURAL JOIN record WHERE place = ? AND tenant = ? AND due < ?",
                (place, tenant, now),
            ).fetchone()
            if row is not None and row[0] not in found:
                found.append(row[0])
        return found

    def overdue(self, now: float) -> int:
        """How many decisions of all tenants are orphans."""
        (count,) = self._db.execute("SELECT count(*) FROM waiting WHERE due < ?", (now,)).fetchone()
        return int(count)

    def restart(self) -> None:
        """Empties it: the log is not the one it was made from."""
        self.close()
        self._remove()
        self._db = self._opened()

    def close(self) -> None:
        self._db.close()

    def _pair(self, db: sqlite3.Connection, tenant: str, facts: Facts) -> None:
        if facts.opened is not None:
            early = db.execute("DELETE FROM early WHERE tenant = ? AND decision = ?", (tenant, facts.decision))
            if not early.rowcount:
                row = (tenant, facts.decision, facts.opened.due)
                db.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", row)
        if facts.closes:
            key = (tenant, facts.closes)
            if not db.execute("DELETE FROM waiting WHERE tenant = ? AND decision = ?", key).rowcount:
                db.execute("INSERT OR IGNORE INTO early VALUES (?, ?)", key)

    def _opened(self) -> sqlite3.Connection:
        if self._read_only:
            return sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, check_same_thread=False)
        try:
            return self._ready()
        except sqlite3.DatabaseError:
            self._remove()
            return self._ready()

    def _ready(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == VERSION:
                db.execute("SELECT size, last FROM position").fetchone()
                return db
            if version or db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise sqlite3.DatabaseError("an index of another version")
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def _remove(self) -> None:
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
