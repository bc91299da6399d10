"""SQL tools: a fixed statement with named parameters, or the model's own, analysed before policy is asked."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Fact
from penstock.contracts.tools import ToolResult
from services.tool_executor.check import BadArguments
from services.tool_executor.request import text_of
from services.tool_executor.rowfilter import NotSure, filtered
from services.tool_executor.runner import FREE, Bounds, OutOfBounds, Prepared
from services.tool_executor.schema import properties, required
from services.tool_executor.sqlfacts import facts_of
from services.tool_executor.sqlite import Caps, QueryFailed, QueryStopped, Rows, SqliteQuery, Value
from services.tool_executor.statement import SQL_BYTES_MAX, BadStatement, Statement, analyse
from services.tool_executor.toolsfile import BadToolsFile, ToolEntry

_GRACE_S = 0.8
"""A statement that is stopped has so long to say so."""
_FREE = "sql"
"""The argument that holds the statement of a tool which has none of its own."""
_DIALECT = "sqlite"


class SqlRunner:
    """One SQL tool. `folder` is where relative paths begin; `threads` bounds how many statements run at once."""

    honours = frozenset({"filter", "read_only", "max_rows"})

    def __init__(self, entry: ToolEntry, folder: Path, threads: ThreadPoolExecutor) -> None:
        """Raises BadToolsFile."""
        if entry.sql is None:
            raise BadToolsFile("settings under `sql:` are missing")
        self._settings = entry.sql
        self._caps = Caps(entry.sql.rows_max, entry.output_max_bytes)
        self._path = _path(entry.sql.database, folder)
        self._tables = {table.lower() for table in entry.sql.tables}
        self._threads = threads
        self._fixed: Statement | None = None
        if entry.effect == "read" and entry.sql.writes:
            raise BadToolsFile("it writes, so its effect is not `read`; write `effect: once` or `effect: idempotent`")
        if entry.sql.statement:
            try:
                self._fixed = self._analyse(entry.sql.statement)
            except BadStatement as error:
                raise BadToolsFile(f"statement: {error}") from None
        elif _FREE not in properties(entry.parameters) or _FREE not in required(entry.parameters):
            raise BadToolsFile("it has no statement; write one, or name `sql` as a required argument of type string")

    def prepare(self, arguments: Mapping[str, object], key: str = "", bounds: Bounds = FREE) -> Prepared:
        statement = self._fixed
        parameters = {} if statement is None else _parameters(arguments)
        if statement is None:
            sql = text_of(arguments.get(_FREE, ""))
            try:
                statement = self._analyse(sql)
            except BadStatement as error:
                raise BadArguments(str(error), facts_of(sql[:SQL_BYTES_MAX], _DIALECT).told()) from None
        facts: dict[str, Fact] = {
            "tables_read": list(statement.reads),
            "tables_written": list(statement.writes),
        }
        told = facts_of(statement.sql, _DIALECT)
        facts |= told.told()
        facts["tables"] = sorted({*told.tables, *statement.reads, *statement.writes})
        if bounds.read_only and told.writes:
            raise OutOfBounds("only reading is allowed here, and the statement may change something")
        held = self._held_to(statement, bounds)
        caps = self._caps
        if bounds.rows_max:
            caps = replace(caps, rows_max=min(caps.rows_max, bounds.rows_max))
        guarded = frozenset(one.table.removeprefix("main.") for one in bounds.filters)
        return Prepared(facts, partial(self._run, replace(held, guarded=guarded), parameters, caps))

    def _held_to(self, statement: Statement, bounds: Bounds) -> Statement:
        """The statement with the filters in it, which touches what it touched before. Raises OutOfBounds."""
        if not bounds.filters:
            return statement
        try:
            held = self._analyse(filtered(statement.sql, bounds.filters, _DIALECT))
        except (NotSure, BadStatement) as error:
            raise OutOfBounds(f"only some rows may be seen here: {error}") from None
        if (held.reads, held.writes) != (statement.reads, statement.writes):
            raise OutOfBounds("only some rows may be seen here, and the statement cannot be held to them")
        return held

    async def _run(
        self, statement: Statement, parameters: dict[str, Value], caps: Caps, timeout_s: float
    ) -> ToolResult:
        query = SqliteQuery(self._path, statement, parameters, caps, timeout_s)
        work = self._threads.submit(query.run)
        ended = asyncio.wrap_future(work)
        ended.add_done_callback(lambda it: it.cancelled() or it.exception())  # seen, even when nobody waits any more
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                rows = await asyncio.shield(ended)
        except asyncio.CancelledError:
            query.stop()
            work.cancel()
            await asyncio.wait([ended], timeout=_GRACE_S)
            raise
        except TimeoutError:
            query.stop()
            if statement.writes:
                raise Failure(Code.UNKNOWN_OUTCOME, f"the database did not stop within {timeout_s:g} s") from None
            return _too_late(timeout_s)
        except QueryStopped:
            return _too_late(timeout_s)
        except QueryFailed as error:
            return ToolResult(f"the database refused it: {error}", is_error=True)
        return _result(rows)

    async def close(self) -> None:
        """Connections live no longer than their statement."""

    def _analyse(self, sql: str) -> Statement:
        statement = analyse(sql, dialect=_DIALECT, writes_allowed=self._settings.writes)
        beyond = {*statement.reads, *statement.writes} - self._tables if self._tables else set()
        if beyond:
            raise BadStatement(
                f"it may not touch {', '.join(sorted(beyond))}; the tables are {', '.join(sorted(self._tables))}"
            )
        return statement


def _path(database: str, folder: Path) -> Path:
    scheme, _, rest = database.partition(":")
    if scheme != "sqlite" or not rest:
        raise BadToolsFile(f"database {database!r} is not known; write sqlite:PATH")
    path = folder / rest
    if not path.is_file():
        raise BadToolsFile(f"there is no database file {path}")
    return path


def _parameters(arguments: Mapping[str, object]) -> dict[str, Value]:
    """Texts and numbers as they are, true as 1, lists and objects as JSON."""
    return {name: _value(value) for name, value in arguments.items()}


def _value(value: object) -> Value:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return text_of(value)


def _result(rows: Rows) -> ToolResult:
    names = _distinct(rows.columns)
    objects = [dict(zip(names, map(_shown, row), strict=True)) for row in rows.rows]
    body: object = objects
    if rows.changed >= 0:
        body = {"changed": rows.changed, "rows": objects} if names else {"changed": rows.changed}
    return ToolResult(msgspec.json.encode(body).decode(), truncated=rows.truncated, media_type="application/json")


def _too_late(timeout_s: float) -> ToolResult:
    return ToolResult(f"no answer within {timeout_s:g} s; nothing was changed", is_error=True)


def _shown(value: Value) -> Value:
    return f"[{len(value)} bytes]" if isinstance(value, bytes) else value


def _distinct(columns: tuple[str, ...]) -> list[str]:
    """Two columns may have one name; an object's members may not."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names
