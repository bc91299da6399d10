"""What a statement touches."""

import pytest

from services.tool_executor.statement import BadStatement, analyse


def reads(sql: str) -> tuple[str, ...]:
    return analyse(sql, dialect="sqlite", writes_allowed=False).reads


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", ()),
        ("VALUES (1, 2)", ()),
        ("SELECT * FROM Orders o JOIN main.lines USING (id)", ("lines", "orders")),
        ("SELECT * FROM a WHERE x IN (SELECT y FROM b) UNION SELECT z FROM c", ("a", "b", "c")),
        ("WITH t AS (SELECT * FROM secret) SELECT * FROM t", ("secret",)),
        ("SELECT * FROM secret, (WITH secret AS (SELECT 1) SELECT * FROM secret)", ("secret",)),
        ("SELECT (SELECT max(x) FROM a) FROM b WHERE EXISTS (SELECT 1 FROM c)", ("a", "b", "c")),
        ('SELECT * FROM "My Table" -- DROP TABLE x', ("my table",)),
        ("SELECT sql FROM sqlite_schema", ("sqlite_master",)),
        ("SELECT * FROM temp.x", ("temp.x",)),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 3", ()),
        ("SELECT * FROM a;", ("a",)),
    ],
)
def test_the_tables_of_a_select_are_found(sql: str, tables: tuple[str, ...]) -> None:
    assert reads(sql) == tables


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("", "exactly one statement"),
        ("SELECT 1; SELECT 2", "exactly one statement"),
        ("SELECT 1; DROP TABLE a", "exactly one statement"),
        ("DELETE FROM a", "only reads"),
        ("INSERT INTO a VALUES (1)", "only reads"),
        ("UPDATE a SET x = 1", "only reads"),
        ("DROP TABLE a", "only SELECT is allowed"),
        ("CREATE TABLE a (x)", "only SELECT is allowed"),
        ("PRAGMA table_info(a)", "only SELECT is allowed"),
        ("ATTACH 'x.db' AS x", "only SELECT is allowed"),
        ("VACUUM INTO 'x.db'", "only SELECT is allowed"),
        ("BEGIN", "only SELECT is allowed"),
        ("EXPLAIN SELECT 1", "only SELECT is allowed"),
        ("SELECT * INTO b FROM a", "SELECT INTO"),
        ("SELECT * FROM pragma_table_info('a')", "table functions"),
        ("SELECT FROM WHERE", "cannot be read"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "longer than|nested too deeply|cannot be read"),
        ("SELECT '" + "x" * 9000 + "'", "longer than 8192 bytes"),
    ],
)
def test_anything_but_one_select_is_refused(sql: str, says: str) -> None:
    with pytest.raises(BadStatement, match=says):
        reads(sql)


@pytest.mark.parametrize(
    ("sql", "written", "read"),
    [
        ("INSERT INTO a (x) SELECT y FROM b", ("a",), ("b",)),
        ("UPDATE a SET x = (SELECT max(y) FROM b) WHERE z = :z", ("a",), ("b",)),
        ("DELETE FROM a WHERE x = :x RETURNING y", ("a",), ()),
    ],
)
def test_a_write_names_its_target_apart(sql: str, written: tuple[str, ...], read: tuple[str, ...]) -> None:
    statement = analyse(sql, dialect="sqlite", writes_allowed=True)
    assert (statement.writes, statement.reads) == (written, read)


@pytest.mark.parametrize(
    "sql", ["DROP TABLE a", "CREATE TABLE a (x)", "PRAGMA user_version = 1", "REPLACE INTO a VALUES (1)"]
)
def test_a_tool_that_writes_still_changes_rows_only(sql: str) -> None:
    with pytest.raises(BadStatement):
        analyse(sql, dialect="sqlite", writes_allowed=True)
