"""One statement on a SQLite file, in a thread: it touches no more than it was analysed to, and it can be stopped."""

import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.tool_executor.statement import Statement

Value = str | int | float | bytes | None

_STEPS = 2_000
"""Virtual machine steps between two looks at the time: about 20 microseconds."""
_LOCK_WAIT_S = 0.1
_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 1_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 20,
}
_FUNCTIONS_REFUSED = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "printf", "format"}
"""What reaches outside, and what may take for ever in one step that nothing interrupts."""


class QueryFailed(Exception):
    """The database's own words, for whoever wrote the statement."""


class QueryStopped(Exception):
    """Time was up or nobody waits any more. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`changed` is -1 for a statement that only reads. `truncated`: there were more rows, or longer ones."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    truncated: bool
    changed: int


@dataclass(frozen=True, slots=True)
class Caps:
    """`bytes_max` bounds the rows together, and one value by itself."""

    rows_max: int
    bytes_max: int


class SqliteQuery:
    """One execution; `run` blocks and belongs in a thread, `stop` may come from any other."""

    def __init__(
        self, path: Path, statement: Statement, parameters: Mapping[str, Value], caps: Caps, timeout_s: float
    ) -> None:
        """Time runs from here, not from `run`: waiting for a thread counts."""
        self._path = path
        self._statement = statement
        self._parameters = parameters
        self._caps = caps
        self._stopped = threading.Event()
        self._ends = time.monotonic() + timeout_s

    def stop(self) -> None:
        """Ends `run` within milliseconds."""
        self._stopped.set()

    def run(self) -> Rows:
        """Raises QueryFailed and QueryStopped; both mean that nothing was changed."""
        if self._over():
            raise QueryStopped
        try:
            connection = self._open()
        except sqlite3.Error as error:
            raise QueryFailed(f"the database cannot be opened ({error})") from None
        try:
            return self._execute(connection)
        except sqlite3.Error as error:
            if self._over():
                raise QueryStopped from None
            raise QueryFailed(str(error)) from None
        except OverflowError:
            raise QueryFailed("a number does not fit into 64 bits") from None
        finally:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        mode = "rw" if self._statement.writes else "ro"
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_LOCK_WAIT_S, isolation_level=None
        )
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(self._caps.bytes_max, 1_000_000))
        for limit, most in _LIMITS.items():
            connection.setlimit(limit, most)
        connection.set_progress_handler(self._over, _STEPS)
        return connection

    def _execute(self, connection: sqlite3.Connection) -> Rows:
        if not self._statement.writes:
            connection.execute("PRAGMA query_only = ON")
            return self._fetch(connection)
        self._begin(connection)
        try:
            rows = self._fetch(connection)
            connection.set_authorizer(None)
            if self._over():
                raise QueryStopped
            connection.execute("COMMIT")
        except BaseException:
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)
            connection.execute("ROLLBACK")
            raise
        return rows

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Waits for another writer as long as there is time."""
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or self._over():
                    raise

    def _fetch(self, connection: sqlite3.Connection) -> Rows:
        connection.set_authorizer(_Authorizer(connection, self._statement))
        cursor = connection.execute(self._statement.sql, self._parameters)
        columns = tuple(str(column[0]) for column in cursor.description or ())
        rows: list[tuple[Value, ...]] = []
        left, truncated = self._caps.bytes_max, False
        for row in cursor:
            left -= sum(_size(value) for value in row)
            if len(rows) == self._caps.rows_max or left < 0:
                truncated = True
                if not self._statement.writes:
                    break
                continue
            rows.append(row)
        return Rows(columns, rows, truncated, cursor.rowcount if self._statement.writes else -1)

    def _over(self) -> bool:
        """Asked by SQLite every so many steps: true stops the statement."""
        return self._stopped.is_set() or time.monotonic() >= self._ends


class _Authorizer:
    """Asked by SQLite while it prepares the statement, for each table and column it would touch."""

    def __init__(self, connection: sqlite3.Connection, statement: Statement) -> None:
        self._reads = {*statement.reads, *statement.writes}
        self._writes = set(statement.writes)
        self._guarded = statement.guarded
        schema = [
            (kind, name.lower(), table.lower())
            for kind, name, table in connection.execute("SELECT type, name, tbl_name FROM sqlite_master")
        ]
        self._known = {"sqlite_master", *(name for kind, name, _ in schema if kind in ("table", "view"))}
        self._inner = {
            name
            for kind, name, table in schema
            if (kind == "view" and name in self._reads) or (kind == "trigger" and table in self._writes)
        }

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, inner: str | None
    ) -> int:
        """`inner` is the view or trigger by which the statement gets there."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            refused = (second or "").lower() in _FUNCTIONS_REFUSED
            return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK
        table = (first or "").lower()
        if table in self._guarded and (inner or "").lower() in self._inner:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ:
            nothing = not second and table not in self._known  # a CTE of which no column is used
            return self._answer(nothing or table in self._reads, schema, inner)
        if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
            return self._answer(table in self._writes, schema, inner)
        return sqlite3.SQLITE_DENY

    def _answer(self, named: bool, schema: str | None, inner: str | None) -> int:
        allowed = named or (inner or "").lower() in self._inner
        return sqlite3.SQLITE_OK if allowed and schema in (None, "main") else sqlite3.SQLITE_DENY


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="replace")) + 2
    return len(value) if isinstance(value, bytes) else 8
