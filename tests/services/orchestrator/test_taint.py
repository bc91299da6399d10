"""What a run has read taints everything it does afterwards, in whatever worker's hands."""

import msgspec
import pytest

from penstock.contracts.jobs import Job
from penstock.contracts.meta import Meta
from penstock.contracts.runs import Claimed, Created, StepDone
from penstock.kit.retry import Backoff
from services.orchestrator.again import Patience
from services.orchestrator.blobs import Blobs
from services.orchestrator.fold import fold
from services.orchestrator.runlog import RunLog
from services.orchestrator.steps import Done, Steps, Try
from tests.support.journal_model import Crash, FastClock, MemoryJournal

PATIENCE = Patience(tries_max=1, unsure_tries_max=1, backoff=Backoff(first_s=0.1, most_s=1.0))
READS = (("read", ()), ("search", ("web",)), ("look", ("hidden_text", "web")), ("write", ()))


async def nothing(data: bytes | str) -> str:
    raise AssertionError("nothing here is large")


async def no_blob(id: str) -> bytes:
    raise AssertionError("nothing here is large")


async def work(journal: MemoryJournal, crash_after: int = -1) -> dict[str, tuple[str, ...]]:
    """One worker's life; the taint that each step's calls went out with."""
    clock, seen = FastClock(), dict[str, tuple[str, ...]]()
    state = fold(journal.events)
    log = RunLog(state, journal.writer(crash_after).append, clock, lambda run, event: None)
    await log.append(lambda n, time: Claimed(n=n, time=time, worker="w", revision="r"))
    steps = Steps(log, "run_1", Meta(job="job_1", tenant="acme"), Blobs(nothing, no_blob, 10_000), PATIENCE, clock)
    for name, taint in READS:

        async def do(this: Try, name: str = name, taint: tuple[str, ...] = taint) -> Done[int]:
            seen[name] = this.meta.taint
            return Done(1, taint=taint)

        await steps.step(name, name, do, int, arguments=[name])
    return seen


def new_journal() -> MemoryJournal:
    job = Job(kind="agent", input=msgspec.Raw(b'"x"'), id="job_1")
    event = Created(
        n=0, time=1.0, run="run_1", tenant="acme", subject="user:alice", job=job, token="t", revision="r", deadline=9e9
    )
    return MemoryJournal([(5, event)])


async def test_each_step_goes_out_with_what_the_run_has_read_so_far() -> None:
    journal = new_journal()
    assert await work(journal) == {
        "read": (),
        "search": (),
        "look": ("web",),
        "write": ("hidden_text", "web"),
    }
    kept = [event.taint for _, event in journal.events if isinstance(event, StepDone)]
    assert kept == [(), ("web",), ("hidden_text", "web"), ()]


@pytest.mark.parametrize("crash_after", [1, 2, 3, 4])
async def test_another_worker_goes_on_with_the_taint(crash_after: int) -> None:
    journal = new_journal()
    with pytest.raises(Crash):
        await work(journal, crash_after)
    assert (await work(journal)).get("write", ("hidden_text", "web")) == ("hidden_text", "web")
