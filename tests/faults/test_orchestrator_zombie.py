"""An orchestrator that stood still for so long that another took its run comes back, and changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from penstock.contracts.ids import partition, run_id
from penstock.contracts.jobs import Job
from penstock.contracts.runs import AnyRunEvent, Claimed, Completed, StepDone
from penstock.contracts.subjects import RUN_JOURNAL
from tests.support.eventually import eventually
from tests.support.process import module_process
from tests.support.run_peers import Peers, run_peers

AGENTS = "agents: [{name: helper, instructions: Help., model: fast, tools: [write]}]"


@pytest.fixture
async def peers(nats_url: str) -> AsyncIterator[Peers]:
    async with run_peers(nats_url) as peers:
        yield peers


async def journal(peers: Peers, job: str) -> list[tuple[int, AnyRunEvent]]:
    run = run_id("acme", job)
    return await peers.bus.journal(RUN_JOURNAL, partition=partition(run), run=run).load()


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_worker_that_was_paused_and_replaced_writes_nothing_more(
    peers: Peers, nats_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(AGENTS)
    environment = {"PENSTOCK_NATS_URL": nats_url, "PENSTOCK_AGENTS_FILE": str(file)}
    peers.script = [[("write", '{"n":1}')], [("write", '{"n":2}')], "finished"]
    reached = peers.hold("write")
    job = Job(kind="agent", input=msgspec.Raw(b'"go"'), id="job_a", agent="helper")
    async with module_process("services.orchestrator", environment=environment) as zombie:
        await zombie.says('"event": ?"ready"')
        await peers.submit(job)
        await asyncio.wait_for(reached.wait(), 20)
        zombie.child.pause()
        peers.gates["write"].set()
        async with module_process("services.orchestrator", environment=environment) as successor:
            await successor.says('"event": ?"ready"')
            view = await peers.ended("job_a", within_s=120)
            before = await journal(peers, "job_a")
            zombie.child.resume()

            async def fenced() -> None:
                assert "a run was lost" in zombie.output

            await eventually(fenced, 30, every_s=0.1)
            assert await journal(peers, "job_a") == before
    assert view.state == "completed"
    done = [event.step for _, event in before if isinstance(event, StepDone)]
    assert len(done) == len(set(done)) == 1 + 3 + 2
    claims = [sequence for sequence, event in before if isinstance(event, Claimed)]
    assert len(claims) == 2
    assert isinstance(before[-1][1], Completed)
    assert list(peers.effects.values()) == [1, 1]
    told = await peers.events("job_a")
    assert [event.n for event in told] == list(range(len(told)))
