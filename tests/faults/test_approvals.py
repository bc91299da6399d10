"""The whole plane: a run that waits for people while the parts that know of it are killed, one after the other."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from penstock.client import Penstock
from penstock.contracts.approvals import Approval
from penstock.contracts.audit import DECISION, DecisionRecord
from tests.faults.proof import charged_once, completed
from tests.faults.world import World
from tests.support.eventually import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HELD = """
@id("charges") @reason("charges are looked at") @approval("finance")
permit (principal, action == Action::"tool.call", resource == Tool::"charge");
"""


def hold_charges(folder: Path) -> None:
    written = folder / "policies" / "written"
    written.write_text(HELD, encoding="utf-8")
    written.replace(folder / "policies" / "charges.cedar")


async def pending(approver: Penstock, job: str) -> Approval:
    """The approval that this job waits for."""

    async def check() -> Approval:
        found = [one for one in (await approver.approvals(state="pending")).approvals if one.job == job]
        assert len(found) == 1
        return found[0]

    return await eventually(check, within_s=60, every_s=0.1)


async def test_a_run_waits_for_people_through_the_death_of_all_who_know_of_it(shared_world: World) -> None:
    world, plane = shared_world, shared_world.plane
    hold_charges(plane.folder)
    bob = await plane.known_key(subject="user:bob", team="finance")
    async with plane.client() as alice, plane.client(bob) as approver:
        await alice.submit(world.agent("apr"))
        first = await pending(approver, "job_apr")
        assert first.summary == '{"item":"apr-1"}'
        assert (first.action, first.resource, first.groups) == ("tool.call", 'Tool::"charge"', ("finance",))
        killed = {part: plane.kill(part) for part in ("orchestrator", "policy")}
        await asyncio.gather(*(plane.back(part, pid) for part, pid in killed.items()))
        assert (await alice.get("job_apr")).approvals == (first.id,)
        await approver.answer(first.id, "approve", "the first")

        second = await pending(approver, "job_apr")
        assert second.id != first.id
        killed = {"orchestrator": plane.kill("orchestrator")}
        await approver.answer(second.id, "approve", "the second, while nobody could hear it")
        await plane.back("orchestrator", killed["orchestrator"])
        await completed(world, alice, "apr")
        states = [(await approver.approval(one.id)).state for one in (first, second)]
        assert states == ["used", "used"]
        trail = await alice.trail(job="job_apr")
    charged_once(world, "apr")
    decisions = [
        msgspec.json.decode(entry.record.data, type=DecisionRecord)
        for entry in trail.entries
        if entry.record.type == DECISION
    ]
    done = [one for one in decisions if one.action == "tool.call" and one.effect == "allow" and one.approval]
    assert sorted((one.approval, one.approvers) for one in done) == sorted(
        [(first.id, ("user:bob",)), (second.id, ("user:bob",))]
    )
    assert [one.who.origin for one in decisions if one.action == "approval.answer"] == ["user:bob", "user:bob"]
