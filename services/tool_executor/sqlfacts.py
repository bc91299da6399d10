"""What policy is told of a SQL text: kinds of statements, tables, columns, and whether anything may change. Pure.

Told too much rather than too little: what cannot be read is taken to write, everywhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from penstock.contracts.policy import Fact

ANY = "*"
UNKNOWN = "UNKNOWN"
ITEMS_MAX = 200
"""More tables or columns than policy would take are as good as unknown."""
_CHANGES = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Drop,
    exp.Alter,
    exp.TruncateTable,
    exp.Copy,
    exp.LoadData,
    exp.Set,
    exp.Pragma,
    exp.Attach,
    exp.Detach,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    exp.Grant,
    exp.Kill,
    exp.Use,
    exp.Analyze,
    exp.Command,
)
_NAMES = {"truncatetable": "TRUNCATE", "loaddata": "LOAD", "command": UNKNOWN}
_PURE = frozenset(
    [
        "abs",
        "acos",
        "array_length",
        "asin",
        "atan",
        "avg",
        "bit_length",
        "btrim",
        "cardinality",
        "ceil",
        "char_length",
        "changes",
        "cot",
        "current_database",
        "current_schema",
        "current_setting",
        "date_part",
        "datetime",
        "degrees",
        "exp",
        "format",
        "format_date",
        "glob",
        "group_concat",
        "hex",
        "highlight",
        "ifnull",
        "instr",
        "isnull",
        "iif",
        "json",
        "json_array",
        "json_array_length",
        "json_each",
        "json_extract",
        "json_extract_path",
        "json_extract_path_text",
        "json_object",
        "json_patch",
        "json_quote",
        "json_remove",
        "json_replace",
        "json_set",
        "json_tree",
        "json_type",
        "json_valid",
        "jsonb_array_elements",
        "jsonb_array_length",
        "jsonb_each",
        "julianday",
        "last_insert_rowid",
        "left",
        "like",
        "likelihood",
        "likely",
        "log",
        "lpad",
        "ltrim",
        "max",
        "md5",
        "min",
        "mod",
        "nullif",
        "octet_length",
        "pi",
        "position",
        "pow",
        "printf",
        "quote",
        "radians",
        "random",
        "randomblob",
        "regexp_replace",
        "repeat",
        "replace",
        "reverse",
        "right",
        "round",
        "rowid",
        "rpad",
        "rtrim",
        "sha1",
        "sha256",
        "sign",
        "sin",
        "snippet",
        "soundex",
        "split_part",
        "sqlite_version",
        "sqrt",
        "strftime",
        "string_agg",
        "strpos",
        "substr",
        "substring",
        "sum",
        "tan",
        "time",
        "timediff",
        "to_char",
        "to_date",
        "to_number",
        "to_timestamp",
        "total",
        "trim",
        "trunc",
        "typeof",
        "unicode",
        "unixepoch",
        "unlikely",
        "upper",
        "version",
        "width_bucket",
        "zeroblob",
        "bm25",
    ]
)
"""Functions that sqlglot has no class for, and that change nothing. Any other name may do anything."""


@dataclass(frozen=True, slots=True)
class SqlFacts:
    """Names in lower case, kinds in upper case, all sorted. A column is `table.column`, `table.*` for all of a table,
    and where it may be of several tables it is told of each."""

    statements: tuple[str, ...]
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    writes: bool

    def told(self) -> dict[str, Fact]:
        """As facts of a question."""
        return {
            "statements": list(self.statements),
            "tables": list(self.tables),
            "columns": list(self.columns),
            "writes": self.writes,
        }


UNREADABLE = SqlFacts((UNKNOWN,), (ANY,), (ANY,), True)


def facts_of(sql: str, dialect: str) -> SqlFacts:
    """Of all the statements in `sql`. Never raises."""
    try:
        trees = sqlglot.parse(sql, dialect=dialect)
        if not trees or any(tree is None for tree in trees):
            return UNREADABLE
        return _told([tree for tree in trees if tree is not None])
    except (SqlglotError, RecursionError, ValueError):
        return UNREADABLE


def _told(trees: list[exp.Expr]) -> SqlFacts:
    statements: set[str] = set()
    tables: set[str] = set()
    columns: set[str] = set()
    writes = False
    for tree in trees:
        statements |= _kinds(tree)
        writes = writes or changes(tree)
        found, named = _touched(tree)
        tables |= found
        columns |= named
    if len(tables) > ITEMS_MAX or len(columns) > ITEMS_MAX:
        return UNREADABLE
    if UNKNOWN in statements:
        tables.add(ANY)
        columns.add(ANY)
    return SqlFacts(tuple(sorted(statements)), tuple(sorted(tables)), tuple(sorted(columns)), writes)


def changes(tree: exp.Expr) -> bool:
    """Whether anything in it may change something: a statement, SELECT INTO, a lock, a function that nobody knows."""
    return any(_changing(node) for node in tree.walk()) or not isinstance(tree, exp.Query | exp.Values)


def _changing(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() not in _PURE
    return isinstance(node, (*_CHANGES, exp.Into, exp.Lock, exp.NextValueFor))


def _kinds(tree: exp.Expr) -> set[str]:
    own = "SELECT" if isinstance(tree, exp.Query | exp.Values) else _kind(tree)
    return {own} | {_kind(node) for node in tree.walk() if isinstance(node, _CHANGES)}


def _kind(node: exp.Expr) -> str:
    return _NAMES.get(node.key, node.key.upper()) if isinstance(node, _CHANGES) else UNKNOWN


def _touched(tree: exp.Expr) -> tuple[set[str], set[str]]:
    """Tables, and columns of tables."""
    if any(one.args.get("field") is not None for one in tree.find_all(exp.In)):
        return {ANY}, {ANY}  # SQLite: `x IN table`
    if isinstance(tree, exp.Query) and not any(isinstance(node, _CHANGES) for node in tree.walk()):
        scopes = traverse_scope(tree)
        # sqlglot has no scopes for some shapes, such as a subquery in LIMIT
        if scopes and _covered(tree, scopes):
            return _by_scope(scopes)
    names = {table_name(table) for table in tree.find_all(exp.Table)}
    columns = {f"{name}.{column.name.lower()}" for column in tree.find_all(exp.Column) for name in names}
    named = {f"{name}.{one.name.lower()}" for one in _identifiers(tree) for name in names}
    whole = tree.find(exp.Star) is not None or isinstance(tree, exp.Delete) or not (columns or named)
    return names, columns | named | ({f"{name}.{ANY}" for name in names} if whole else set())


def _identifiers(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The columns that INSERT names."""
    for schema in tree.find_all(exp.Schema):
        yield from schema.expressions


def _covered(tree: exp.Expr, scopes: list[Scope]) -> bool:
    """Whether every table of the text is known to some scope, as a table or as a name for a subquery."""
    known = {id(table) for scope in scopes for table in scope.tables}
    return all(id(table) in known for table in tree.find_all(exp.Table))


def _by_scope(scopes: Iterable[Scope]) -> tuple[set[str], set[str]]:
    tables: set[str] = set()
    columns: set[str] = set()
    for scope in scopes:
        sources = {name: table_name(source) for name, source in _real(scope)}
        tables |= set(sources.values())
        for column in (*scope.columns, *scope.stars):
            columns |= {f"{table}.{_column(column)}" for table in _of(column, sources, scope)}
            if column.name in sources:  # PostgreSQL: the name of a table stands for its whole row
                columns.add(f"{sources[column.name]}.{ANY}")
        columns |= {f"{table}.{name}" for table in sources.values() for name in _joined(scope)}
        if any(isinstance(one, exp.Star) for one in getattr(scope.expression, "expressions", ())):
            columns |= {f"{table}.{ANY}" for table in sources.values()}
    return tables, columns


def _joined(scope: Scope) -> set[str]:
    """Columns that a join names without saying whose: all of them, for a natural one."""
    joins = scope.expression.args.get("joins") or ()
    named = {one.name.lower() for join in joins for one in join.args.get("using") or ()}
    return named | ({ANY} if any(join.method == "NATURAL" for join in joins) else set())


def _real(scope: Scope) -> Iterator[tuple[str, exp.Table]]:
    for name, source in scope.sources.items():
        if isinstance(source, exp.Table):
            yield name, source


def _of(column: exp.Expr, sources: dict[str, str], scope: Scope) -> list[str]:
    """The tables that a column may be of. A subquery's is told where the subquery takes it from."""
    qualifier = column.text("table")
    here = sources
    while True:
        if qualifier in here:
            return [here[qualifier]]
        if (qualifier and qualifier in scope.sources) or (not qualifier and here):
            return list(here.values()) if not qualifier else []
        if scope.parent is None:
            return list(sources.values())
        scope = scope.parent
        here = {name: table_name(table) for name, table in _real(scope)}


def _column(column: exp.Expr) -> str:
    return ANY if column.is_star else column.name.lower()


def table_name(table: exp.Table) -> str:
    """`name` or `schema.name`, in lower case; SQLite's own schema is left out. A function is `*`: it may be any."""
    if isinstance(table.this, exp.Func):
        return ANY
    schema = "" if table.db.lower() in ("", "main") else f"{table.db}."
    return f"{schema}{table.name}".lower()
