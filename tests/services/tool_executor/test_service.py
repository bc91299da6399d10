"""The tool executor over a real broker: decided, recorded, carried out once."""

import asyncio
import sqlite3
import time

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import run_id
from penstock.contracts.subjects import TOOL_CALL
from penstock.kit.config import Secret
from tests.services.tool_executor.conftest import Json, Plane
from tests.support.eventually import eventually

CITY: Json = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


async def refused(plane: Plane, tool: str, arguments: Json | None = None, **meta: object) -> Failure:
    with pytest.raises(Failure) as caught:
        await plane.call(tool, arguments, **meta)
    return caught.value


async def test_a_call_is_decided_carried_out_and_recorded(plane: Plane) -> None:
    plane.tool("weather", parameters=CITY, labels=["public"])
    async with plane.executor():
        result = await plane.call("weather", {"city": "Oslo"}, job="job_1", step="step_1")
        assert (result.content, result.is_error) == ("visit 1", False)
        (outcome,) = await plane.outcomes(1)
    decision = next(record for record in await plane.decisions() if record.decision == result.decision)
    assert (decision.action, decision.resource, decision.job) == ("tool.call", 'Tool::"weather"', "job_1")
    assert decision.arguments_digest == "99a8fa9e4312f0bfd68a60a3ca5a7fd7fad321910c43c41afc6702c0697920a4"
    assert (outcome.decision, outcome.attempt, outcome.status) == (decision.decision, decision.attempt, "ok")
    assert len(outcome.result_digest) == 64


async def test_a_refused_tool_is_not_called(plane: Plane) -> None:
    plane.tool("delete_all", labels=["destructive"])
    async with plane.executor():
        failure = await refused(plane, "delete_all")
    assert failure.code is Code.DENIED
    assert failure.reasons == ("destructive tools need the scope tools:destructive",)
    assert plane.site.visits == 0


async def test_without_a_token_nothing_is_called(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor():
        for token in ("", "x.y.z"):
            assert (await refused(plane, "weather", token=token)).code is Code.UNAUTHENTICATED
    assert plane.site.visits == 0


async def test_without_the_store_nothing_is_called(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor():
        await plane.valkey.kill()
        failure = await refused(plane, "weather")
    assert failure.code in (Code.UNAVAILABLE, Code.DEADLINE)
    assert plane.site.visits == 0


async def test_wrong_arguments_are_a_result_that_the_model_sees(plane: Plane) -> None:
    plane.tool("weather", parameters=CITY)
    async with plane.executor():
        result = await plane.call("weather", {"town": "Oslo"})
        assert result.is_error
        assert result.content == "the arguments do not fit the tool: 'city' is a required property"
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.code) == ("error", "invalid")
    assert plane.site.visits == 0


async def test_who_may_not_call_a_tool_learns_nothing_of_its_arguments(plane: Plane) -> None:
    plane.tool("delete_all", labels=["destructive"], parameters=CITY)
    async with plane.executor():
        assert (await refused(plane, "delete_all", {"town": "x"})).code is Code.DENIED


async def test_an_unknown_tool_is_not_found(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor():
        assert (await refused(plane, "no such tool\n")).code is Code.NOT_FOUND


async def test_the_list_has_what_the_caller_may_call(plane: Plane) -> None:
    plane.tool("weather", parameters=CITY)
    plane.tool("delete_all", labels=["destructive"])
    plane.tool("send_mail", effect="once")
    async with plane.executor():
        assert await plane.listed() == ["send_mail", "weather"]
        assert await plane.listed("weather", "delete_all") == ["weather"]
        await plane.log_in(scopes=("*",))
        assert await plane.listed() == ["weather"]


async def test_the_same_key_has_one_effect_and_the_stored_answer(plane: Plane) -> None:
    plane.tool("send_mail", effect="once", http={"method": "POST"})
    async with plane.executor():
        first = await plane.call("send_mail", idempotency_key="k1")
        second = await plane.call("send_mail", idempotency_key="k1", call="c2")
        assert (first.content, first.replayed) == ("visit 1", False)
        assert (second.content, second.replayed) == ("visit 1", True)
        assert first.decision != second.decision
        assert (await plane.call("send_mail", idempotency_key="k2")).content == "visit 2"


async def test_the_same_key_with_other_arguments_is_a_conflict(plane: Plane) -> None:
    plane.tool("weather", parameters=CITY)
    async with plane.executor():
        await plane.call("weather", {"city": "Oslo"}, idempotency_key="k1")
        assert (await refused(plane, "weather", {"city": "Rome"}, idempotency_key="k1")).code is Code.CONFLICT
    assert plane.site.visits == 1


async def test_another_tenant_with_the_same_key_gets_its_own_answer(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor():
        await plane.call("weather", idempotency_key="k1")
        await plane.log_in(tenant="globex")
        result = await plane.call("weather", idempotency_key="k1")
        assert (result.content, result.replayed) == ("visit 2", False)


async def test_two_calls_with_one_key_at_once_have_one_effect(plane: Plane) -> None:
    plane.tool("send_mail", effect="once", http={"method": "POST"})
    async with plane.executor(), plane.executor():
        results = await asyncio.gather(*(plane.call("send_mail", idempotency_key="k1") for _ in range(10)))
    assert {result.content for result in results} == {"visit 1"}
    assert plane.site.visits == 1


async def test_a_request_delivered_twice_without_a_key_has_one_effect(plane: Plane) -> None:
    plane.tool("send_mail", effect="once", http={"method": "POST"})
    async with plane.executor():
        assert (await plane.call("send_mail", call="c1")).content == "visit 1"
        assert (await plane.call("send_mail", call="c1")).content == "visit 1"
        assert (await plane.call("send_mail", call="c2")).content == "visit 2"
        failure = await refused(plane, "send_mail", request="")
    assert (failure.code, failure.param) == (Code.INVALID, "idempotency_key")


async def test_a_run_that_was_taken_over_is_refused(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor():
        await plane.call("weather", job="job_1", epoch=7)
        assert (await refused(plane, "weather", job="job_1", epoch=6)).code is Code.CONFLICT
        await plane.call("weather", job="job_2", epoch=6)


async def test_a_call_that_is_cancelled_leaves_the_tool_within_a_second(plane: Plane) -> None:
    plane.tool("slow", timeout_s=60)
    plane.site.held = True
    async with plane.executor():
        running = asyncio.create_task(plane.call("slow", job="job_1", idempotency_key="k1", deadline=time.time() + 60))

        async def under_way() -> None:
            assert plane.site.waiting == 1

        async def left() -> None:
            assert plane.site.left == 1

        await eventually(under_way)
        await plane.bus.cancel(run_id("acme", "job_1"))
        await eventually(left, within_s=1.0)
        with pytest.raises(Failure) as caught:
            await running
        assert caught.value.code is Code.CANCELLED
        (outcome,) = await plane.outcomes(1)
        assert outcome.status == "cancelled"
        plane.site.held = False
        assert (await plane.call("slow", idempotency_key="k1")).content == "visit 2"


async def test_a_cancelled_call_with_effect_once_stays_unknown(plane: Plane) -> None:
    plane.tool("send_mail", effect="once", timeout_s=60, http={"method": "POST"})
    plane.site.held = True
    async with plane.executor():
        running = asyncio.create_task(plane.call("send_mail", job="job_1", idempotency_key="k1"))

        async def under_way() -> None:
            assert plane.site.waiting == 1

        await eventually(under_way)
        await plane.bus.cancel(run_id("acme", "job_1"))
        with pytest.raises(Failure):
            await running
        plane.site.held = False
        assert (await refused(plane, "send_mail", idempotency_key="k1")).code is Code.UNKNOWN_OUTCOME
    assert plane.site.visits == 1


async def test_a_tool_with_effect_once_that_times_out_is_recorded_as_unknown(plane: Plane) -> None:
    plane.tool("send_mail", effect="once", timeout_s=0.2, http={"method": "POST"})
    plane.site.held = True
    async with plane.executor():
        assert (await refused(plane, "send_mail", idempotency_key="k1")).code is Code.UNKNOWN_OUTCOME
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.code) == ("unknown", "unknown_outcome")


async def test_a_tool_has_so_many_places_and_no_more(plane: Plane) -> None:
    plane.tool("slow", concurrency_max=2, timeout_s=60)
    plane.site.held = True
    async with plane.executor(tool_waiting_max=1):
        running = [asyncio.create_task(plane.call("slow", request=f"req_{number}")) for number in range(3)]

        async def under_way() -> None:
            assert plane.site.waiting == 2

        await eventually(under_way)

        async def overloaded() -> None:
            assert (await refused(plane, "slow", request="req_9", deadline=time.time() + 0.3)).code is Code.OVERLOADED

        await eventually(overloaded)
        assert plane.site.waiting == 2
        plane.site.go.set()
        contents = sorted([(await each).content for each in running])
    assert contents == ["visit 1", "visit 2", "visit 3"]


async def test_sql_is_decided_on_the_tables_it_names(plane: Plane) -> None:
    connection = sqlite3.connect(plane.folder / "shop.db")
    connection.executescript("CREATE TABLE products (name TEXT); INSERT INTO products VALUES ('kettle');")
    connection.close()
    parameters: Json = {"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]}
    plane.tool("shop", kind="sql", parameters=parameters, sql={"database": "sqlite:shop.db"})
    async with plane.executor():
        result = await plane.call("shop", {"sql": "SELECT name FROM products"})
        assert (result.content, result.media_type) == ('[{"name":"kettle"}]', "application/json")
        result = await plane.call("shop", {"sql": "DROP TABLE products"})
        assert (result.content, result.is_error) == ("only SELECT is allowed", True)


async def test_a_changed_file_is_taken_over_and_a_bad_one_is_not(plane: Plane) -> None:
    plane.tool("one")
    async with plane.executor():
        plane.tool("two")
        plane.rewrite()

        async def both() -> None:
            assert await plane.listed() == ["one", "two"]

        await eventually(both)
        (plane.folder / "tools.yaml").write_text("tools: 5")

        async def said() -> None:
            assert any("the old tools stay" in line for line in plane.lines)

        await eventually(said)
        assert await plane.listed() == ["one", "two"]


async def test_a_bad_file_at_the_start_is_refused(plane: Plane) -> None:
    plane.tool("one", timeout_s=-1)
    with pytest.raises(Failure, match=r"tool 'one': timeout_s is -1\.0; write a number above 0"):
        async with plane.executor():
            raise AssertionError("it started")


async def test_neither_arguments_nor_results_nor_secrets_are_logged(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_KEY", "s3cret-key-123")
    credentials = [{"name": "X-Api-Key", "source": "env:SITE_KEY"}]
    plane.tool("weather", parameters=CITY, http={"credentials": credentials})
    async with plane.executor():
        await plane.call("weather", {"city": "Atlantis"})
        await plane.call("weather", {"city": "x" * 50})
    log = "".join(plane.lines)
    for secret in ("s3cret", "Atlantis", "visit 1", "xxxx", plane.token):
        assert secret not in log


async def test_a_pool_answers_under_its_own_name(plane: Plane) -> None:
    plane.tool("weather")
    async with plane.executor(pool="edge-1"):
        with pytest.raises(Failure):
            await plane.call("weather", deadline=time.time() + 0.5)
        assert TOOL_CALL.subject.at(pool="edge-1") == "penstock.tool.call.edge-1"
    assert plane.site.visits == 0


async def test_the_store_may_come_later(plane: Plane) -> None:
    plane.tool("weather")
    await plane.valkey.stop()
    starting = asyncio.create_task(_start_and_call(plane))

    async def waits() -> None:
        assert any("the store cannot be reached" in line for line in plane.lines)

    await eventually(waits)
    await plane.valkey.start()
    assert await starting == "visit 1"


async def _start_and_call(plane: Plane) -> str:
    async with plane.executor(store_url=Secret(plane.valkey.url)):
        return (await plane.call("weather")).content
