"""Approvals over a real broker: what is held, who may answer, and that it is done once, exactly as approved."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from penstock.contracts.approvals import (
    Approval,
    ApprovalAnswer,
    ApprovalEvent,
    ApprovalListRequest,
    ApprovalPage,
    ApprovalRef,
)
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import (
    APPROVAL_ANSWER,
    APPROVAL_EVENT,
    APPROVAL_GET,
    APPROVAL_LIST,
    POLICY_DELEGATE,
    POLICY_EVALUATIONS,
)
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Decision, Delegate, Question, Questions, Reserve
from penstock.kit.lifecycle import Host
from services.policy.config import Config
from tests.services.policy.conftest import Plane, call_tool
from tests.support.eventually import eventually

PAYMENTS = """
@id("payments") @reason("payments are looked at") @approval("finance")
permit (principal, action == Action::"tool.call", resource == Tool::"pay");
"""
BOTH = '@id("counsel") @approval("legal") permit (principal, action == Action::"tool.call", resource == Tool::"pay");'


@dataclass
class Desk:
    """Alice asks; Bob is finance by his team, Carol by a scope; Eve is neither. Each has a token."""

    plane: Plane
    alice: str
    bob: str
    carol: str
    eve: str

    async def ask(
        self, *, digest: str = "a" * 64, token: str = "", attempt: str = "", nano: int = 0, **meta: object
    ) -> Decision:
        return await self.plane.evaluate(pay(digest, attempt, nano), token or self.alice, within_s=8, **meta)

    async def answer(self, id: str, token: str = "", answer: str = "approve", reason: str = "go ahead") -> Approval:
        said = msgspec.convert({"id": id, "answer": answer, "reason": reason}, ApprovalAnswer)
        return await self.plane.bus.call(APPROVAL_ANSWER, said, meta(token or self.bob), tenant="acme", timeout_s=8)

    async def get(self, id: str, token: str = "") -> Approval:
        return await self.plane.bus.call(APPROVAL_GET, ApprovalRef(id), meta(token or self.bob), tenant="acme")

    async def page(self, token: str = "", **asked: object) -> ApprovalPage:
        request = msgspec.convert(asked, ApprovalListRequest)
        return await self.plane.bus.call(APPROVAL_LIST, request, meta(token or self.bob), tenant="acme")

    async def events(self, id: str) -> list[ApprovalEvent]:
        return [one.body for one in await self.plane.bus.read(APPROVAL_EVENT, tenant="acme", approval=id)]

    async def refused(self, id: str, token: str) -> Failure:
        with pytest.raises(Failure) as raised:
            await self.answer(id, token)
        return raised.value


def pay(digest: str = "a" * 64, attempt: str = "", nano: int = 0) -> Question:
    asked = msgspec.structs.replace(call_tool("pay", attempt=attempt), arguments_digest=digest)
    return msgspec.structs.replace(asked, reserve=Reserve(nano)) if nano else asked


def meta(token: str) -> Meta:
    return Meta(request=new_id("req"), token=token)


async def token_of(
    plane: Plane, *, tenant: str = "acme", subject: str = "user:alice", team: str = "", scopes: tuple[str, ...] = ("*",)
) -> str:
    """A token for a new key."""
    credential = plane.key(tenant=tenant, subject=subject, team=team, scopes=scopes)

    async def known() -> str:
        try:
            return (await plane.authenticate(credential)).token
        except Failure as failure:
            raise AssertionError(str(failure)) from failure

    return await eventually(known)


async def desk_of(plane: Plane) -> Desk:
    return Desk(
        plane,
        alice=await token_of(plane),
        bob=await token_of(plane, subject="user:bob", team="finance"),
        carol=await token_of(plane, subject="user:carol", scopes=("approve:finance",)),
        eve=await token_of(plane, subject="user:eve", scopes=("*", "approve:legal")),
    )


def policy(plane: Plane, more: str = PAYMENTS, **changed: object) -> AbstractAsyncContextManager[Host[Config]]:
    return plane.policy(bundle_dir=str(plane.bundle(more)), approvals_look_every_s=0.05, **changed)


async def test_a_held_question_makes_one_approval_however_often_it_is_asked(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        first = await desk.ask(job="job_1", step="tool-1")
        again = await asyncio.gather(*(desk.ask(attempt=f"att_{n}") for n in range(5)))

        assert (first.decision, first.context.effect, first.context.code) == (False, "hold", "approval_required")
        assert {one.context.approval for one in again} == {first.context.approval}
        (approval,) = (await desk.page()).approvals
        assert (approval.id, approval.state, approval.requester) == (first.context.approval, "pending", "user:alice")
        assert (approval.action, approval.resource, approval.groups) == ("tool.call", 'Tool::"pay"', ("finance",))
        assert (approval.job, approval.step, approval.arguments_digest) == ("job_1", "tool-1", "a" * 64)
        assert "payments are looked at" in approval.reasons
        (record, *_) = await plane.decisions()
        assert (record.effect, record.approval, record.approvers) == ("hold", approval.id, ())

        async def told() -> None:
            assert [event.type for event in await desk.events(approval.id)] == ["asked"]

        await eventually(told)


async def test_what_is_approved_is_done_once_and_the_record_names_the_approver(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        answered = await desk.answer(id)
        assert (answered.state, answered.answers[0].by, answered.answers[0].reason) == (
            "approved",
            "user:bob",
            "go ahead",
        )
        done = await desk.ask(attempt="att_done")
        assert (done.decision, done.context.effect, done.context.approval) == (True, "allow", id)
        assert (await desk.ask(attempt="att_done")).decision  # the same attempt is the same call
        once_more = await desk.ask()
        assert (once_more.context.effect, once_more.context.approval != id) == ("hold", True)

        records = [one for one in await plane.decisions() if one.action == "tool.call"]
        assert [(one.effect, one.approval == id, one.approvers) for one in records] == [
            ("hold", True, ()),
            ("allow", True, ("user:bob",)),
            ("hold", False, ()),
        ]
        assert (await desk.get(id)).state == "used"

        async def told() -> None:
            assert [event.type for event in await desk.events(id)] == ["asked", "approved", "used"]

        await eventually(told)


async def test_of_two_retries_at_once_one_runs(plane: Plane) -> None:
    async with policy(plane), policy(plane):
        desk = await desk_of(plane)
        await desk.answer((await desk.ask()).context.approval)
        decisions = await asyncio.gather(*(desk.ask() for _ in range(8)))
        assert sum(one.decision for one in decisions) == 1
        assert len({one.context.approval for one in decisions if not one.decision}) == 1


async def test_other_arguments_another_caller_and_another_run_need_their_own(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        await desk.answer(id)
        run = await run_token(desk)
        others = [await desk.ask(digest="b" * 64), await desk.ask(token=desk.eve), await desk.ask(token=run)]
        assert [one.context.effect for one in others] == ["hold", "hold", "hold"]
        assert len({id, *(one.context.approval for one in others)}) == 4


async def run_token(desk: Desk) -> str:
    asked = Delegate("run_1", "agent:helper")
    return (await desk.plane.bus.call(POLICY_DELEGATE, asked, meta(desk.alice), timeout_s=5)).token


async def test_a_step_of_a_run_may_be_tried_again_with_its_approval_and_another_step_not(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        run = await run_token(desk)
        await desk.answer((await desk.ask(token=run, step="tool-1")).context.approval)
        tries = [await desk.ask(token=run, step=step) for step in ("tool-1", "tool-1", "tool-2")]
        assert [one.context.effect for one in tries] == ["allow", "allow", "hold"]


async def test_a_forbid_that_came_meanwhile_wins(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        await desk.answer((await desk.ask()).context.approval)
        plane.bundle(PAYMENTS + '@id("freeze") @reason("frozen") forbid (principal, action, resource == Tool::"pay");')

        async def forbidden() -> None:
            decision = await desk.ask(digest="c" * 64)
            assert decision.context.effect == "deny"

        await eventually(forbidden)
        refused = await desk.ask()
        assert (refused.decision, refused.context.code) == (False, "denied")
        assert refused.context.reasons[0].text == "frozen"


async def test_nobody_answers_for_themselves_and_only_members_of_the_group_answer(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        own = await token_of(plane, team="finance")
        asked = Delegate("run_2", "agent:helper")
        agent = await plane.bus.call(POLICY_DELEGATE, asked, meta(desk.bob), timeout_s=5)
        refusals = [
            await desk.refused(id, desk.alice),
            await desk.refused(id, own),
            await desk.refused(id, desk.eve),
            await desk.refused(id, agent.token),
        ]
        assert {one.code for one in refusals} == {Code.DENIED}
        assert "nobody answers what they" in refusals[1].detail
        assert "only members of the group" in refusals[2].detail
        assert "cannot answer" in refusals[3].detail
        assert (await desk.get(id)).state == "pending"
        assert (await desk.answer(id, desk.carol)).state == "approved"
        records = [one for one in await plane.decisions() if one.action == "approval.answer"]
        assert [one.effect for one in records] == ["deny", "deny", "deny", "deny", "allow"]


async def test_four_eyes_hold_under_a_bundle_that_permits_everything(plane: Plane, tmp_path: Path) -> None:
    everything = '@id("all") permit (principal, action, resource);' + PAYMENTS
    plane.bundle("")
    (plane.folder / "bundle" / "policies.cedar").write_text(everything, encoding="utf-8")
    async with plane.policy(bundle_dir=str(plane.folder / "bundle")):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        assert (await desk.refused(id, desk.alice)).code is Code.DENIED
        assert (await desk.refused(id, desk.eve)).code is Code.DENIED
        assert (await desk.answer(id, desk.bob)).state == "approved"


async def test_another_tenant_finds_nothing(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        other = await token_of(plane, tenant="globex", subject="user:bob", team="finance")
        with pytest.raises(Failure) as raised:
            await plane.bus.call(APPROVAL_GET, ApprovalRef(id), meta(other), tenant="globex", timeout_s=5)
        assert raised.value.code is Code.NOT_FOUND
        with pytest.raises(Failure) as raised:
            said = ApprovalAnswer(id, "approve")
            await plane.bus.call(APPROVAL_ANSWER, said, meta(other), tenant="globex", timeout_s=5)
        assert raised.value.code is Code.NOT_FOUND
        page = await plane.bus.call(APPROVAL_LIST, ApprovalListRequest(), meta(other), tenant="globex")
        assert page.approvals == []
        assert (await desk.get(id)).state == "pending"


async def test_a_list_shows_what_one_asked_for_or_may_answer(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        ids = [(await desk.ask(digest=f"{n}" * 64)).context.approval for n in range(3)]
        admin = await token_of(plane, subject="user:dora", scopes=("approval:admin",))
        assert [one.id for one in (await desk.page(desk.alice)).approvals] == ids[::-1]
        assert [one.id for one in (await desk.page(admin)).approvals] == ids[::-1]
        assert (await desk.page(desk.eve)).approvals == []
        first = await desk.page(limit=2)
        rest = await desk.page(limit=2, before=first.next)
        assert [one.id for one in (*first.approvals, *rest.approvals)] == ids[::-1]
        with pytest.raises(Failure) as raised:
            await desk.get(ids[0], desk.eve)
        assert raised.value.code is Code.DENIED


async def test_of_concurrent_answers_one_wins_and_the_other_is_told_so(plane: Plane) -> None:
    async with policy(plane), policy(plane):
        desk = await desk_of(plane)
        for n in range(4):
            id = (await desk.ask(digest=f"{n}" * 64)).context.approval
            answers = await asyncio.gather(
                desk.answer(id, desk.bob), desk.answer(id, desk.carol, "deny", "no"), return_exceptions=True
            )
            failures = [one for one in answers if isinstance(one, Failure)]
            (won,) = [one for one in answers if isinstance(one, Approval)]
            assert [one.code for one in failures] == [Code.CONFLICT]
            assert (await desk.get(id)).answers == won.answers
            assert await desk.answer(id, *last(won, desk)) == await desk.get(id)  # the winner again is one answer


def last(won: Approval, desk: Desk) -> tuple[str, str]:
    said = won.answers[-1]
    return (desk.bob, "approve") if said.approved else (desk.carol, "deny")


async def test_a_denial_stands_with_its_reason(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        await desk.answer(id, answer="deny", reason="not \x1b[31mthis\u202e\nquarter")
        refused = await desk.ask()
        assert (refused.context.effect, refused.context.code, refused.context.approval) == ("deny", "denied", id)
        assert refused.context.reasons[0].text == "user:bob said no: not [31mthis quarter"
        with pytest.raises(Failure) as raised:
            await desk.answer(id, desk.carol)
        assert raised.value.code is Code.CONFLICT


async def test_every_group_that_is_named_must_approve(plane: Plane) -> None:
    async with policy(plane, PAYMENTS + BOTH):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        assert (await desk.answer(id, desk.bob)).state == "pending"
        assert not (await desk.ask()).decision
        assert (await desk.answer(id, desk.eve)).state == "approved"
        decision = await desk.ask()
        assert (decision.decision, decision.context.approvers) == (True, ("user:bob", "user:eve"))


async def test_what_nobody_answers_is_reminded_of_and_expires(plane: Plane) -> None:
    async with policy(plane, PAYMENTS.replace('"finance"', '"finance; expires:1s"')) as host:
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval

        async def over() -> None:
            types = [event.type for event in await desk.events(id)]
            assert types == ["asked", "reminder", "reminder", "expired"]

        await eventually(over, within_s=8)
        with pytest.raises(Failure, match="expired") as raised:
            await desk.answer(id)
        assert raised.value.code is Code.CONFLICT
        assert (await desk.ask()).context.approval != id
        assert waiting(host) >= 0


def waiting(host: Host[Config]) -> float:
    text = host.metrics.render().decode()
    return float(next(line for line in text.splitlines() if line.startswith("penstock_approvals_waiting")).split()[1])


async def test_a_tenant_cannot_flood_its_approvers(plane: Plane) -> None:
    async with policy(plane, approvals_pending_max=2):
        desk = await desk_of(plane)
        for n in range(2):
            assert (await desk.ask(digest=f"{n}" * 64)).context.effect == "hold"
        refused = await desk.ask(digest="f" * 64)
        assert (refused.context.effect, refused.context.code) == ("deny", "rate_limited")
        assert (await desk.ask(digest="0" * 64)).context.effect == "hold"  # is one that waits already
        other = await token_of(plane, tenant="globex", subject="user:zoe")
        assert (await desk.ask(token=other)).context.effect == "hold"


async def test_without_a_store_for_approvals_nothing_that_needs_one_is_done(plane: Plane) -> None:
    async with policy(plane, record_timeout_s=1.0):
        desk = await desk_of(plane)
        await desk.answer((await desk.ask()).context.approval)
        await plane.bus.jetstream.connection.request("$JS.API.STREAM.DELETE.KV_approvals", b"", timeout_s=2)
        with pytest.raises(Failure) as raised:
            await desk.ask()
        assert raised.value.code is Code.UNAVAILABLE
        assert (await plane.evaluate(call_tool("read"), desk.alice)).decision


async def test_an_approval_outlives_the_policy_service(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
    async with policy(plane):
        assert (await desk.ask()).context.approval == id
        await desk.answer(id)
    async with policy(plane):
        assert (await desk.ask(attempt="att_1")).decision
    async with policy(plane):
        # the answer was lost with the process: the same attempt has it, nobody else
        assert (await desk.ask(attempt="att_1")).decision
        assert (await desk.ask(attempt="att_2")).context.effect == "hold"


async def test_what_a_budget_refuses_does_not_use_up_the_approval(plane: Plane) -> None:
    plane.limits('acme: {"user:alice": {usd: 0.000001}}')
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        await desk.answer(id)
        refused = await desk.ask(nano=5000)
        assert (refused.context.effect, refused.context.code) == ("deny", "budget_exhausted")

        async def given_back() -> None:
            assert (await desk.get(id)).state == "approved"

        await eventually(given_back)
        assert (await desk.ask(nano=500)).decision


async def test_a_list_of_questions_asks_nobody(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        answer = await plane.bus.call(POLICY_EVALUATIONS, Questions([pay()]), meta(desk.alice), timeout_s=5)
        assert (answer.evaluations[0].context.effect, answer.evaluations[0].context.approval) == ("hold", "")
        assert (await desk.page()).approvals == []


@pytest.mark.parametrize("id", ["apr_1", "apr_" + "0" * 32 + "_0", "acme.apr", "x" * 5000, "", "*", ">"])
async def test_an_id_that_stands_for_nothing_is_not_found(plane: Plane, id: str) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        with pytest.raises(Failure) as raised:
            await desk.answer(id)
        assert raised.value.code is Code.NOT_FOUND


async def test_a_reason_without_bounds_is_refused(plane: Plane) -> None:
    async with policy(plane):
        desk = await desk_of(plane)
        id = (await desk.ask()).context.approval
        with pytest.raises(Failure) as raised:
            await desk.answer(id, reason="x" * 100_000)
        assert (raised.value.code, raised.value.param) == (Code.INVALID, "reason")
        assert (await desk.get(id)).answers == ()


async def test_an_agent_that_must_be_approved_gets_its_token_once(plane: Plane) -> None:
    agents = '@id("agents") @approval("finance") permit (principal, action == Action::"agent.delegate", resource);'
    async with policy(plane, agents):
        desk = await desk_of(plane)

        async def delegate(run: str, usd: int = 1) -> str:
            asked = Delegate(run, "agent:helper", budget_nano=usd)
            with pytest.raises(Failure) as raised:
                await plane.bus.call(POLICY_DELEGATE, asked, meta(desk.alice), timeout_s=5)
            assert raised.value.code is Code.APPROVAL_REQUIRED
            return raised.value.approval

        id = await delegate("run_1")
        assert await delegate("run_2") == id  # the same job, handed in again
        assert await delegate("run_2", usd=2) != id
        await desk.answer(id)
        asked = Delegate("run_3", "agent:helper", budget_nano=1)
        assert (await plane.bus.call(POLICY_DELEGATE, asked, meta(desk.alice), timeout_s=5)).token
        assert await delegate("run_4") != id
