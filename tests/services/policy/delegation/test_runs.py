"""Chains of runs as policy keeps them, and the end of a run with all below it, over the bus."""

import asyncio
import base64
import itertools
import json

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import OUTCOME, OutcomeRecord, Who
from penstock.contracts.delegation import Chain, ChainRequest, RunRevoke, RunRevoked
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import CHAIN, POLICY_DELEGATE, REVOCATIONS, RUN_REVOKE
from penstock.contracts.ids import run_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Delegate, Identity
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually


async def delegate(plane: Plane, token: str, asked: Delegate) -> Identity:
    return await plane.bus.call(POLICY_DELEGATE, asked, Meta(token=token), timeout_s=20)


async def chain(plane: Plane, token: str, request: ChainRequest, tenant: str = "acme") -> Chain:
    return await plane.bus.call(CHAIN, request, Meta(token=token), tenant=tenant, timeout_s=5)


async def revoke(plane: Plane, token: str, run: str, tenant: str = "acme") -> RunRevoked:
    return await plane.bus.call(RUN_REVOKE, RunRevoke(run, "astray"), Meta(token=token), tenant=tenant, timeout_s=5)


async def family(plane: Plane, token: str) -> list[Identity]:
    """Three generations."""
    found = []
    for number, name in enumerate(("planner", "writer", "reader"), 1):
        asked = Delegate(f"run_{number}", f"agent:{name}", budget_nano=1000 - number * 100)
        found.append(await delegate(plane, token, asked))
        token = found[-1].token
    return found


async def refused(plane: Plane, *tokens: str) -> None:
    for token in tokens:
        try:
            await plane.evaluate(complete(), token)
        except Failure as failure:
            assert (failure.code, failure.detail) == (
                Code.UNAUTHENTICATED,
                "the token is refused: it was revoked",
            )
        else:
            raise AssertionError("the run goes on")


async def test_the_whole_chain_of_a_run_is_kept_and_read(plane: Plane) -> None:
    credential = plane.key(tools=("sql",), usd=1)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        runs = await family(plane, token)
        assert (await plane.evaluate(complete(250), runs[2].token)).decision

        links = (await chain(plane, token, ChainRequest("run_3"))).links

        assert [(one.link.run, one.link.actor, one.link.chain, one.link.lineage) for one in links] == [
            ("run_1", "agent:planner", ("agent:planner",), ("run_1",)),
            ("run_2", "agent:writer", ("agent:planner", "agent:writer"), ("run_1", "run_2")),
            ("run_3", "agent:reader", ("agent:planner", "agent:writer", "agent:reader"), ("run_1", "run_2", "run_3")),
        ]
        assert [(one.link.nano, one.left_nano, one.revoked) for one in links] == [
            (900, 650, False),
            (800, 550, False),
            (700, 450, False),
        ]
        assert {(one.link.origin, one.link.key, one.link.tools) for one in links} == {
            ("user:alice", credential.split("_")[1], ("sql",))
        }
        assert [one.link.expires for one in links] == sorted((one.link.expires for one in links), reverse=True)
        decided = {record.decision for record in await plane.decisions()}
        assert {one.link.decision for one in links} <= decided
        txn = links[0].link.txn
        by_txn = await chain(plane, token, ChainRequest(txn, limit=2))
        rest = await chain(plane, token, ChainRequest(txn, limit=2, after=by_txn.next))
        assert [one.link.run for one in (*by_txn.links, *rest.links)] == ["run_1", "run_2", "run_3"]
        assert rest.next == 0


async def test_every_decision_and_outcome_says_for_whom_it_was(plane: Plane) -> None:
    credential = plane.key(usd=1)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        runs = await family(plane, token)
        await plane.evaluate(call_tool("sql"), runs[1].token)
        await revoke(plane, runs[0].token, "run_2")

        async def told() -> list[OutcomeRecord]:
            found = [record for record in await plane.records() if record.type == OUTCOME]
            assert found
            return [msgspec.json.decode(record.data, type=OutcomeRecord) for record in found]

        await eventually(told)
        (outcome,) = await told()
        key = credential.split("_")[1]
        assert (outcome.action, outcome.status, outcome.who, outcome.run) == (
            "run.revoke",
            "ok",
            Who("user:alice", ("agent:planner",), key),
            "run_1",
        )
        records = {record.action: record for record in await plane.decisions()}
        tool = records["tool.call"]
        assert (tool.who, tool.run, tool.lineage) == (
            Who("user:alice", ("agent:planner", "agent:writer"), key),
            "run_2",
            ("run_1", "run_2"),
        )
        assert {record.txn for record in records.values()} == {outcome.txn} != {""}


async def test_a_revoked_run_ends_with_all_below_it_and_those_above_and_beside_go_on(plane: Plane) -> None:
    credential = plane.key(usd=1)
    async with plane.policy(), plane.policy():
        token = (await plane.authenticate(credential)).token
        first, second, third = await family(plane, token)
        beside = await delegate(plane, first.token, Delegate("run_9", "agent:other"))

        assert await revoke(plane, token, "run_2") == RunRevoked("run_2")

        async def ended() -> None:
            await refused(plane, second.token, third.token)

        await eventually(ended, within_s=1.0)
        for one in (token, first.token, beside.token):
            assert (await plane.evaluate(complete(), one)).decision
        with pytest.raises(Failure, match="revoked"):
            await delegate(plane, third.token, Delegate("run_4", "agent:late"))
        links = (await chain(plane, token, ChainRequest("run_3"))).links
        assert [one.revoked for one in links] == [False, True, True]
        assert await revoke(plane, token, "run_2") == RunRevoked("run_2")


async def test_a_job_stands_for_its_run(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        run = run_id("acme", "job_1")
        await delegate(plane, token, Delegate(run, "agent:a"))
        assert (await chain(plane, token, ChainRequest("job_1"))).links[0].link.run == run
        assert await revoke(plane, token, "job_1") == RunRevoked(run)


async def test_who_may_end_a_run(plane: Plane) -> None:
    alice, bob = plane.key(), plane.key(subject="user:bob")
    admin = plane.key(subject="user:root", scopes=("run.*", "run:admin"))
    async with plane.policy():
        token = (await plane.authenticate(alice)).token
        first, second, third = await family(plane, token)
        bobs = (await plane.authenticate(bob)).token
        # neither somebody else, nor a run below it, nor a run beside it, though it acts for the same person
        beside = await delegate(plane, token, Delegate("run_9", "agent:other"))
        for who in (bobs, third.token, beside.token):
            with pytest.raises(Failure) as raised:
                await revoke(plane, who, "run_2")
            assert raised.value.code is Code.DENIED
            assert raised.value.reasons == ("runs of others are looked at and ended by who has the scope run:admin",)
            with pytest.raises(Failure, match="run:admin"):
                await chain(plane, who, ChainRequest("run_1"))
        assert await revoke(plane, first.token, "run_3") == RunRevoked("run_3")
        root = (await plane.authenticate(admin)).token
        assert await revoke(plane, root, "run_2") == RunRevoked("run_2")
        assert len((await chain(plane, root, ChainRequest("run_2"))).links) == 2
        refusals = [r for r in await plane.decisions() if r.action == "run.revoke" and r.effect == "deny"]
        assert len(refusals) == 3
        assert second.subject == "user:alice"


async def test_a_run_that_two_people_asked_for_is_neithers_to_end(plane: Plane) -> None:
    """They chose the same name for a job at once: one of them got it, and policy cannot tell who."""
    alice, bob = plane.key(), plane.key(subject="user:bob")
    async with plane.policy():
        tokens = [(await plane.authenticate(key)).token for key in (alice, bob)]
        for token in tokens:
            await delegate(plane, token, Delegate("run_1", "agent:a"))
        for token in tokens:
            with pytest.raises(Failure) as raised:
                await revoke(plane, token, "run_1")
            assert raised.value.code is Code.DENIED


async def test_another_tenants_run_is_as_good_as_none(plane: Plane) -> None:
    ours = plane.key()
    theirs = plane.key(tenant="globex", scopes=("*", "run:admin"))
    async with plane.policy():
        token = (await plane.authenticate(ours)).token
        await family(plane, token)
        thief = (await plane.authenticate(theirs)).token
        txn = (await chain(plane, token, ChainRequest("run_1"))).links[0].link.txn
        for id in ("run_1", txn, "run_404", "*", ">", "a.b", ""):
            with pytest.raises(Failure) as raised:
                await chain(plane, thief, ChainRequest(id), tenant="globex")
            assert raised.value.code is Code.NOT_FOUND
            with pytest.raises(Failure) as raised:
                await revoke(plane, thief, id, tenant="globex")
            assert raised.value.code is Code.NOT_FOUND
        with pytest.raises(Failure) as raised:
            await revoke(plane, thief, "run_1", tenant="acme")
        assert raised.value.code is Code.DENIED
        # a run of theirs with the same id takes nothing away from ours
        await delegate(plane, thief, Delegate("run_1", "agent:a"))
        await revoke(plane, thief, "run_1", tenant="globex")
        assert (await plane.evaluate(complete(), token)).decision
        assert not (await chain(plane, token, ChainRequest("run_1"))).links[0].revoked
        assert [e.key for e in await plane.bus.bucket(REVOCATIONS).entries()] == ["run.globex.run_1"]


async def test_what_an_agent_may_have_is_written_by_the_operator_and_holds_at_once(plane: Plane) -> None:
    credential = plane.key(scopes=("*", "tools:destructive"))
    allowed = plane.folder / "agents-allowed.yaml"
    allowed.write_text('acme: {"agent:clerk": {scopes: [tool.call], tools: [sql], usd: 0.0000001}}', encoding="utf-8")
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        clerk = await delegate(plane, token, Delegate("run_1", "agent:clerk"))
        assert clerk.scopes == ("tool.call",)
        assert (await plane.evaluate(call_tool("sql"), clerk.token)).decision
        assert not (await plane.evaluate(call_tool("shell"), clerk.token)).decision
        assert not (await plane.evaluate(complete(), clerk.token)).decision
        (link,) = (await chain(plane, token, ChainRequest("run_1"))).links
        assert (link.link.nano, link.left_nano) == (100, 100)
        with pytest.raises(Failure) as raised:
            await delegate(plane, token, Delegate("run_2", "agent:writer"))
        assert (raised.value.code, raised.value.detail) == (
            Code.DENIED,
            "agent:writer has no allowance: it may have nothing",
        )
        assert raised.value.decision in {r.decision for r in await plane.decisions() if r.effect == "deny"}
        allowed.write_text('acme: {"agent:*": {scopes: [model.complete]}}', encoding="utf-8")

        runs = (f"run_{number}" for number in itertools.count(3))

        async def changed() -> None:
            try:
                # another run each time: what was refused once stays so
                later = await delegate(plane, token, Delegate(next(runs), "agent:writer"))
            except Failure as failure:
                raise AssertionError(failure.detail) from failure
            assert later.scopes == ("model.complete",)

        await eventually(changed)


async def test_a_thousand_children_at_once_spend_no_more_than_their_parent_was_given(plane: Plane) -> None:
    credential = plane.key(usd=1)
    async with plane.policy(), plane.policy():
        token = (await plane.authenticate(credential)).token
        parent = await delegate(plane, token, Delegate("run_0", "agent:parent", budget_nano=1000))
        places = asyncio.Semaphore(100)

        async def child(number: int) -> bool:
            asked = Delegate(f"run_{number}", "agent:child", budget_nano=900)
            async with places:
                made = await delegate(plane, parent.token, asked)
                return (await plane.evaluate(complete(30), made.token)).decision

        children = await asyncio.gather(*(child(number) for number in range(1, 1001)), return_exceptions=True)

        # once the parent has nothing left, there is nothing to give to a child either
        late = [one for one in children if isinstance(one, Failure)]
        assert {one.code for one in late} <= {Code.BUDGET_EXHAUSTED}
        assert sum(one is True for one in children) == 33  # 33 * 30 = 990
        (balance,) = [b for b in (await plane.balances(parent.token)).accounts if b.account == "run:run_0"]
        assert balance.reserved_nano == 990
        links = (await chain(plane, token, ChainRequest("run_0"))).links
        assert (links[0].link.nano, links[0].left_nano) == (1000, 10)


async def test_a_chain_that_somebody_wrote_themselves_is_not_believed(plane: Plane) -> None:
    credential = plane.key(scopes=("model.complete",))
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        child = await delegate(plane, token, Delegate("run_1", "agent:a"))
        header, payload, signature = child.token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        forged = [
            claims | {"act": {"sub": "agent:root"}},
            {name: value for name, value in claims.items() if name != "act"},
            claims | {"lineage": []},
            claims | {"scope": "*"},
            claims | {"accounts": []},
            claims | {"txn": "txn_x"},
        ]
        for one in forged:
            text = base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
            for made in (f"{header}.{text}.{signature}", f"{header}.{text}."):
                with pytest.raises(Failure) as raised:
                    await delegate(plane, made, Delegate("run_2", "agent:b"))
                assert raised.value.code is Code.UNAUTHENTICATED


async def test_asking_for_more_gives_no_more(plane: Plane) -> None:
    credential = plane.key(scopes=("model.complete", "run.read"), tools=("sql",), usd=0.000001)
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        parent = await delegate(plane, token, Delegate("run_1", "agent:a", budget_nano=600, lifetime_s=60))
        asked = Delegate(
            "run_2",
            "agent:b",
            scopes=("*", "tool.call", "tools:destructive", "key:admin"),
            tools=("*", "shell"),
            budget_nano=10**12,
            lifetime_s=10**6,
        )
        child = await delegate(plane, parent.token, asked)
        (_, link) = (await chain(plane, token, ChainRequest("run_2"))).links
        assert (child.scopes, link.link.tools) == (("model.complete", "run.read"), ("sql",))
        assert (link.link.nano, child.expires) == (600, parent.expires)


async def test_a_delegation_whose_chain_cannot_be_kept_gives_no_token(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy():
        token = (await plane.authenticate(credential)).token
        setup = await Bus.connect(BusConfig(url=plane.broker.url, principal="setup"))
        try:
            await setup.connection.request("$JS.API.STREAM.DELETE.KV_chains", b"", timeout_s=5)
        finally:
            await setup.close()
        with pytest.raises(Failure):
            await plane.bus.call(POLICY_DELEGATE, Delegate("run_1", "agent:a"), Meta(token=token), timeout_s=1)
