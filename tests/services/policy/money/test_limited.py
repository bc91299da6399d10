"""Limits of requests and concurrency, over the bus: who is counted, what is refused with what, what is given back."""

import asyncio

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import ACCOUNT_STATEMENT, ACCOUNTS, POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.money import ALERT, AccountsRequest, AlertRecord, Statement, StatementRequest
from penstock.contracts.policy import Balance, Decision, Delegate, Question
from penstock.kit.store import Store
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually


async def codes(plane: Plane, token: str, questions: list[Question]) -> list[str]:
    return [(await plane.evaluate(question, token)).context.code for question in questions]


async def balances(plane: Plane, token: str) -> dict[str, Balance]:
    return {balance.account.partition("@")[0]: balance for balance in (await plane.balances(token)).accounts}


async def test_requests_count_per_user_whatever_key_or_agent_asks_and_refused_ones_do_not(plane: Plane) -> None:
    plane.limits('acme: {"user:*": {requests: 4, period: week}}')
    laptop, phone, bob = plane.key(), plane.key(), plane.key(subject="user:bob")
    async with plane.policy(), plane.policy():
        one = (await plane.authenticate(laptop)).token
        two = (await plane.authenticate(phone)).token
        agent = (
            await plane.bus.call(POLICY_DELEGATE, Delegate("run_1", "agent:a"), Meta(token=one), timeout_s=5)
        ).token
        assert await codes(plane, one, [complete(), call_tool("http_get")]) == ["", ""]
        assert await codes(plane, two, [complete()]) == [""]
        assert await codes(plane, agent, [complete()]) == [""]

        for token in (one, two, agent):
            assert await codes(plane, token, [complete(), call_tool("sql")]) == ["rate_limited", "rate_limited"]
        assert (await balances(plane, one))["user:alice"].requests == 4
        assert await codes(plane, (await plane.authenticate(bob)).token, [complete()]) == [""]


async def test_a_rate_limit_says_when_it_passes_and_a_budget_does_not_pass(plane: Plane) -> None:
    plane.limits('acme: {"user:*": [{requests: 1, period: week}, {usd: 0.000001}]}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(1000), token)
        limited = await plane.evaluate(call_tool("sql"), token)
        (week, _) = (await plane.balances(token)).accounts
        waits = limited.context.retry_after_s

        assert (limited.context.code, limited.decision) == ("rate_limited", False)
        assert 0 < waits <= 7 * 24 * 3600
        assert abs(waits - (week.ends - (await plane.decisions())[-1].at)) < 1
        assert limited.context.reasons[0].text.endswith("has used its 1 requests")

    plane.limits('acme: {"user:*": {usd: 0.000001}}')
    async with plane.policy():
        spent = await plane.evaluate(complete(1), token)
        assert (spent.context.code, spent.context.retry_after_s) == ("budget_exhausted", 0)
        assert spent.context.reasons[0].text == "user:alice has $0.00 left, this may cost $0.000000001"


async def test_a_slot_is_free_again_when_the_outcome_was_heard(plane: Plane) -> None:
    plane.limits('acme: {"user:*": {concurrency: 2}}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        assert await codes(plane, token, [complete(attempt="att_1"), complete(attempt="att_2")]) == ["", ""]
        third = await plane.evaluate(complete(), token)
        assert (third.context.code, third.context.retry_after_s) == ("rate_limited", 1.0)
        assert third.context.reasons[0].text == "user:alice may have 2 actions under way at once, and has them"

        await plane.outcome("att_1", 0)
        await plane.outcome("att_1", 0)

        async def free() -> None:
            assert (await plane.evaluate(complete(), token)).decision

        await eventually(free)
        assert (await plane.evaluate(complete(), token)).context.code == "rate_limited"


async def test_a_slot_whose_holder_died_is_free_when_its_lease_is_over(plane: Plane) -> None:
    plane.limits('acme: {"user:*": {concurrency: 1}}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(due_s=0.5), token)
        assert (await plane.evaluate(complete(), token)).context.code == "rate_limited"

        async def free() -> None:
            assert (await plane.evaluate(complete(), token)).decision

        await eventually(free, every_s=0.1)


async def test_what_is_refused_by_the_last_limit_took_nothing_from_the_first(plane: Plane) -> None:
    plane.limits('acme: {"tenant:*": {requests: 100, usd: 1}, "user:*": {concurrency: 1}}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(10, 10), token)
        assert await codes(plane, token, [complete(10, 10) for _ in range(20)]) == ["rate_limited"] * 20

        tenant = (await balances(plane, token))["tenant:acme"]
        assert (tenant.requests, tenant.under_way, tenant.reserved_nano, tenant.tokens) == (1, 1, 10, 10)


async def test_an_agent_and_a_run_have_accounts_of_their_own(plane: Plane) -> None:
    plane.limits('acme: {"agent:bot": {requests: 3}, "run:*": {requests: 2}}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        runs = [
            (await plane.bus.call(POLICY_DELEGATE, Delegate(f"run_{n}", "agent:bot"), Meta(token=token), timeout_s=5))
            for n in range(2)
        ]
        assert await codes(plane, runs[0].token, [complete()] * 1 + [complete(), complete()]) == [
            "",
            "",
            "budget_exhausted",
        ]
        assert await codes(plane, runs[1].token, [complete(), complete()]) == ["", "budget_exhausted"]
        assert [(one.account, one.requests) for one in (await plane.balances(runs[1].token)).accounts] == [
            ("agent:bot", 3),
            ("run:run_1", 1),
        ]
        assert await codes(plane, token, [complete()]) == [""]


async def test_the_store_emptied_counts_requests_and_slots_as_before(plane: Plane) -> None:
    plane.limits('acme: {"user:*": {requests: 9, concurrency: 2}}')
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(attempt="att_1"), token)
        await plane.outcome("att_1", 0)
        await plane.evaluate(complete(attempt="att_2"), token)

        async def settled() -> Balance:
            found = (await balances(plane, token))["user:alice"]
            assert (found.requests, found.under_way) == (2, 1)
            return found

        await eventually(settled)
        await emptied(plane)
        await settled()
        assert await codes(plane, token, [complete(), complete()]) == ["", "rate_limited"]


async def emptied(plane: Plane) -> None:
    store = Store(plane.valkey.url)
    await store.do("FLUSHALL")
    await store.close()


async def test_an_alert_is_told_once_by_all_services_together_and_not_again_after_a_loss(plane: Plane) -> None:
    plane.limits('acme: {"user:*": {requests: 10, usd: 1, period: month}}')
    credential = plane.key()
    async with plane.policy(alert_every_s=0.05), plane.policy(alert_every_s=0.05), plane.policy(alert_every_s=0.05):
        token = (await plane.authenticate(credential)).token
        for number in range(6):
            await plane.evaluate(complete(1, attempt=f"att_{number}"), token)
            await plane.outcome(f"att_{number}", 1)
        await eventually(lambda: alerted(plane, ["requests 50"]))
        await emptied(plane)
        for number in range(6, 10):
            await plane.evaluate(complete(1, attempt=f"att_{number}"), token)
            await plane.outcome(f"att_{number}", 1)
        await eventually(lambda: alerted(plane, ["requests 50", "requests 80", "requests 100"]))
        assert (await plane.evaluate(complete(1), token)).context.code == "rate_limited"
        await eventually(lambda: alerted(plane, ["requests 50", "requests 80", "requests 100"]))
    lines = [line for line in plane.lines if '"a limit is near"' in line]
    assert len(lines) == 3
    assert "has used 5 of 10 requests (50 % reached)" in lines[0] or "has used 6 of 10" in lines[0]


async def alerted(plane: Plane, expected: list[str]) -> None:
    records = [record for record in await plane.records() if record.type == ALERT]
    alerts = [msgspec.json.decode(record.data, type=AlertRecord) for record in records]
    assert [f"{alert.measure} {alert.percent}" for alert in alerts] == expected
    assert len({record.id for record in records}) == len(expected)
    assert all(alert.pot.startswith("user:alice@") and alert.limit == 10 for alert in alerts)


async def statement(plane: Plane, token: str, account: str, limit: int = 100, after: str = "") -> Statement:
    request = StatementRequest(account, limit=limit, after=after)
    return await plane.bus.call(ACCOUNT_STATEMENT, request, Meta(token=token), tenant="acme", timeout_s=8)


async def test_a_statement_has_every_attempt_once_over_pages_and_is_decided_and_recorded(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        for number in range(5):
            await plane.evaluate(complete(10, 4, attempt=f"att_{number}"), token)
            await plane.outcome(f"att_{number}", 3, tokens=2)
        first = await statement(plane, token, "user:alice", limit=3)
        second = await statement(plane, token, "user:alice", limit=3, after=first.next)

        models = [line for line in (*first.lines, *second.lines) if line.action == "model.complete"]
        assert [line.attempt for line in models] == [f"att_{number}" for number in range(5)]
        assert {(line.state, line.nano, line.tokens) for line in models} == {("settled", 3, 2)}
        assert (first.committed.nano, first.committed.tokens) == (15, 10)
        reads = [record for record in await plane.decisions() if record.action == "account.read"]
        assert [record.resource for record in reads] == ['Account::"user:alice"'] * 2


async def test_what_others_used_needs_the_scope_account_admin(plane: Plane) -> None:
    alice, admin = plane.key(), plane.key(scopes=("*", "account:admin"), subject="user:root")
    async with plane.policy():
        token = (await plane.authenticate(alice)).token
        root = (await plane.authenticate(admin)).token
        for account in ("tenant:acme", "user:bob", "agent:x", "key:k9"):
            with pytest.raises(Failure) as refused:
                await statement(plane, token, account)
            assert refused.value.code is Code.DENIED
        assert (await statement(plane, root, "user:alice")).account == "user:alice"
        request, meta = AccountsRequest("tenant:acme"), Meta(token=root)
        (tenant,) = (await plane.bus.call(ACCOUNTS, request, meta, tenant="acme", timeout_s=5)).accounts
        assert (tenant.account, tenant.limit_nano) == ("tenant:acme", 0)


@pytest.mark.parametrize("account", ["alice", "robot:x", "user:", "user:a b", "user:" + "x" * 300, "user:a\n"])
async def test_what_is_no_account_is_refused_by_name(plane: Plane, account: str) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        with pytest.raises(Failure) as refused:
            await statement(plane, token, account)
    assert (refused.value.code, refused.value.param) == (Code.INVALID, "account")


@pytest.mark.parametrize("children", [40, pytest.param(1000, marks=pytest.mark.long)])
async def test_parallel_children_of_one_run_spend_what_was_carved_and_no_more(plane: Plane, children: int) -> None:
    """Siblings: each may spend all of it by its own token, and together they may not."""
    credential = plane.key(usd=1)
    async with plane.patient(calls_in_flight_max=2000), plane.patient(calls_in_flight_max=2000):
        token = (await plane.authenticate(credential)).token
        parent = await child(plane, token, "run_p", 1000)
        tokens = await asyncio.gather(*(child(plane, parent, f"run_{n}", 1000, f"agent:c{n}") for n in range(children)))
        asked = [plane.evaluate(complete(7), tokens[n % children], within_s=30) for n in range(1000)]
        decisions: list[Decision] = await asyncio.gather(*asked)

        pots = await balances(plane, tokens[0])
        assert sum(decision.decision for decision in decisions) == 142
        assert (pots["run:run_p"].reserved_nano, pots["run:run_p"].limit_nano) == (994, 1000)
        assert {d.context.code for d in decisions if not d.decision} == {"budget_exhausted"}


async def child(plane: Plane, token: str, run: str, nano: int, actor: str = "agent:p") -> str:
    asked = Delegate(run, actor, budget_nano=nano)
    return (await plane.bus.call(POLICY_DELEGATE, asked, Meta(token=token), timeout_s=8)).token
