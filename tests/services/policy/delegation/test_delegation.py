"""Delegation over the bus: chains of runs, each narrower, all paid from the accounts above."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Delegate, Identity
from services.policy.identity.key_file import revoke_key
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually


async def delegate(plane: Plane, token: str, asked: Delegate) -> Identity:
    return await plane.bus.call(POLICY_DELEGATE, asked, Meta(token=token), timeout_s=5)


async def test_a_run_gets_a_narrower_token_and_its_chain_stands_in_every_record(plane: Plane) -> None:
    credential = plane.key(tools=("http_get", "sql"))
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        planner = await delegate(plane, token, Delegate("run_1", "agent:planner"))
        asked = Delegate("run_2", "agent:writer", scopes=("tool.*",), tools=("sql", "shell"))
        writer = await delegate(plane, planner.token, asked)

        assert (writer.tenant, writer.subject, writer.scopes) == ("acme", "user:alice", ("tool.*",))
        assert (await plane.evaluate(call_tool("sql"), writer.token)).decision
        assert not (await plane.evaluate(call_tool("http_get"), writer.token)).decision
        assert not (await plane.evaluate(call_tool("shell"), writer.token)).decision
        assert not (await plane.evaluate(complete(), writer.token)).decision
        records = await plane.decisions()
        assert [(record.action, record.resource, record.who.chain) for record in records[:3]] == [
            ("agent.delegate", 'Agent::"planner"', ()),
            ("agent.delegate", 'Agent::"writer"', ("agent:planner",)),
            ("tool.call", 'Tool::"sql"', ("agent:planner", "agent:writer")),
        ]


async def test_a_cycle_is_refused(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        first = await delegate(plane, token, Delegate("run_1", "agent:a"))
        second = await delegate(plane, first.token, Delegate("run_2", "agent:b"))
        with pytest.raises(Failure) as raised:
            await delegate(plane, second.token, Delegate("run_3", "agent:a"))
    assert (raised.value.code, raised.value.detail) == (
        Code.DENIED,
        "agent:a is already in the chain: a cycle of delegation is refused",
    )


async def test_a_chain_that_is_too_long_is_refused(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy(depth_max=2):
        token = (await plane.authenticate(credential)).token
        for depth in range(2):
            token = (await delegate(plane, token, Delegate(f"run_{depth}", f"agent:a{depth}"))).token
        with pytest.raises(Failure, match="may be 2 long"):
            await delegate(plane, token, Delegate("run_9", "agent:a9"))


async def test_policies_may_forbid_a_delegation(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle(
        '@id("never-shell") @reason("the shell agent is not for people")'
        ' forbid (principal, action == Action::"agent.delegate", resource == Agent::"shell");'
    )
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(credential)).token
        await delegate(plane, token, Delegate("run_1", "agent:writer"))
        with pytest.raises(Failure) as raised:
            await delegate(plane, token, Delegate("run_2", "agent:shell"))
    assert raised.value.code is Code.DENIED
    assert raised.value.reasons == ("the shell agent is not for people",)
    assert raised.value.decision.startswith("dec_")


async def test_a_runs_budget_is_a_slice_of_what_is_left_above_it(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(400), token)
        run = await delegate(plane, token, Delegate("run_1", "agent:a", budget_nano=800))

        balances = (await plane.balances(run.token)).accounts
        assert [(one.account.partition(":")[0], one.limit_nano) for one in balances] == [("key", 1000), ("run", 600)]
        refused = await plane.evaluate(complete(601), run.token)
        assert [reason.text for reason in refused.context.reasons] == [
            "key:" + credential.split("_")[1] + " has $0.0000006 left, this may cost $0.000000601"
        ]
        assert (await plane.evaluate(complete(600), run.token)).decision
        with pytest.raises(Failure) as raised:
            await delegate(plane, token, Delegate("run_2", "agent:a", budget_nano=1))
        assert raised.value.code is Code.BUDGET_EXHAUSTED


async def test_parallel_children_never_spend_more_than_their_parent_has(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        parent = await delegate(plane, token, Delegate("run_0", "agent:parent", budget_nano=1000))
        asked = [Delegate(f"run_{n}", "agent:child", budget_nano=900) for n in range(1, 101)]
        children = await asyncio.gather(*(delegate(plane, parent.token, one) for one in asked))
        decisions = await asyncio.gather(*(plane.evaluate(complete(30), c.token) for c in children for _ in range(3)))

        assert sum(decision.decision for decision in decisions) == 33  # 33 * 30 = 990
        (balance,) = (await plane.balances(parent.token)).accounts
        assert (balance.account, balance.reserved_nano) == ("run:run_0", 990)


async def test_asking_again_for_the_same_run_is_one_delegation_in_the_log(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy(), plane.policy():
        token = (await plane.authenticate(credential)).token
        for _ in range(4):
            await delegate(plane, token, Delegate("run_1", "agent:a", budget_nano=5))
        assert len({record.decision for record in await plane.decisions()}) == 1


async def test_a_revoked_key_ends_every_run_below_it(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        run = await delegate(plane, token, Delegate("run_1", "agent:a"))
        deeper = await delegate(plane, run.token, Delegate("run_2", "agent:b"))
        revoke_key(plane.folder / "keys.json", credential.split("_")[1], now=3.0)

        async def refused() -> None:
            for one in (run, deeper):
                try:
                    await plane.evaluate(complete(), one.token)
                except Failure as failure:
                    assert failure.code is Code.UNAUTHENTICATED
                else:
                    raise AssertionError("the run goes on")

        await eventually(refused, within_s=1.0)
