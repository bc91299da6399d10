"""What fails, fails closed; what comes back, is right."""

import asyncio

import msgspec
import pytest

from penstock.contracts.audit import OUTCOME, OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_EVALUATIONS
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Question, Questions
from penstock.kit.store import Store
from tests.services.policy.conftest import Plane, complete
from tests.support.eventually import eventually
from tests.support.process import module_process


class Deleted(msgspec.Struct):
    success: bool


async def without_audit_stream(plane: Plane) -> None:
    await plane.bus.jetstream.ask("STREAM.DELETE.AUDIT", {}, Deleted, "the audit stream")


async def closed(plane: Plane, question: Question, token: str) -> None:
    with pytest.raises(Failure) as raised:
        await plane.evaluate(question, token)
    assert raised.value.code is Code.UNAVAILABLE


async def test_without_the_store_nothing_with_a_budget_is_allowed_until_it_is_back(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy() as host:
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(300, attempt="att_1"), token)
        await plane.valkey.kill()

        await closed(plane, complete(300), token)
        await plane.outcome("att_1", 100)  # must not get lost
        await plane.valkey.start()

        async def settled() -> None:
            try:
                balance = (await plane.balances(token)).accounts[0]
            except Failure as failure:
                raise AssertionError from failure
            assert (balance.committed_nano, balance.reserved_nano) == (100, 0)

        await eventually(settled, within_s=15.0)
        assert (await plane.evaluate(complete(900), token)).decision
        assert host.readiness.live().ok


async def test_without_the_audit_stream_nothing_is_allowed_and_the_reservation_is_given_back(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(record_timeout_s=0.5):
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(100, attempt="att_0"), token)
        await without_audit_stream(plane)

        await closed(plane, complete(700, attempt="att_1"), token)
        assert (await plane.balances(token)).accounts[0].reserved_nano == 800
        await plane.bus.prepare()

        async def told() -> None:
            outcomes = [
                msgspec.json.decode(r.data, type=OutcomeRecord) for r in await plane.records() if r.type == OUTCOME
            ]
            assert [(one.attempt, one.status, one.cost_nano) for one in outcomes] == [("att_1", "cancelled", 0)]

        await eventually(told, within_s=25.0)

        async def given_back() -> None:
            assert (await plane.balances(token)).accounts[0].reserved_nano == 100

        await eventually(given_back, within_s=25.0)
        assert (await plane.evaluate(complete(900, attempt="att_2"), token)).decision
        with pytest.raises(Failure) as raised:
            await plane.evaluate(complete(700, attempt="att_1"), token)
        assert raised.value.code is Code.CONFLICT


async def test_a_batch_that_cannot_be_recorded_is_not_answered(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy(record_timeout_s=0.3, drain_s=0.5):
        token = (await plane.authenticate(credential)).token
        await without_audit_stream(plane)
        with pytest.raises(Failure) as raised:
            await plane.bus.call(POLICY_EVALUATIONS, Questions([complete()]), Meta(token=token), timeout_s=8)
        assert raised.value.code is Code.UNAVAILABLE
        await plane.bus.prepare()


async def test_outcomes_that_come_twice_settle_once(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(), plane.policy():
        token = (await plane.authenticate(credential)).token
        for number in range(5):
            await plane.evaluate(complete(100, attempt=f"att_{number}"), token)
        for number in (0, 1, 2, 2, 1, 0, 3, 3, 4, 4, 4):
            await plane.outcome(f"att_{number}", 10 + number)

        async def settled() -> None:
            balance = (await plane.balances(token)).accounts[0]
            assert (balance.committed_nano, balance.reserved_nano) == (60, 0)

        await eventually(settled)


async def test_an_outcome_of_another_tenant_settles_nothing(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(100, attempt="att_1"), token)
        await plane.evaluate(complete(100, attempt="att_2"), token)
        await plane.outcome("att_1", 0, tenant="globex")
        await plane.outcome("att_2", 50)

        async def settled() -> None:
            balance = (await plane.balances(token)).accounts[0]
            assert (balance.committed_nano, balance.reserved_nano) == (50, 100)

        await eventually(settled)


async def test_a_policy_killed_between_reservation_and_answer_leaves_one_reservation(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    question = complete(700, attempt="att_1")
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_STORE_URL": plane.valkey.url,
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_RECORD_TIMEOUT_S": "60",
    }
    async with module_process("services.policy", environment=environment) as process:
        await process.says('"event":"ready"')
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(1, attempt="att_0"), token)
        await without_audit_stream(plane)
        asking = asyncio.create_task(plane.evaluate(question, token))
        store = Store(plane.valkey.url)

        async def reserved() -> None:
            assert await store.do("HGET", "penstock:{acme}:attempt:att_1", "state") == b"held"

        await eventually(reserved)
        await process.kill()
        await store.close()
    await plane.bus.prepare()
    asking.cancel()
    await asyncio.wait([asking])
    async with plane.policy():
        decision = await plane.evaluate(question, token)

        assert decision.decision
        assert [record.decision for record in await plane.decisions()] == [decision.context.id]
        assert (await plane.balances(token)).accounts[0].reserved_nano == 701


async def test_a_restarted_broker_loses_no_decision(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(100, attempt="att_1"), token)
        await plane.broker.kill()
        await plane.broker.start()

        async def again() -> None:
            try:
                assert (await plane.evaluate(complete(100, attempt="att_2"), token)).decision
            except Failure as failure:
                raise AssertionError from failure

        await eventually(again, within_s=20.0)
        assert {record.attempt for record in await plane.decisions()} == {"att_1", "att_2"}
        assert (await plane.balances(token)).accounts[0].reserved_nano == 200
