"""The policy service over a real broker: who it is, whether it may, what it may cost."""

import asyncio

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS, POLICY_EVALUATIONS
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Balance, Questions
from penstock.kit.store import Store
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually


async def test_an_api_key_is_exchanged_for_a_token_that_says_who_it_is(plane: Plane) -> None:
    credential = plane.key(team="blue", scopes=("model.*", "tool.call"))
    async with plane.policy():
        identity = await plane.authenticate(credential)

    assert (identity.tenant, identity.subject, identity.scopes) == ("acme", "user:alice", ("model.*", "tool.call"))
    assert identity.key == credential.split("_")[1]
    assert credential not in identity.token


async def test_an_allowed_action_is_in_the_audit_stream_when_the_answer_comes(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        decision = await plane.evaluate(complete(attempt="att_1"), token, job="job_1")

        assert decision.decision
        assert (decision.context.effect, decision.context.tenant) == ("allow", "acme")
        (record,) = await plane.decisions()
        assert record.decision == decision.context.id
        assert (record.attempt, record.action, record.resource) == ("att_1", "model.complete", 'Model::"default"')
        assert (record.who.origin, record.who.key) == ("user:alice", credential.split("_")[1])
        assert (record.request, record.job) == ("req_1", "job_1")
        assert record.bundle == decision.context.bundle


async def test_a_refused_tool_says_which_policy_refused_and_why(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        decision = await plane.evaluate(call_tool("delete_records", labels=["destructive"]), token)

    assert not decision.decision
    assert (decision.context.effect, decision.context.code) == ("deny", "denied")
    assert [(reason.policy, reason.text) for reason in decision.context.reasons] == [
        ("destructive-tools", "destructive tools need the scope tools:destructive")
    ]
    (record,) = await plane.decisions()
    assert (record.effect, record.code, record.outcome_due) == ("deny", "denied", 0.0)


async def test_money_is_reserved_with_the_decision_and_settled_from_the_outcome(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        decision = await plane.evaluate(complete(700, 20, attempt="att_1"), token)
        assert decision.context.remaining_nano == 300
        account = f"key:{credential.split('_')[1]}"
        (held,) = (await plane.balances(token)).accounts
        assert (held.account, held.committed_nano, held.reserved_nano, held.limit_nano) == (account, 0, 700, 1000)
        assert (held.tokens, held.reserved_tokens, held.requests, held.under_way) == (20, 20, 1, 1)

        await plane.outcome("att_1", 120, tokens=5)

        async def settled() -> None:
            (used,) = (await plane.balances(token)).accounts
            assert (used.committed_nano, used.reserved_nano, used.tokens) == (120, 0, 5)
            assert (used.requests, used.under_way) == (1, 0)

        await eventually(settled)


async def test_a_budget_that_runs_out_refuses_with_the_account_and_what_is_left(plane: Plane) -> None:
    credential = plane.key()
    plane.limits('acme: {"user:alice": {usd: 0.000001}}')
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        assert (await plane.evaluate(complete(700), token)).decision
        decision = await plane.evaluate(complete(700), token)

    assert (decision.decision, decision.context.code) == (False, "budget_exhausted")
    assert [(reason.policy, reason.text) for reason in decision.context.reasons] == [
        ("budget", "user:alice has $0.0000003 left, this may cost $0.0000007")
    ]


async def test_the_same_attempt_asked_twice_gets_one_decision_and_one_reservation(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    question = complete(700, attempt="att_1")
    async with plane.policy(), plane.policy():  # either may answer
        token = (await plane.authenticate(credential)).token
        decisions = [await plane.evaluate(question, token) for _ in range(6)]

        assert all(decision == decisions[0] or decision.context.remaining_nano == -1 for decision in decisions)
        assert {decision.context.id for decision in decisions} == {decisions[0].context.id}
        assert (await plane.balances(token)).accounts[0].reserved_nano == 700


async def test_the_same_attempt_for_something_else_is_a_conflict(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(), plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(700, attempt="att_1"), token)
        for _ in range(4):
            with pytest.raises(Failure) as raised:
                await plane.evaluate(complete(700, attempt="att_1", model="other"), token)
            assert raised.value.code is Code.CONFLICT


async def test_a_batch_answers_each_question_by_itself_and_reserves_nothing(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    questions = [
        call_tool("http_get", effect="read"),
        call_tool("delete_records", labels=["destructive"]),
        call_tool("http_get", labels=["dangerous"]),
        complete(10**9),
    ]
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        answers = await plane.bus.call(POLICY_EVALUATIONS, Questions(questions), Meta(token=token), timeout_s=5)

        assert [answer.decision for answer in answers.evaluations] == [True, False, False, True]
        assert (await plane.balances(token)).accounts[0].reserved_nano == 0
    assert [record.outcome_due for record in await plane.decisions()] == [0.0, 0.0, 0.0, 0.0]


async def test_an_action_without_any_limit_needs_no_store(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.valkey.kill()

        assert (await plane.evaluate(complete(700), token)).decision


async def test_an_unknown_price_is_refused_by_default(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        decision = await plane.evaluate(complete(-1, 100), token)

    assert not decision.decision
    assert [reason.policy for reason in decision.context.reasons] == ["price"]


async def test_an_unknown_price_may_be_estimated_from_the_tokens(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(unknown_price="estimate", estimate_nano_per_token=7):
        token = (await plane.authenticate(credential)).token

        assert (await plane.evaluate(complete(-1, 100), token)).context.remaining_nano == 300


async def test_limits_that_change_in_the_file_hold_at_once(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        assert (await plane.evaluate(complete(700), token)).decision
        plane.limits('"*": {"tenant:*": {usd: 0.0000005}}')

        async def refused() -> None:
            assert (await plane.evaluate(complete(700), token)).context.code == "budget_exhausted"

        await eventually(refused)


async def test_a_lease_that_runs_out_counts_as_used(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(700, due_s=0.2), token)

        async def used() -> None:
            balance = (await plane.balances(token)).accounts[0]
            assert (balance.committed_nano, balance.reserved_nano) == (700, 0)

        await eventually(used)


def lasting(balance: Balance) -> Balance:
    """Without what is foretold anew each time."""
    return msgspec.structs.replace(balance, empty_at=0.0)


async def test_balances_are_rebuilt_from_the_audit_stream_when_the_store_was_emptied(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(300, attempt="att_1"), token)
        await plane.outcome("att_1", 250)
        await plane.evaluate(complete(400, attempt="att_2"), token)

        async def settled() -> None:
            assert (await plane.balances(token)).accounts[0].committed_nano == 250

        await eventually(settled)
        before = [lasting(balance) for balance in (await plane.balances(token)).accounts]
        store = Store(plane.valkey.url)
        await store.do("FLUSHALL")
        await store.close()

        assert (await plane.evaluate(complete(400), token)).context.code == "budget_exhausted"
        assert [lasting(balance) for balance in (await plane.balances(token)).accounts] == before


async def test_five_hundred_at_once_from_two_services_never_go_above_one_budget(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.patient(), plane.patient():
        token = (await plane.authenticate(credential)).token
        decisions = await asyncio.gather(*(plane.evaluate(complete(7), token, within_s=30) for _ in range(500)))
        balance = (await plane.balances(token)).accounts[0]

    allowed = sum(decision.decision for decision in decisions)
    assert allowed == 142  # 142 * 7 = 994
    assert (balance.committed_nano, balance.reserved_nano) == (0, 994)
    assert sum(record.reserved_nano for record in await plane.decisions()) == 994
    assert len(await plane.decisions()) == 500


async def test_a_record_that_takes_the_place_of_the_public_key_is_replaced_by_the_key(plane: Plane) -> None:
    plane.key()
    async with plane.policy(key_check_every_s=0.05):
        bucket = plane.bus.bucket(KEYS)
        (kid,) = await bucket.keys()
        # as the broker would store its own acknowledgement there, if a client named this subject as its reply
        plane.bus.connection.publish(f"$KV.{KEYS.name}.{kid}", b'{"stream":"JOBS","seq":1}')

        async def back() -> None:
            entry = await bucket.get(kid, fresh=True)
            assert entry is not None
            assert entry.value.kid == kid

        await eventually(back)
