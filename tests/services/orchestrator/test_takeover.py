"""Runs that outlive their workers, and runs that are stopped: a real broker, and real processes where it matters."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import partition, run_id
from penstock.contracts.jobs import JobRef, JobView
from penstock.contracts.meta import Meta
from penstock.contracts.runs import AnyRunEvent, Cancelled, Claimed, Completed, Created, RunInput, StepDone
from penstock.contracts.stores import DLQ
from penstock.contracts.subjects import JOB_CANCEL, RUN_INPUT, RUN_JOURNAL
from services.orchestrator.config import Config
from tests.services.orchestrator.conftest import Start
from tests.services.orchestrator.test_jobs import job, output
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.process import ModuleProcess, module_process
from tests.support.run_peers import Peers

SIX_STEPS: list[object] = [
    [("lookup", '{"n":1}')],
    [("write", '{"n":2}')],
    [("write", '{"n":3}'), ("lookup", '{"n":4}')],
    [("write", '{"n":5}')],
    [("write", '{"n":6}')],
    "finished",
]


async def journal(bus: Bus, job_id: str, tenant: str = "acme") -> list[tuple[int, AnyRunEvent]]:
    run = run_id(tenant, job_id)
    return await bus.journal(RUN_JOURNAL, partition=partition(run), run=run).load()


async def cancel(peers: Peers, id: str) -> JobView:
    return await peers.bus.call(JOB_CANCEL, JobRef(id), peers.meta(), timeout_s=10, tenant="acme")


def process_environment(config: Config) -> dict[str, str]:
    names = ("nats_url", "agents_file", "occupied_pause_s", "step_first_pause_s", "drain_s")
    return {f"PENSTOCK_{name.upper()}": str(getattr(config, name)) for name in names}


def check_every_step_stands_once(events: list[tuple[int, AnyRunEvent]], steps: int) -> None:
    done = [event.step for _, event in events if isinstance(event, StepDone)]
    assert len(done) == len(set(done)) == steps
    assert [event.n for _, event in events] == list(range(len(events)))
    assert sum(isinstance(event, Completed) for _, event in events) == 1


@pytest.mark.timeout(90)
@pytest.mark.parametrize("dies_in", ["write", pytest.param("model-4", marks=pytest.mark.long)])
async def test_a_run_whose_process_is_killed_goes_on_elsewhere_and_repeats_no_step(
    peers: Peers, config: Config, dies_in: str
) -> None:
    peers.script = list(SIX_STEPS)  # type: ignore[arg-type]  # the same list, typed wider
    reached = peers.hold(dies_in)
    environment = process_environment(config)
    async with module_process("services.orchestrator", environment=environment) as first:
        await first.says('"event": ?"ready"')
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 20)
        before = [event.step for _, event in await journal(peers.bus, "job_a") if isinstance(event, StepDone)]
        calls_before = len(peers.tool_calls)
        await first.kill()
    peers.gates[dies_in].set()
    async with module_process("services.orchestrator", environment=environment) as second:
        await second.says('"event": ?"ready"')
        view = await peers.ended("job_a", within_s=60)
    assert view.state == "completed"
    assert output(view.output) == {"text": "finished ", "model": "m-1"}
    events = await journal(peers.bus, "job_a")
    check_every_step_stands_once(events, 1 + 6 + 6)
    claims = [sequence for sequence, event in events if isinstance(event, Claimed)]
    assert len(claims) == 2
    # what was recorded was not executed again, and what was executed twice had its effect once
    steps_after = [meta.step for _, meta in peers.tool_calls[calls_before:]]
    assert not set(steps_after) & set(before)
    assert set(peers.effects.values()) == {1} and len(peers.effects) == 6
    assert peers.model_calls.total() == 6 + (dies_in == "model-4")
    assert {meta.epoch for _, meta in peers.tool_calls} == set(claims)
    told = await peers.events("job_a")
    assert [event.n for event in told] == list(range(len(told)))
    assert [event.replayed for event in told if event.type == "started"] == [False, True]


async def stop(process: ModuleProcess) -> None:
    assert await process.terminate(15) == 0


async def test_a_worker_that_is_told_to_stop_hands_its_runs_over_at_once(
    peers: Peers, config: Config, start: Start
) -> None:
    peers.script = [[("lookup", '{"n":1}')], [("write", '{"n":2}')], "finished"]
    reached = peers.hold("write")
    environment = process_environment(config)
    async with module_process("services.orchestrator", environment=environment) as first:
        await first.says('"event": ?"ready"')
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 20)
        async with start():
            began = time.monotonic()
            stopping = asyncio.create_task(stop(first))
            peers.gates["write"].set()
            view = await peers.ended("job_a", within_s=20)
            took_s = time.monotonic() - began
            await stopping
    assert view.state == "completed"
    assert took_s < 5
    events = await journal(peers.bus, "job_a")
    check_every_step_stands_once(events, 1 + 3 + 2)
    assert set(peers.effects.values()) == {1}


async def test_a_step_that_must_not_be_cut_in_two_is_finished_before_the_hand_over(peers: Peers, start: Start) -> None:
    peers.script = [[("pay", "{}")], "paid"]
    reached = peers.hold("pay")
    async with start(drain_s=10.0):
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
        asyncio.get_running_loop().call_later(0.5, peers.gates["pay"].set)
    assert peers.stopped == []
    async with start():
        view = await peers.ended("job_a")
    assert view.state == "completed"
    assert set(peers.effects.values()) == {1}
    assert len([tool for tool, _ in peers.tool_calls if tool == "pay"]) == 1


async def test_a_cancel_stops_what_runs_and_is_recorded_once(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}")], "never"]
    reached = peers.hold("lookup")
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
        await cancel(peers, "job_a")
        view = await peers.ended("job_a")
        again = await cancel(peers, "job_a")
    assert view.state == again.state == "cancelled"
    assert peers.stopped == ["lookup"]
    ends = [event for _, event in await journal(peers.bus, "job_a") if isinstance(event, Cancelled)]
    assert [event.by for event in ends] == ["user:alice"]
    assert view.usage.output == 5  # the model call that was done
    assert (await peers.events("job_a"))[-1].type == "cancelled"


async def test_a_cancel_reaches_the_model_in_the_middle_of_its_answer(peers: Peers, start: Start) -> None:
    peers.script = ["one two three"]
    reached = peers.hold("model-1")
    async with start():
        await peers.submit(job("chat", "go", id="job_a", model="fast"))
        await asyncio.wait_for(reached.wait(), 5)
        await cancel(peers, "job_a")
        assert (await peers.ended("job_a")).state == "cancelled"

        async def stopped() -> None:
            assert peers.stopped == ["model-1"]

        await eventually(stopped)


@pytest.mark.parametrize("turn", range(3))
async def test_a_cancel_finds_the_run_whichever_replica_has_it(peers: Peers, start: Start, turn: int) -> None:
    peers.script = [[("lookup", "{}")], "never"]
    reached = peers.hold("lookup")
    async with start(), start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
        await cancel(peers, "job_a")
        assert (await peers.ended("job_a")).state == "cancelled"
    claims = [event for _, event in await journal(peers.bus, "job_a") if isinstance(event, Claimed)]
    assert len(claims) == 1


async def test_a_cancel_for_a_worker_without_a_free_place_is_heard_all_the_same(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}")], "never"]
    reached = peers.hold("lookup")
    async with start(runs_active_max=1):
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
        await cancel(peers, "job_a")
        assert (await peers.ended("job_a")).state == "cancelled"


async def test_a_job_that_is_not_done_by_its_deadline_fails_and_stops_its_calls(peers: Peers, start: Start) -> None:
    peers.script = [[("lookup", "{}")], "never"]
    peers.hold("lookup")
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper", deadline_s=0.5))
        view = await peers.ended("job_a")
    assert view.error is not None and view.error.code == "deadline"
    assert view.state == "failed"
    assert peers.stopped == ["lookup"]


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_broker_that_goes_and_comes_back_in_the_middle_costs_nothing(
    peers: Peers, start: Start, broker: NatsServer, how: str
) -> None:
    peers.script = [[("write", '{"n":1}')], [("write", '{"n":2}')], "finished"]
    reached = peers.hold("write")
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
        await (broker.stop() if how == "restart" else broker.kill())
        peers.gates["write"].set()
        await broker.start()
        view = await peers.ended("job_a", within_s=30)
    assert view.state == "completed"
    check_every_step_stands_once(await journal(peers.bus, "job_a"), 1 + 3 + 2)
    assert list(peers.effects.values()) == [1, 1]


# Journals that another worker left behind -------------------------------------------------------------------------


async def leave_behind(peers: Peers, *events: AnyRunEvent, id: str = "job_a", revision: str = "chat.1") -> str:
    """A run as a dead worker leaves it: created, started, and with these events; nothing of it was told."""
    run = run_id("acme", id)
    created = Created(
        n=0,
        time=time.time(),
        run=run,
        tenant="acme",
        subject="user:alice",
        job=job("chat", "hi", id=id, model="fast"),
        token=peers.signer.token(),
        revision=revision,
        deadline=time.time() + 60,
    )
    where = {"partition": partition(run), "run": run}
    writer = peers.bus.journal(RUN_JOURNAL, **where)
    for event in (created, *events):
        await writer.append(event)
    await peers.bus.assign(
        RUN_INPUT, RunInput(run, "start", "start"), Meta(), first=True, kind="start", id="start", **where
    )
    return run


def claims(count: int) -> list[AnyRunEvent]:
    return [Claimed(n=n, time=time.time(), worker="gone", revision="chat.1") for n in range(1, count + 1)]


async def test_what_a_dead_worker_did_not_come_to_tell_is_told_by_the_next(peers: Peers, start: Start) -> None:
    await leave_behind(peers, *claims(1))
    async with start():
        await peers.ended("job_a")
    told = await peers.events("job_a")
    assert [(event.n, event.type) for event in told] == [
        (0, "accepted"),
        (1, "started"),
        (2, "started"),
        (3, "step"),
        (4, "completed"),
    ]


async def test_a_run_that_is_over_is_only_told(peers: Peers, start: Start) -> None:
    end = Completed(n=2, time=time.time(), output=msgspec.Raw(b'{"text":"x"}'))
    await leave_behind(peers, *claims(1), end)
    async with start():
        await peers.ended("job_a")
    assert [event.type for event in await peers.events("job_a")] == ["accepted", "started", "completed"]
    assert len(await journal(peers.bus, "job_a")) == 3
    assert peers.model_calls.total() == 0


async def test_a_run_that_kills_every_worker_is_blocked_and_kept_for_a_person(peers: Peers, start: Start) -> None:
    await leave_behind(peers, *claims(5))
    async with start():
        view = await peers.ended("job_a")
        assert view.state == "blocked"
        assert view.error is not None and view.error.detail == "poison: claimed 5 times without a new step"

        async def buried() -> None:
            records = await peers.bus.jetstream.read(DLQ.name, "penstock.dlq.RUNS", limit=10)
            assert [record.headers["Nats-Service-Error-Code"] for record in records] == ["internal"]

        await eventually(buried)
        assert peers.model_calls.total() == 0
        await cancel(peers, "job_a")

        async def cancelled() -> None:
            assert (await peers.view("job_a")).state == "cancelled"

        await eventually(cancelled)


async def test_a_run_waits_for_a_worker_that_knows_its_revision(
    peers: Peers, start: Start, config: Config, lines: list[str]
) -> None:
    file = Path(config.agents_file)
    text = file.read_text()
    reached = peers.hold("model-1")
    peers.script = ["hello"]
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="quick"))
        await asyncio.wait_for(reached.wait(), 5)
    file.write_text(text.replace("Be quick.", "Be slow."))
    peers.gates["model-1"].set()
    async with start():

        async def waits() -> None:
            assert any("waits for its revision" in line for line in lines)

        await eventually(waits)
        assert (await peers.view("job_a")).state == "waiting"
        file.write_text(text)
        assert (await peers.ended("job_a")).state == "completed"


async def test_a_tool_of_effect_once_that_was_cut_in_two_waits_for_a_person(
    peers: Peers, config: Config, start: Start
) -> None:
    peers.script = [[("pay", "{}")], "paid"]
    reached = peers.hold("pay")
    async with start(drain_s=0.5):
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        await asyncio.wait_for(reached.wait(), 5)
    async with start():
        view = await peers.ended("job_a")
    assert view.state == "blocked"
    assert view.error is not None and view.error.code == "unknown_outcome"
    assert set(peers.effects.values()) == {1}


async def test_a_tool_whose_outcome_is_unknown_blocks_the_run(peers: Peers, start: Start) -> None:
    peers.script = [[("pay", "{}")], "paid"]
    peers.denied["pay"] = Failure(Code.UNKNOWN_OUTCOME, "the executor was lost")
    async with start():
        await peers.submit(job("agent", "go", id="job_a", agent="helper"))
        view = await peers.ended("job_a")
    assert view.state == "blocked"
    assert len(peers.tool_calls) == 1
