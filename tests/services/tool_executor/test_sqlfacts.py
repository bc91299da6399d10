"""What policy is told of a statement: never less than it touches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tool_executor.sqlfacts import UNREADABLE, facts_of


@pytest.mark.parametrize(
    ("dialect", "sql", "tables", "columns"),
    [
        ("sqlite", "SELECT id, total FROM orders", "orders", "orders.id orders.total"),
        ("sqlite", "SELECT * FROM orders", "orders", "orders.*"),
        ("sqlite", "SELECT x.* FROM orders x", "orders", "orders.*"),
        ("postgres", "SELECT orders FROM orders", "orders", "orders.* orders.orders"),
        ("sqlite", 'SELECT "a b" FROM "Weird Name"', "weird name", "weird name.a b"),
        ("mysql", "SELECT `a` FROM `T` -- x\n", "t", "t.a"),
        ("tsql", "SELECT [a] FROM [dbo].[T]", "dbo.t", "dbo.t.a"),
        ("bigquery", "SELECT a FROM `p.d.t`", "d.t", "d.t.a"),
        ("sqlite", "SELECT a /* , secret FROM other */ FROM t", "t", "t.a"),
        ("sqlite", "SELECT o.id FROM orders o JOIN users u ON u.k = o.k", "orders users", "orders.id orders.k users.k"),
        ("sqlite", "SELECT a FROM t JOIN u USING (k)", "t u", "t.a t.k u.a u.k"),
        ("sqlite", "SELECT a FROM t NATURAL JOIN u", "t u", "t.* t.a u.* u.a"),
        ("sqlite", "WITH x AS (SELECT a FROM t) SELECT a FROM x UNION SELECT b FROM u", "t u", "t.a u.b"),
        ("sqlite", "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.s)", "a b", "a.s b.x"),
        ("sqlite", "SELECT 1 LIMIT (SELECT x FROM hidden)", "hidden", "hidden.x"),
        ("sqlite", "SELECT (SELECT max(pay) FROM staff) AS m", "staff", "staff.pay"),
        ("sqlite", "SELECT a FROM t WHERE a IN u", "*", "*"),
        ("sqlite", "SELECT a FROM t ORDER BY pay", "t", "t.a t.pay"),
        ("sqlite", "VALUES (1)", "", ""),
    ],
)
def test_tables_and_columns_are_told_through_all_that_hides_them(
    dialect: str, sql: str, tables: str, columns: str
) -> None:
    told = facts_of(sql, dialect)
    assert (" ".join(told.tables), " ".join(told.columns)) == (tables, columns)
    assert (told.statements, told.writes) == (("SELECT",), False)


@pytest.mark.parametrize(
    ("dialect", "sql", "statements"),
    [
        ("sqlite", "INSERT INTO t (a) SELECT b FROM u", "INSERT"),
        ("sqlite", "UPDATE t SET a = 1", "UPDATE"),
        ("sqlite", "DELETE FROM t", "DELETE"),
        ("sqlite", "DROP TABLE t", "DROP"),
        ("sqlite", "PRAGMA writable_schema = 1", "PRAGMA"),
        ("sqlite", "ATTACH 'x' AS y", "ATTACH"),
        ("sqlite", "SELECT 1; DROP TABLE t", "DROP SELECT"),
        ("sqlite", "EXPLAIN SELECT 1", "UNKNOWN"),
        ("postgres", "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "DELETE SELECT"),
        ("postgres", "COPY t TO '/tmp/x'", "COPY"),
        ("postgres", "CALL f()", "UNKNOWN"),
        ("postgres", "SELECT nextval('s')", "SELECT"),
        ("postgres", "SELECT pg_sleep(9)", "SELECT"),
        ("postgres", "SELECT a FROM t FOR UPDATE", "SELECT"),
        ("tsql", "SELECT * INTO x FROM t", "SELECT"),
        ("mysql", "SELECT load_file('/etc/passwd')", "SELECT"),
        ("snowflake", "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "MERGE"),
    ],
)
def test_whatever_may_change_something_is_told_to_write(dialect: str, sql: str, statements: str) -> None:
    told = facts_of(sql, dialect)
    assert told.writes
    assert " ".join(told.statements) == statements


@pytest.mark.parametrize("sql", ["", ";", "SELECT (", "nonsense $$$ (", "SELECT " + "(" * 5000])
def test_what_cannot_be_read_may_do_anything(sql: str) -> None:
    assert facts_of(sql, "sqlite") == UNREADABLE


def test_more_tables_than_policy_takes_are_any() -> None:
    assert facts_of("SELECT 1 FROM " + ", ".join(f"t{n}" for n in range(201)), "sqlite") == UNREADABLE


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60))
def test_any_text_has_facts(text: str) -> None:
    facts_of(text, "sqlite")
    facts_of(f"SELECT {text} FROM t", "postgres")
