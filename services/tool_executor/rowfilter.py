"""Row filters put into a statement: every place that reads a filtered table reads only its rows. Pure.

A statement of which that cannot be said for sure is refused.
"""

from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from penstock.kit.obligations import Filter
from services.tool_executor.sqlfacts import changes, table_name

_PLAIN = frozenset({"this", "db", "catalog", "alias"})
"""What a reference to a table may have. Anything else (a sample, a hint, an index) is not moved around a subquery."""


class NotSure(ValueError):
    """The statement cannot be held to the filters; the text says why."""


def filtered(sql: str, filters: Iterable[Filter], dialect: str) -> str:
    """The statement with the conditions in it; itself where it touches no filtered table. Raises NotSure."""
    tree = _parse(sql, dialect)
    wanted = _conditions(filters, dialect)
    places = [table for table in tree.find_all(exp.Table) if table_name(table) in wanted]
    _refuse_unsure(tree, wanted)
    if not places:
        return sql
    target = tree.this if isinstance(tree, exp.Update | exp.Delete) else None
    if isinstance(tree, exp.Insert) and any(_is_target(tree, place) for place in places):
        raise NotSure("rows of a filtered table may be read, changed and deleted, but not added")
    for place in places:
        if place is not target:
            place.replace(_inside(place, wanted[table_name(place)]))
    if target is not None and table_name(target) in wanted:
        _narrow(tree, target, wanted[table_name(target)])
    written = tree.sql(dialect=dialect)
    _prove(written, wanted, dialect)
    return written


def _parse(sql: str, dialect: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(sql, dialect=dialect)
    except (SqlglotError, RecursionError):
        raise NotSure("a statement that cannot be read cannot be filtered") from None
    if len(trees) != 1 or trees[0] is None:
        raise NotSure("only one statement at a time can be filtered")
    return trees[0]


def _conditions(filters: Iterable[Filter], dialect: str) -> dict[str, exp.Expr]:
    """One condition a table. Raises NotSure for one that is more than a comparison of its own columns."""
    found: dict[str, exp.Expr] = {}
    for one in filters:
        condition = _parse(one.condition, dialect)
        odd = condition.find(exp.Query, exp.AggFunc, exp.Window, exp.Placeholder, exp.Parameter, exp.Star, exp.Alias)
        if not isinstance(condition, exp.Condition) or odd is not None or _changing(condition):
            raise NotSure(f"the filter of {one.table} is no condition on its own columns")
        if any(column.table for column in condition.find_all(exp.Column)):
            raise NotSure(f"the filter of {one.table} names a table; write its columns alone")
        condition = exp.paren(condition)
        table = one.table.removeprefix("main.")
        before = found.get(table)
        found[table] = condition if before is None else exp.and_(before, condition, copy=False)
    return found


def _changing(condition: exp.Expr) -> bool:
    return changes(exp.select(condition.copy()))


def _refuse_unsure(tree: exp.Expr, wanted: Mapping[str, exp.Expr]) -> None:
    names = {name.rpartition(".")[2] for name in wanted}
    for inner in tree.find_all(exp.CTE):
        if inner.alias.lower() in names:
            raise NotSure(f"WITH names {inner.alias}, which is a filtered table; choose another name")
    for one in tree.find_all(exp.In):
        if one.args.get("field") is not None:
            raise NotSure("IN takes a list or a subquery in parentheses")
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            raise NotSure("a function in place of a table may read a filtered one")
        if table.name.lower() in names and table_name(table) not in wanted:
            raise NotSure(f"{table_name(table)} may be the filtered table under another schema")
    if not isinstance(tree, exp.Query | exp.Values | exp.Insert | exp.Update | exp.Delete):
        raise NotSure("only SELECT, INSERT, UPDATE and DELETE can be filtered")


def _is_target(tree: exp.Insert, place: exp.Table) -> bool:
    return any(place is table for table in (tree.this, *tree.this.find_all(exp.Table)))


def _inside(place: exp.Table, condition: exp.Expr) -> exp.Expr:
    """`(SELECT * FROM table WHERE condition) AS name`. Under its schema, so that no WITH can stand in for it."""
    odd = {name for name, value in place.args.items() if value} - _PLAIN
    if odd:
        raise NotSure(f"{place.name} is read with {', '.join(sorted(odd))}, which cannot be filtered")
    alias = place.args.get("alias") or exp.TableAlias(this=place.this.copy())
    table = exp.Table(this=place.this.copy(), db=place.args.get("db"), catalog=place.args.get("catalog"))
    return exp.Subquery(this=exp.select("*").from_(table).where(condition.copy()), alias=alias.copy())


def _narrow(tree: exp.Expr, place: exp.Table, condition: exp.Expr) -> None:
    """UPDATE and DELETE touch the filter's rows alone, and leave them within the filter."""
    own = {column.name.lower() for column in condition.find_all(exp.Column)}
    for change in tree.args.get("expressions") or ():
        for column in change.this.find_all(exp.Column) if isinstance(change, exp.EQ) else ():
            if column.name.lower() in own:
                raise NotSure(f"{column.name} decides which rows may be touched, and may not be changed")
        if not isinstance(change, exp.EQ):
            raise NotSure("UPDATE takes `column = value` only, where rows are filtered")
    name = place.args["alias"].this if place.args.get("alias") else place.this
    qualified = condition.copy()
    for column in qualified.find_all(exp.Column):
        column.set("table", name.copy())
    where = tree.args.get("where")
    tree.set("where", exp.Where(this=qualified if where is None else exp.and_(where.this, qualified, copy=False)))


def _prove(written: str, wanted: Mapping[str, exp.Expr], dialect: str) -> None:
    """Read anew, every reference to a filtered table stands right inside its filter."""
    tree = _parse(written, dialect)
    target = tree.this if isinstance(tree, exp.Update | exp.Delete) else None
    for table in tree.find_all(exp.Table):
        condition = wanted.get(table_name(table))
        if condition is None:
            continue
        if table is target:
            continue
        select = table.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        if where is None or where.this != condition or select is None or select.args.get("joins"):
            raise NotSure("the filter cannot be put around every place that reads the table")
