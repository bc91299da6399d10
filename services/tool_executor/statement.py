"""What a SQL statement touches, found before it runs. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

SQL_BYTES_MAX = 8 * 1024


class BadStatement(ValueError):
    """A statement that is not run; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and the tables it names, in lower case. Who runs it lets it touch these and no others, so that
    a table which this analysis missed is a refusal, not a leak. `guarded`: tables whose rows are filtered, and which
    no view and no trigger may read, since the filter is not in those."""

    sql: str
    verb: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    guarded: frozenset[str] = frozenset()


def analyse(sql: str, *, dialect: str, writes_allowed: bool) -> Statement:
    """Raises BadStatement for anything but one SELECT, or one INSERT, UPDATE or DELETE where writing is allowed."""
    if len(sql.encode()) > SQL_BYTES_MAX:
        raise BadStatement(f"the statement is longer than {SQL_BYTES_MAX} bytes")
    tree = _parse(sql, dialect)
    if isinstance(tree, exp.Query | exp.Values):
        if tree.find(exp.Into) is not None:
            raise BadStatement("SELECT INTO is not allowed")
        _refuse_hidden_writes(tree)
        return Statement(sql, "select", _names(_read_tables(tree)), ())
    if not isinstance(tree, exp.Insert | exp.Update | exp.Delete):
        raise BadStatement("only SELECT" + (", INSERT, UPDATE and DELETE" if writes_allowed else "") + " is allowed")
    if not writes_allowed:
        raise BadStatement("this tool only reads: write a SELECT")
    target = tree.this.find(exp.Table) if isinstance(tree.this, exp.Expr) else None
    if target is None:
        raise BadStatement("the statement names no table to write to")
    others = [table for table in tree.find_all(exp.Table) if table is not target]
    return Statement(sql, tree.key, _names(others), _names([target]))


def _parse(sql: str, dialect: str) -> exp.Expr:
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        why = " ".join(str(error).split())[:200] if isinstance(error, SqlglotError) else "it is nested too deeply"
        raise BadStatement(f"the statement cannot be read: {why}") from None
    if len(trees) != 1:
        raise BadStatement("write exactly one statement")
    return trees[0]


def _refuse_hidden_writes(tree: exp.Expr) -> None:
    """Some dialects allow a write inside WITH."""
    if tree.find(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Command) is not None:
        raise BadStatement("only SELECT is allowed")


def _read_tables(tree: exp.Expr) -> Iterable[exp.Table]:
    """By scope, so that the name of a CTE hides a table only where it really does."""
    if not isinstance(tree, exp.Query):
        yield from tree.find_all(exp.Table)
        return
    for scope in traverse_scope(tree):
        yield from (source for source in scope.sources.values() if isinstance(source, exp.Table))


def _names(tables: Iterable[exp.Table]) -> tuple[str, ...]:
    """Raises BadStatement for a table function, which is no table that a policy could name."""
    found = set()
    for table in tables:
        if isinstance(table.this, exp.Func):
            raise BadStatement(f"table functions such as {table.this.name} are not allowed")
        schema = "" if table.db.lower() in ("", "main") else f"{table.db}."
        found.add(f"{schema}{table.name}".lower())
    return tuple(sorted("sqlite_master" if name == "sqlite_schema" else name for name in found))
