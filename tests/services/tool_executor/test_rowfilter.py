"""Row filters: in every place that reads the table, or the statement is refused."""

import sqlite3

import pytest

from penstock.kit.obligations import Filter
from services.tool_executor.rowfilter import NotSure, filtered

EUROPE = [Filter("orders", "region = 'eu'")]
INSIDE = "(SELECT * FROM orders WHERE (region = 'eu'))"


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT * FROM orders", f"SELECT * FROM {INSIDE} AS orders"),
        ("SELECT o.id FROM users, orders AS o", f"SELECT o.id FROM users CROSS JOIN {INSIDE} AS o"),
        ("SELECT id FROM u WHERE id IN (SELECT id FROM orders)", f"(SELECT id FROM {INSIDE} AS orders)"),
        ("WITH x AS (SELECT * FROM orders) SELECT * FROM x", f"WITH x AS (SELECT * FROM {INSIDE} AS orders)"),
        ("SELECT 1 FROM a UNION SELECT 1 FROM Orders", "(SELECT * FROM Orders WHERE (region = 'eu')) AS Orders"),
        ("SELECT 1 FROM [orders]", """(SELECT * FROM "orders" WHERE (region = 'eu')) AS "orders" """.strip()),
        ("SELECT (SELECT max(id) FROM orders) m", f"(SELECT MAX(id) FROM {INSIDE} AS orders) AS m"),
        ("SELECT id FROM orders WHERE id = :id", f"{INSIDE} AS orders WHERE id = :id"),
        ("DELETE FROM orders", "DELETE FROM orders WHERE (orders.region = 'eu')"),
        (
            "DELETE FROM orders WHERE id = 1 OR 1 = 1",
            "DELETE FROM orders WHERE (id = 1 OR 1 = 1) AND (orders.region = 'eu')",
        ),
        ("UPDATE orders AS o SET total = 1", "UPDATE orders AS o SET total = 1 WHERE (o.region = 'eu')"),
        ("INSERT INTO t SELECT id FROM orders", f"INSERT INTO t SELECT id FROM {INSIDE} AS orders"),
        ("SELECT * FROM users", "SELECT * FROM users"),
    ],
)
def test_the_condition_stands_around_every_reference(sql: str, written: str) -> None:
    assert written in filtered(sql, EUROPE, "sqlite")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", "WITH names orders"),
        ("SELECT 1 FROM t WHERE 1 IN orders", "IN takes a list"),
        ("SELECT * FROM temp.orders", "under another schema"),
        ("SELECT * FROM orders INDEXED BY i", "cannot be filtered"),
        ("SELECT * FROM t JOIN (orders o JOIN u) ON 1", "cannot be filtered"),
        ("SELECT * FROM json_each('[]')", "a function in place of a table"),
        ("INSERT INTO orders VALUES (1)", "not added"),
        ("UPDATE orders SET region = 'us'", "region decides which rows"),
        ("REPLACE INTO orders VALUES (1)", "only SELECT, INSERT"),
        ("SELECT 1; SELECT 2", "only one statement"),
        ("DROP TABLE orders", "only SELECT, INSERT"),
        ("SELECT (", "cannot be read"),
    ],
)
def test_a_statement_that_cannot_be_filtered_for_sure_is_refused(sql: str, why: str) -> None:
    with pytest.raises(NotSure, match=why):
        filtered(sql, EUROPE, "sqlite")


@pytest.mark.parametrize(
    "condition",
    ["1=1) OR (1=1", "x IN (SELECT 1)", "count(*) > 1", "evil(x) = 1", "o.region = 'eu'", "x = :p", "SELECT 1", ""],
)
def test_a_filter_is_a_condition_on_its_own_columns(condition: str) -> None:
    with pytest.raises(NotSure):
        filtered("SELECT * FROM orders", [Filter("orders", condition)], "sqlite")


def test_filters_of_one_table_all_hold() -> None:
    filters = [*EUROPE, Filter("orders", "total < 9 OR id = 1")]
    written = filtered("SELECT * FROM orders", filters, "sqlite")
    assert "WHERE (region = 'eu') AND (total < 9 OR id = 1)" in written


def test_the_table_may_be_named_with_sqlites_own_schema() -> None:
    written = filtered("SELECT * FROM orders", [Filter("main.orders", "region = 'eu'")], "sqlite")
    assert written == f"SELECT * FROM {INSIDE} AS orders"


def test_no_shape_of_a_query_sees_another_row() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE orders (id, region); INSERT INTO orders VALUES (1,'eu'),(2,'us'); CREATE TABLE t (k);"
        "INSERT INTO t VALUES (1),(2);"
    )
    shapes = [
        "SELECT id FROM orders",
        "SELECT a.id FROM orders a LEFT JOIN orders b ON a.id = b.id",
        "SELECT b.id FROM t LEFT JOIN orders b ON b.id = t.k",
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM orders WHERE id = k)",
        "SELECT max(id) FROM orders GROUP BY region HAVING count(*) > 0",
        "SELECT id FROM (SELECT id FROM (SELECT * FROM orders))",
        "WITH RECURSIVE n(i) AS (SELECT id FROM orders UNION SELECT i FROM n) SELECT i FROM n",
        "SELECT CASE WHEN (SELECT count(*) FROM orders) = 1 THEN 1 ELSE 2 END",
        "SELECT id FROM orders EXCEPT SELECT 1 UNION SELECT id FROM orders",
        "SELECT row_number() OVER (ORDER BY id) FROM orders",
    ]
    for sql in shapes:
        seen = {value for row in connection.execute(filtered(sql, EUROPE, "sqlite")) for value in row}
        assert seen <= {1, None}, sql
