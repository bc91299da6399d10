"""SQL tools on a real SQLite file."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from penstock.contracts.tools import ToolResult
from services.tool_executor.check import BadArguments
from services.tool_executor.sql import SqlRunner
from services.tool_executor.sqlite import Caps, QueryFailed, SqliteQuery
from services.tool_executor.statement import Statement
from services.tool_executor.toolsfile import BadToolsFile, ToolEntry

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript(
        """
        CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price REAL, picture BLOB);
        INSERT INTO products VALUES (1, 'kettle', 19.5, x'00ff'), (2, 'teapot', 24, NULL), (3, 'cup', 4, NULL);
        CREATE TABLE customers (name TEXT, card TEXT);
        INSERT INTO customers VALUES ('Ada', '4111111111111111');
        CREATE VIEW cheap AS SELECT name FROM products WHERE price < 10;
        CREATE TABLE changes (what TEXT);
        CREATE TRIGGER noted AFTER UPDATE ON products BEGIN INSERT INTO changes VALUES (new.name); END;
        """
    )
    connection.close()
    return tmp_path


def entry(*, effect: str = "read", output_max_bytes: int = 10_000, **sql: object) -> ToolEntry:
    return msgspec.convert(
        {
            "name": "shop",
            "description": "d",
            "kind": "sql",
            "effect": effect,
            "output_max_bytes": output_max_bytes,
            "parameters": {"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]},
            "sql": {"database": "sqlite:shop.db", **sql},
        },
        ToolEntry,
    )


async def ask(
    folder: Path,
    threads: ThreadPoolExecutor,
    arguments: dict[str, object],
    tool: ToolEntry | None = None,
    *,
    timeout_s: float = 5.0,
) -> ToolResult:
    return await SqlRunner(tool or entry(), folder, threads).prepare(arguments).run(timeout_s)


async def test_rows_come_as_json_objects(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": "SELECT id, name, price, picture FROM products WHERE id < 3"})
    assert result.media_type == "application/json"
    assert msgspec.json.decode(result.content) == [
        {"id": 1, "name": "kettle", "price": 19.5, "picture": "[2 bytes]"},
        {"id": 2, "name": "teapot", "price": 24.0, "picture": None},
    ]


async def test_columns_of_one_name_are_kept_apart(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": "SELECT 1 AS a, 2 AS a, 3 AS a"})
    assert result.content == '[{"a":1,"a_2":2,"a_3":3}]'


async def test_an_argument_is_a_value_and_nothing_else(shop: Path, threads: ThreadPoolExecutor) -> None:
    tool = entry(statement="SELECT name FROM products WHERE name = :name")
    assert (await ask(shop, threads, {"name": "cup"}, tool)).content == '[{"name":"cup"}]'
    assert (await ask(shop, threads, {"name": "x' OR '1'='1"}, tool)).content == "[]"
    assert (await ask(shop, threads, {"name": ["cup"]}, tool)).content == "[]"


async def test_rows_beyond_the_cap_are_said_to_be_missing(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": "SELECT id FROM products"}, entry(rows_max=2))
    assert (result.content, result.truncated) == ('[{"id":1},{"id":2}]', True)


async def test_bytes_beyond_the_cap_are_said_to_be_missing(shop: Path, threads: ThreadPoolExecutor) -> None:
    hundred = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
    sql = f"{hundred} SELECT hex(zeroblob(50)) FROM n"
    result = await ask(shop, threads, {"sql": sql}, entry(output_max_bytes=1000))
    assert result.truncated
    assert len(msgspec.json.decode(result.content)) == 9


async def test_a_value_that_would_not_fit_into_memory_is_refused(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": "SELECT length(zeroblob(900000000))"})
    assert result == ToolResult("the database refused it: string or blob too big", is_error=True)


async def test_what_is_wrong_with_the_sql_is_a_result(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": "SELECT colour FROM products"})
    assert result == ToolResult("the database refused it: no such column: colour", is_error=True)


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM products", "DROP TABLE products", "PRAGMA user_version = 1", "SELECT 1; SELECT 2", "ATTACH 'x' AS x"],
)
async def test_a_tool_that_reads_runs_nothing_else(shop: Path, threads: ThreadPoolExecutor, sql: str) -> None:
    with pytest.raises(BadArguments):
        await ask(shop, threads, {"sql": sql})


async def test_a_table_outside_the_tools_list_is_refused(shop: Path, threads: ThreadPoolExecutor) -> None:
    tool = entry(tables=["products", "cheap"])
    with pytest.raises(BadArguments, match="may not touch customers; the tables are cheap, products"):
        await ask(shop, threads, {"sql": "SELECT * FROM products, customers"}, tool)
    assert (await ask(shop, threads, {"sql": "SELECT * FROM cheap"}, tool)).content == '[{"name":"cup"}]'


async def test_policy_is_told_the_tables(shop: Path, threads: ThreadPoolExecutor) -> None:
    prepared = SqlRunner(entry(), shop, threads).prepare({"sql": "SELECT * FROM products, Customers"})
    assert prepared.facts == {
        "columns": ["customers.*", "products.*"],
        "statements": ["SELECT"],
        "tables": ["customers", "products"],
        "tables_read": ["customers", "products"],
        "tables_written": [],
        "writes": False,
    }


async def test_a_statement_without_an_end_stops_at_the_time_out(shop: Path, threads: ThreadPoolExecutor) -> None:
    result = await ask(shop, threads, {"sql": SLOW}, timeout_s=0.2)
    assert result == ToolResult("no answer within 0.2 s; nothing was changed", is_error=True)


async def test_a_cancelled_statement_leaves_its_thread_within_a_second(shop: Path, threads: ThreadPoolExecutor) -> None:
    running = [asyncio.create_task(ask(shop, threads, {"sql": SLOW}, timeout_s=60)) for _ in range(4)]
    await asyncio.wait(running, timeout=0.1)
    for task in running:
        task.cancel()
    async with asyncio.timeout(1.0):
        await asyncio.wait(running)
    assert all(task.cancelled() for task in running)
    assert (await ask(shop, threads, {"sql": "SELECT 1 AS a"})).content == '[{"a":1}]'


async def test_a_write_is_made_where_the_tool_writes(shop: Path, threads: ThreadPoolExecutor) -> None:
    tool = entry(
        effect="idempotent", writes=True, statement="UPDATE products SET price = :price WHERE name = :name RETURNING id"
    )
    result = await ask(shop, threads, {"price": 5, "name": "cup"}, tool)
    assert result.content == '{"changed":1,"rows":[{"id":3}]}'
    assert (await ask(shop, threads, {"sql": "SELECT what FROM changes"})).content == '[{"what":"cup"}]'


async def test_a_write_that_fails_changes_nothing(shop: Path, threads: ThreadPoolExecutor) -> None:
    tool = entry(effect="idempotent", writes=True)
    result = await ask(shop, threads, {"sql": "INSERT INTO products (id, name) VALUES (9, 'a'), (1, 'b')"}, tool)
    assert result.is_error
    assert (await ask(shop, threads, {"sql": "SELECT count(*) AS n FROM products"})).content == '[{"n":3}]'


async def test_a_write_waits_for_another_writer_as_long_as_it_may(shop: Path, threads: ThreadPoolExecutor) -> None:
    other = sqlite3.connect(shop / "shop.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tool = entry(effect="idempotent", writes=True)
    result = await ask(shop, threads, {"sql": "DELETE FROM products"}, tool, timeout_s=0.3)
    other.close()
    assert result == ToolResult("no answer within 0.3 s; nothing was changed", is_error=True)


def test_a_table_that_the_analysis_missed_cannot_be_touched(shop: Path) -> None:
    for sql in ("SELECT * FROM customers", "SELECT name FROM products UNION SELECT card FROM customers"):
        query = SqliteQuery(shop / "shop.db", Statement(sql, "select", ("products",), ()), {}, Caps(10, 1000), 5.0)
        with pytest.raises(QueryFailed, match=r"access to customers\.\w+ is prohibited|not authorized"):
            query.run()


@pytest.mark.parametrize(
    "function", ["load_extension('x')", "readfile('/etc/passwd')", "printf('%.*c', 2000000000, 'x')"]
)
async def test_functions_that_reach_outside_or_never_end_are_refused(
    shop: Path, threads: ThreadPoolExecutor, function: str
) -> None:
    assert (await ask(shop, threads, {"sql": f"SELECT {function}"})).is_error


async def test_a_number_beyond_64_bits_is_a_result(shop: Path, threads: ThreadPoolExecutor) -> None:
    tool = entry(statement="SELECT :n AS n")
    result = await ask(shop, threads, {"n": 2**70}, tool)
    assert result == ToolResult("the database refused it: a number does not fit into 64 bits", is_error=True)


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (entry(database="mysql://x"), "write sqlite:PATH"),
        (entry(database="sqlite:none.db"), "there is no database file"),
        (entry(statement="DELETE FROM products"), "statement: this tool only reads"),
        (entry(writes=True), "it writes, so its effect is not `read`"),
        (entry(statement="SELECT * FROM customers", tables=["products"]), "may not touch customers"),
        (msgspec.structs.replace(entry(), parameters={"type": "object"}), "it has no statement"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    shop: Path, threads: ThreadPoolExecutor, tool: ToolEntry, says: str
) -> None:
    with pytest.raises(BadToolsFile, match=says):
        SqlRunner(tool, shop, threads)
