"""Obligations on tools under the real policy service: what the tool gets, what the caller gets, what is recorded."""

import sqlite3

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.tool_executor.conftest import Json, Plane
from tests.support.eventually import eventually

REDACTED = """
@id("no-addresses")
@obligation("redact:EMAIL")
permit (principal, action == Action::"tool.call", resource);
"""
ALIASED = """
@id("aliases")
@obligation("pseudonymise:EMAIL")
permit (principal, action == Action::"tool.call", resource);
"""
SET = """
@id("set")
@obligation("set:limit=2")
permit (principal, action == Action::"tool.call", resource);
"""
SET_BADLY = """
@id("set")
@obligation("set:limit=\\"many\\"")
permit (principal, action == Action::"tool.call", resource);
"""
FILTERED = """
@id("europe")
@obligation("filter:orders:region = 'eu'; max_rows:2")
permit (principal, action == Action::"tool.call", resource);
"""
READ_ONLY = """
@id("read-only")
@obligation("read_only")
permit (principal, action == Action::"tool.call", resource);
"""
FACTS = """
@id("large")
@reason("too large")
forbid (principal, action == Action::"tool.call", resource)
when { context has columns && context.columns.containsAny(["orders.total", "orders.*"]) };
@id("paths")
@reason("not there")
forbid (principal, action == Action::"tool.call", resource)
when { context has path && context.path like "/secret*" };
@id("cards")
@reason("no cards")
forbid (principal, action == Action::"tool.call", resource)
when { context has personal && context.personal.contains("CARD") };
@id("tainted")
@reason("it has read things")
forbid (principal, action == Action::"tool.call", resource)
when { context has taint && context.taint.contains("web") };
"""
TEXT: Json = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
LIMIT: Json = {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}
SQL: Json = {"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]}


def shop(plane: Plane, **more: object) -> None:
    connection = sqlite3.connect(plane.folder / "shop.db")
    connection.executescript(
        "CREATE TABLE orders (id INTEGER, region TEXT, total INTEGER);"
        "INSERT INTO orders VALUES (1, 'eu', 5), (2, 'us', 6), (3, 'eu', 7), (4, 'eu', 8);"
        "CREATE VIEW everything AS SELECT * FROM orders;"
        "CREATE TABLE mails (address TEXT); INSERT INTO mails VALUES ('alice@example.com');"
    )
    connection.close()
    plane.tool("shop", kind="sql", parameters=SQL, sql={"database": "sqlite:shop.db", **more})


@pytest.mark.policies(REDACTED)
async def test_arguments_and_results_are_redacted(plane: Plane) -> None:
    plane.tool("look", parameters=TEXT, http={"query": {"q": "{q}"}})
    shop(plane)
    async with plane.executor():
        await plane.call("look", {"q": "who is bob@example.org?"})
        result = await plane.call("shop", {"sql": "SELECT address FROM mails"})
        outcomes = await plane.outcomes(2)
    assert plane.site.queries == [{"q": "who is [EMAIL]?"}]
    assert msgspec.json.decode(result.content) == [{"address": "[EMAIL]"}]
    assert [outcome.applied for outcome in outcomes] == [{"redact_input:EMAIL": 1}, {"redact_output:EMAIL": 1}]


@pytest.mark.policies(ALIASED)
async def test_a_placeholder_goes_to_the_tool_and_comes_back_as_what_it_stands_for(plane: Plane) -> None:
    plane.tool("look", parameters=TEXT, http={"query": {"q": "{q}"}})
    async with plane.executor():
        result = await plane.call("look", {"q": "bob@example.org"})
    [query] = plane.site.queries
    assert query["q"].startswith("[EMAIL_1_")
    assert result.content == "visit 1"


@pytest.mark.policies(SET)
async def test_an_argument_is_set_by_policy(plane: Plane) -> None:
    plane.tool("look", parameters=LIMIT, http={"query": {"limit": "{limit}"}})
    async with plane.executor():
        await plane.call("look", {"limit": 500})
        [outcome] = await plane.outcomes(1)
    assert plane.site.queries == [{"limit": "2"}]
    assert outcome.applied == {"set:limit": 1}


@pytest.mark.policies(SET_BADLY)
async def test_what_policy_sets_is_checked_like_any_argument(plane: Plane) -> None:
    plane.tool("look", parameters=LIMIT, http={"query": {"limit": "{limit}"}})
    async with plane.executor():
        result = await plane.call("look", {"limit": 5})
    assert result.is_error
    assert result.content.startswith("after policy changed the arguments: ")
    assert plane.site.visits == 0


@pytest.mark.policies(FILTERED)
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id FROM orders", [1, 3]),
        ("SELECT o.id FROM mails, orders AS o", [1, 3]),
        ("WITH x AS (SELECT id FROM orders WHERE region <> 'eu') SELECT id FROM x", []),
        ("SELECT id FROM orders WHERE id = 2 OR 1 = 1 ORDER BY id DESC", [4, 3]),
        ("SELECT count(*) AS id FROM (SELECT * FROM orders UNION ALL SELECT * FROM main.Orders)", [6]),
        ("SELECT (SELECT max(total) FROM orders WHERE region = 'us') AS id", [None]),
    ],
)
async def test_only_the_filters_rows_are_seen(plane: Plane, sql: str, rows: list[int | None]) -> None:
    shop(plane)
    async with plane.executor():
        result = await plane.call("shop", {"sql": sql})
        [outcome] = await plane.outcomes(1)
    assert [row["id"] for row in msgspec.json.decode(result.content)] == rows
    assert outcome.applied == {"filter:orders": 1, "max_rows": 1}


@pytest.mark.policies(FILTERED)
async def test_a_view_does_not_get_around_a_filter_and_what_cannot_be_filtered_is_refused(plane: Plane) -> None:
    shop(plane)
    async with plane.executor():
        around = await plane.call("shop", {"sql": "SELECT id FROM everything"})
        with pytest.raises(Failure, match="only some rows may be seen here") as refused:
            await plane.call("shop", {"sql": "WITH orders AS (SELECT 1 AS id) SELECT id FROM orders"})
        statuses = [(outcome.status, outcome.code) for outcome in await plane.outcomes(2)]
    assert (around.is_error, "prohibited" in around.content or "not authorized" in around.content) == (True, True)
    assert refused.value.code is Code.DENIED
    assert statuses == [("error", "upstream"), ("error", "denied")]


@pytest.mark.policies(FILTERED)
async def test_a_filter_on_a_tool_that_has_no_rows_refuses_it(plane: Plane) -> None:
    plane.tool("look")
    async with plane.executor():
        with pytest.raises(Failure, match="cannot be honoured here") as refused:
            await plane.call("look")
    assert (refused.value.code, plane.site.visits) == (Code.DENIED, 0)


@pytest.mark.policies(FILTERED)
async def test_a_filtered_deletion_leaves_other_rows_alone(plane: Plane) -> None:
    shop(plane, writes=True)
    plane.tools[-1]["effect"] = "idempotent"
    async with plane.executor():
        result = await plane.call("shop", {"sql": "DELETE FROM orders WHERE id < 4 OR 1 = 1"}, idempotency_key="k")
    assert msgspec.json.decode(result.content) == {"changed": 3}
    left = sqlite3.connect(plane.folder / "shop.db").execute("SELECT id FROM orders").fetchall()
    assert left == [(2,)]


@pytest.mark.policies(READ_ONLY)
async def test_read_only_holds_for_statements_and_requests(plane: Plane) -> None:
    shop(plane, writes=True)
    plane.tools[-1]["effect"] = "idempotent"
    plane.tool("look")
    plane.tool("change", http={"method": "POST"}, effect="idempotent")
    async with plane.executor():
        read = await plane.call("shop", {"sql": "SELECT count(*) AS n FROM orders"}, idempotency_key="a")
        await plane.call("look")
        for tool, arguments in (("shop", {"sql": "DELETE FROM orders"}), ("change", {})):
            with pytest.raises(Failure, match="only reading is allowed here") as refused:
                await plane.call(tool, dict(arguments), idempotency_key=tool)
            assert refused.value.code is Code.DENIED
    assert read.content == '[{"n":4}]'
    assert plane.site.visits == 1


@pytest.mark.policies(FACTS)
async def test_policy_is_told_columns_paths_and_what_is_in_arguments(plane: Plane) -> None:
    shop(plane)
    site = f"http://127.0.0.1:{plane.site.port}"
    path: Json = {"type": "object", "properties": {"p": {"type": "string"}}, "required": ["p"]}
    plane.tool("get", parameters=path, http={"url": site + "/{p}"})
    plane.tool("look", parameters=TEXT, http={"query": {"q": "{q}"}})
    async with plane.executor():
        for tool, arguments, why in (
            ("shop", {"sql": "SELECT id FROM (SELECT * FROM orders) AS o WHERE total > 3"}, "too large"),
            ("get", {"p": "secret/x"}, "not there"),
            ("get", {"p": "%73ecret"}, "not there"),
            ("look", {"q": "4111 1111 1111 1111"}, "no cards"),
        ):
            with pytest.raises(Failure, match=why):
                await plane.call(tool, dict(arguments))
        await plane.call("shop", {"sql": "SELECT id FROM orders"})
        with pytest.raises(Failure, match="it has read things"):
            await plane.call("look", {"q": "x"}, taint=("web",))


async def test_a_tools_own_facts_and_its_taint(plane: Plane) -> None:
    plane.tool("pay", parameters=LIMIT, facts={"amount": "args.limit * 2"}, taints=["web"], http={"query": {}})
    async with plane.executor():
        result = await plane.call("pay", {"limit": 21})

        async def told() -> Json:
            [decision] = [one for one in await plane.decisions() if one.action == "tool.call"]
            return dict(decision.facts)

        facts = await eventually(told)
    assert facts["amount"] == 42
    assert result.taint == ("web",)
