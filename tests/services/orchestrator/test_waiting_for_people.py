"""Runs that wait for people's approval, on a real broker: they keep no worker, outlive it, and go on when answered."""

import asyncio
import time
from typing import Literal

import msgspec
import pytest

from penstock.contracts.approvals import ApprovalEvent
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import APPROVAL_EVENT
from penstock.contracts.ids import run_id
from penstock.contracts.jobs import JobEvent, JobRef, JobView
from penstock.contracts.meta import Meta
from penstock.contracts.runs import Held, InputTaken, StepDone, Waiting
from penstock.contracts.subjects import JOB_CANCEL
from penstock.kit.lifecycle import Host
from services.orchestrator.config import Config
from tests.services.orchestrator.conftest import Start
from tests.services.orchestrator.test_jobs import job, output
from tests.services.orchestrator.test_takeover import journal, process_environment
from tests.support.eventually import eventually
from tests.support.process import module_process
from tests.support.run_peers import Peers

PAYS: list[object] = [[("pay", '{"amount":5}')], "finished"]


def held(peers: Peers, tool: str = "pay", approval: str = "apr_1") -> None:
    """The tool is refused until people have approved."""
    why = "approval by finance is needed"
    peers.denied[tool] = Failure(Code.APPROVAL_REQUIRED, why, decision="dec_1", reasons=(why,), approval=approval)


async def answer(
    peers: Peers,
    type: Literal["approved", "denied", "expired"],
    *,
    tool: str = "pay",
    approval: str = "apr_1",
    reason: str = "",
    job_id: str = "job_a",
) -> None:
    """What policy tells when people have answered; from then on it permits what they approved."""
    if type == "approved":
        peers.denied.pop(tool, None)
    event = ApprovalEvent(
        approval=approval,
        type=type,
        time=time.time(),
        action="tool.call",
        resource=f'Tool::"{tool}"',
        requester="user:alice",
        groups=("finance",),
        until=time.time() + 60,
        run=run_id("acme", job_id),
        job=job_id,
        by=("user:bob",) if type != "expired" else (),
        reason=reason,
    )
    await peers.bus.emit(APPROVAL_EVENT, event, Meta(), tenant="acme", approval=approval)


async def waits(peers: Peers, id: str = "job_a", approvals: tuple[str, ...] = ("apr_1",)) -> JobView:
    async def check() -> JobView:
        view = await peers.view(id)
        assert (view.state, tuple(sorted(view.approvals))) == ("waiting", approvals)
        return view

    return await eventually(check, within_s=10)


async def parked(host: Host[Config]) -> None:
    async def check() -> None:
        assert "penstock_runs_active 0.0" in host.metrics.render().decode()

    await eventually(check, within_s=10)


async def told_of_approval(peers: Peers) -> JobEvent:
    async def check() -> JobEvent:
        found = [one for one in await peers.events("job_a") if one.approval]
        assert found
        return found[0]

    return await eventually(check)


def told(events: list[JobEvent]) -> list[str]:
    return [event.type for event in events]


async def submit(peers: Peers, script: list[object], id: str = "job_a") -> None:
    peers.script = list(script)  # type: ignore[arg-type]  # the same list, typed wider
    await peers.submit(job("agent", "go", id=id, agent="helper"))


@pytest.mark.parametrize("park_after_s", [0.0, 30.0])
async def test_a_held_step_waits_for_its_answer_and_is_done_once(
    peers: Peers, start: Start, park_after_s: float
) -> None:
    held(peers)
    async with start(park_after_s=park_after_s) as host:
        await submit(peers, PAYS)
        await waits(peers)
        if not park_after_s:
            await parked(host)
        event = await told_of_approval(peers)
        assert (event.type, event.step, event.name, event.approval) == ("waiting", "tool-1-1", "pay", "apr_1")
        assert (event.detail, event.decision) == ("approval by finance is needed", "dec_1")
        await answer(peers, "approved")
        view = await peers.ended("job_a")
    assert (view.state, view.approvals) == ("completed", ())
    assert output(view.output) == {"text": "finished ", "model": "m-1"}
    assert [count for key, count in peers.effects.items() if key.endswith("tool-1-1")] == [1]
    assert peers.model_calls.total() == 2
    events = await journal(peers.bus, "job_a")
    assert sum(isinstance(one, Held) for _, one in events) == 1
    assert sum(isinstance(one, InputTaken) for _, one in events) == 1
    assert sum(isinstance(one, Waiting) for _, one in events) == (not park_after_s)


@pytest.mark.parametrize(
    ("type", "reason", "said"),
    [
        ("denied", "too much", "denied: user:bob said no: too much"),
        ("denied", "", "denied: user:bob said no"),
        ("expired", "", "denied: nobody approved it in time"),
    ],
)
async def test_the_model_is_told_what_people_refused(
    peers: Peers, start: Start, type: Literal["denied", "expired"], reason: str, said: str
) -> None:
    held(peers)
    async with start(park_after_s=0.0) as host:
        await submit(peers, PAYS)
        await waits(peers)
        await parked(host)
        await answer(peers, type, reason=reason)
        view = await peers.ended("job_a")
    assert view.state == "completed"
    assert said in peers.bodies[-1]
    assert not [key for key in peers.effects if key.endswith("tool-1-1")]
    done = next(
        one for _, one in await journal(peers.bus, "job_a") if isinstance(one, StepDone) and one.step == "tool-1-1"
    )
    assert done.error is not None
    assert (done.error.code, done.error.approval) == ("denied", "apr_1")


async def test_a_tool_job_that_people_refuse_is_denied(peers: Peers, start: Start) -> None:
    held(peers)
    async with start(park_after_s=0.0):
        await peers.submit(job("tool", {"amount": 5}, id="job_a", tool="pay"))
        await waits(peers)
        await answer(peers, "denied", reason="no")
        view = await peers.ended("job_a")
    assert view.state == "denied"
    assert view.error is not None and view.error.detail == "user:bob said no: no"


async def test_what_does_not_wait_goes_on_beside_what_does(peers: Peers, start: Start) -> None:
    held(peers)
    held(peers, "write", "apr_2")
    async with start(park_after_s=0.0) as host:
        await submit(peers, [[("pay", "{}"), ("write", "{}"), ("lookup", "{}")], "finished"])
        await waits(peers, approvals=("apr_1", "apr_2"))
        await parked(host)
        assert [key for key in peers.effects if key.endswith("tool-1-3")]
        await answer(peers, "approved", tool="write", approval="apr_2")
        await waits(peers, approvals=("apr_1",))
        await parked(host)
        await answer(peers, "approved")
        view = await peers.ended("job_a")
    assert view.state == "completed"
    assert set(peers.effects.values()) == {1}


@pytest.mark.parametrize("park_after_s", [0.0, 30.0])
async def test_a_run_that_waits_for_people_can_be_cancelled(peers: Peers, start: Start, park_after_s: float) -> None:
    held(peers)
    async with start(park_after_s=park_after_s) as host:
        await submit(peers, PAYS)
        await waits(peers)
        if not park_after_s:
            await parked(host)
        await peers.bus.call(JOB_CANCEL, JobRef("job_a"), peers.meta(), timeout_s=10, tenant="acme")
        view = await peers.ended("job_a")
        assert (view.state, view.approvals) == ("cancelled", ())
        await answer(peers, "approved")  # comes to nothing
        assert told(await peers.events("job_a"))[-1] == "cancelled"
    assert not peers.effects


async def test_an_answer_that_comes_before_the_run_waits_is_not_lost(peers: Peers, start: Start) -> None:
    held(peers)
    reached = peers.hold("model-1")
    async with start(park_after_s=0.0):
        await submit(peers, PAYS)
        await asyncio.wait_for(reached.wait(), 10)
        await answer(peers, "denied", reason="early")

        async def taken() -> None:
            assert any(isinstance(one, InputTaken) for _, one in await journal(peers.bus, "job_a"))

        await eventually(taken)
        peers.gates["model-1"].set()
        view = await peers.ended("job_a")
    assert view.state == "completed"
    assert "denied: user:bob said no: early" in peers.bodies[-1]


async def test_policy_that_asks_for_something_else_after_an_answer_is_waited_for_again(
    peers: Peers, start: Start
) -> None:
    held(peers)
    async with start(park_after_s=0.0):
        await submit(peers, PAYS)
        await waits(peers)
        held(peers, approval="apr_2")
        peers_denied = dict(peers.denied)
        await answer(peers, "approved", tool="other")
        assert peers.denied == peers_denied
        await waits(peers, approvals=("apr_2",))
        await answer(peers, "approved", approval="apr_2")
        assert (await peers.ended("job_a")).state == "completed"
    assert [count for key, count in peers.effects.items() if key.endswith("tool-1-1")] == [1]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("park_after_s", ["0.0", "60.0"])
async def test_a_run_that_waits_outlives_its_worker(peers: Peers, config: Config, park_after_s: str) -> None:
    held(peers)
    environment = process_environment(config) | {"PENSTOCK_PARK_AFTER_S": park_after_s}
    async with module_process("services.orchestrator", environment=environment) as first:
        await first.says('"event": ?"ready"')
        await submit(peers, PAYS)
        await waits(peers)
        await first.kill()
    # nobody is there to hear it
    await answer(peers, "approved")
    async with module_process("services.orchestrator", environment=environment) as second:
        await second.says('"event": ?"ready"')
        view = await peers.ended("job_a", within_s=45)
    assert view.state == "completed"
    assert set(peers.effects.values()) == {1}
    events = await peers.events("job_a")
    assert [event.n for event in events] == list(range(len(events)))


async def test_events_that_concern_no_run_wake_nobody(peers: Peers, start: Start) -> None:
    async with start() as host:
        for run in ("", "run_x", "not a token"):
            event = ApprovalEvent("apr_9", "approved", 1.0, "a", "r", "user:alice", ("finance",), 2.0, run=run)
            await peers.bus.emit(APPROVAL_EVENT, event, Meta(), tenant="acme", approval="apr_9")
        await submit(peers, ["done"])
        assert (await peers.ended("job_a")).state == "completed"
        assert host.parts is not None


def test_a_wait_is_part_of_the_public_contract() -> None:
    event = JobEvent(job="job_a", n=2, type="waiting", time=1.0, approval="apr_1")
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "job": "job_a",
        "n": 2,
        "type": "waiting",
        "time": 1.0,
        "approval": "apr_1",
    }
