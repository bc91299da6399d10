"""Durable runs without a broker: wherever a worker dies, the next one ends the run as if nothing had happened."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Job
from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.contracts.runs import Blocked, Claimed, Completed, Created, StepDone, StepStarted
from penstock.contracts.tools import Effect
from penstock.kit.retry import Backoff
from services.orchestrator.again import Patience
from services.orchestrator.blobs import Blobs
from services.orchestrator.events import job_events
from services.orchestrator.execution import Broken, Execution
from services.orchestrator.fold import RunState, fold, view
from services.orchestrator.runlog import RunLog, RunLost
from services.orchestrator.steps import Done, Steps, Try, in_parallel
from tests.support.journal_model import Crash, FastClock, MemoryJournal

PATIENCE = Patience(tries_max=4, unsure_tries_max=2, backoff=Backoff(first_s=0.1, most_s=1.0))
RUN = "run_1"


class Output(msgspec.Struct):
    values: list[int | str]


@dataclass
class Step:
    """`failures`: the codes that its first tries fail with."""

    effect: Effect = "read"
    failures: list[Code] = field(default_factory=list)


Program = list[list[Step]]
"""Stages one after the other; the steps of a stage at once."""


class World:
    """What the steps act on. It outlives every worker, as a tool does, and gives a new value at every execution."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.blobs: dict[str, bytes] = {}
        self.executions: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = {}

    async def put(self, data: bytes) -> str:
        id = f"blob{len(self.blobs)}"
        self.blobs[id] = data
        return id

    async def get(self, id: str) -> bytes:
        if id not in self.blobs:
            raise Failure(Code.NOT_FOUND)
        return self.blobs[id]

    async def act(self, name: str, step: Step, this: Try) -> Done[int]:
        tries = self.executions[name]
        self.executions[name] += 1
        self.keys.setdefault(name, set()).add(this.meta.idempotency_key)
        await asyncio.sleep(0)
        if tries < len(step.failures):
            raise Failure(step.failures[tries])
        return Done(sum(self.executions.values()), Usage(output=1), cost_nano=2)

    async def run(self, steps: Steps) -> Output:
        values: list[int | str] = []
        for stage_number, stage in enumerate(self.program):

            async def one(place: int, step: Step, stage_number: int = stage_number) -> int | str:
                name = f"s-{stage_number}-{place}"

                async def do(this: Try) -> Done[int]:
                    return await self.act(name, step, this)

                try:
                    return await steps.step(name, "act", do, int, arguments=[name], effect=step.effect)
                except Failure as failure:
                    return failure.code.value

            values += await in_parallel([one(place, step) for place, step in enumerate(stage)], 3)
        return Output(values)


def created(deadline_s: float = 1000.0) -> Created:
    job = Job(kind="agent", input=msgspec.Raw(b'"x"'), id="job_1")
    return Created(
        n=0,
        time=1_800_000_000.0,
        run=RUN,
        tenant="acme",
        subject="user:alice",
        job=job,
        token="t",
        revision="r",
        deadline=1_800_000_000.0 + deadline_s,
    )


def new_journal() -> MemoryJournal:
    return MemoryJournal([(5, created())])


async def work(journal: MemoryJournal, world: World, crash_after: int = -1, *, stored: bool = True) -> RunState:
    """One worker's life: it claims the run and carries it out, to the end or to its own. Raises Crash."""
    clock = FastClock()
    state = fold(journal.events)
    if state.end is not None:
        return state
    log = RunLog(state, journal.writer(crash_after, stored=stored).append, clock, lambda run, event: None)
    await log.append(lambda n, time: Claimed(n=n, time=time, worker="w", revision="r"))
    blobs = Blobs(world.put, world.get, 1)
    meta = Meta(job="job_1", tenant="acme", deadline=1_800_001_000.0, epoch=state.epoch)
    steps = Steps(log, RUN, meta, blobs, PATIENCE, clock)
    execution = Execution(log, steps, lambda: world.run(steps), blobs, clock, meta.deadline, park_after_s=60.0)
    try:
        await execution.carry_out()
    except Broken as broken:
        raise broken.error from None
    return state


async def work_to_the_end(journal: MemoryJournal, world: World, crashes: list[tuple[int, bool]]) -> RunState:
    """Workers one after the other, each of which dies where `crashes` says, and one that does not."""
    for crash_after, stored in crashes:
        try:
            return await work(journal, world, crash_after, stored=stored)
        except Crash:
            continue
    return await work(journal, world)


def output(state: RunState, world: World) -> list[int | str]:
    end = state.end
    assert isinstance(end, Completed)
    data = world.blobs[end.output_blob] if end.output_blob else bytes(end.output)
    return msgspec.json.decode(data, type=Output).values


retryable = st.lists(st.sampled_from([Code.UNAVAILABLE, Code.OVERLOADED, Code.RATE_LIMITED]), max_size=2)
final = st.sampled_from([[], [Code.DENIED], [Code.INVALID], [Code.NOT_FOUND]])
failures = st.builds(lambda first, last: first + last, retryable, final)
repeatable = st.builds(Step, st.sampled_from(["read", "idempotent"]), failures)
programs = st.lists(st.lists(repeatable, min_size=1, max_size=3), min_size=1, max_size=4)
crashes = st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=5)


@settings(deadline=None)
@given(programs, crashes)
async def test_wherever_workers_die_the_run_ends_with_what_its_journal_says(
    program: Program, deaths: list[tuple[int, bool]]
) -> None:
    world, journal = World(program), new_journal()
    state = await work_to_the_end(journal, world, deaths)
    recorded = [event for _, event in journal.events if isinstance(event, StepDone)]
    assert len({event.step for event in recorded}) == len(recorded) == sum(len(stage) for stage in program)
    said = {
        event.step: event.error.code if event.error else int(world.blobs.get(event.blob) or event.result or b"")
        for event in recorded
    }
    names = [f"s-{a}-{b}" for a, stage in enumerate(program) for b in range(len(stage))]
    assert output(state, world) == [said[name] for name in names]
    assert sum(isinstance(event, Completed) for _, event in journal.events) == 1


@settings(deadline=None)
@given(programs, crashes)
async def test_a_step_that_is_recorded_is_never_executed_again(
    program: Program, deaths: list[tuple[int, bool]]
) -> None:
    world, journal = World(program), new_journal()
    for crash_after, stored in deaths:
        done = {event.step for _, event in journal.events if isinstance(event, StepDone)}
        before = Counter(world.executions)
        try:
            await work(journal, world, crash_after, stored=stored)
        except Crash:
            assert all(world.executions[step] == before[step] for step in done)
        else:
            return
    await work(journal, world)


@settings(deadline=None)
@given(programs, crashes)
async def test_every_try_of_a_step_carries_the_same_key(program: Program, deaths: list[tuple[int, bool]]) -> None:
    world, journal = World(program), new_journal()
    await work_to_the_end(journal, world, deaths)
    assert all(keys == {f"{RUN}-{name}"} for name, keys in world.keys.items())


@settings(deadline=None)
@given(programs)
async def test_a_finished_journal_replays_from_every_prefix_to_the_same_output(program: Program) -> None:
    world, journal = World(program), new_journal()
    expected = output(await work(journal, world), world)
    for length in range(1, len(journal.events)):
        again = MemoryJournal(list(journal.events[:length]))
        recorded = {event.step for _, event in again.events if isinstance(event, StepDone)}
        other = World(program)
        other.blobs = dict(world.blobs)
        state = await work(again, other)
        assert not recorded & other.executions.keys()
        names = [f"s-{a}-{b}" for a, stage in enumerate(program) for b in range(len(stage))]
        for name, value, before in zip(names, output(state, other), expected, strict=True):
            assert value == before or name not in recorded


@settings(deadline=None)
@given(programs, crashes)
async def test_the_public_events_have_no_gap_and_each_prefix_is_a_prefix(
    program: Program, deaths: list[tuple[int, bool]]
) -> None:
    world, journal = World(program), new_journal()
    await work_to_the_end(journal, world, deaths)
    told = list(job_events(journal.events))
    assert [event.n for event in told] == list(range(len(told)))
    assert (told[0].type, told[1].type, told[-1].type) == ("accepted", "started", "completed")
    for length in range(1, len(journal.events)):
        before = list(job_events(journal.events[:length]))
        assert before == told[: len(before)]
        assert view(fold(journal.events[:length])).state in ("accepted", "running")


@settings(deadline=None)
@given(programs, crashes)
async def test_usage_is_the_sum_over_recorded_steps_and_counts_none_twice(
    program: Program, deaths: list[tuple[int, bool]]
) -> None:
    world, journal = World(program), new_journal()
    state = await work_to_the_end(journal, world, deaths)
    good = sum(isinstance(value, int) for value in output(state, world))
    assert isinstance(state.end, Completed)
    assert state.end.usage == Usage(output=good)
    assert state.end.cost_nano == 2 * good


@pytest.mark.parametrize("crash_after", [1, 2])
@pytest.mark.parametrize("stored", [True, False])
async def test_a_step_with_an_effect_of_once_is_parked_when_nobody_knows_whether_it_happened(
    crash_after: int, stored: bool
) -> None:
    world, journal = World([[Step("once")]]), new_journal()
    with pytest.raises(Crash):
        await work(journal, world, crash_after, stored=stored)
    began = any(isinstance(event, StepStarted) for _, event in journal.events)
    recorded = any(isinstance(event, StepDone) for _, event in journal.events)
    state = await work(journal, world)
    assert world.executions["s-0-0"] <= 1
    if began and not recorded:
        assert state.end is None
        assert state.blocked is not None and state.blocked.reason == "unknown_outcome"
    else:
        assert isinstance(state.end, Completed)


async def test_a_step_with_an_effect_of_once_is_tried_again_when_it_surely_had_none() -> None:
    world, journal = World([[Step("once", [Code.UNAVAILABLE, Code.RATE_LIMITED])]]), new_journal()
    assert output(await work(journal, world), world) == [3]
    assert sum(isinstance(event, StepStarted) for _, event in journal.events) == 3


@pytest.mark.parametrize("code", [Code.UNKNOWN_OUTCOME, Code.DEADLINE, Code.CANCELLED, Code.INTERNAL])
async def test_a_failure_that_leaves_open_what_happened_parks_a_step_of_once(code: Code) -> None:
    world, journal = World([[Step("once", [code])]]), new_journal()
    state = await work(journal, world)
    assert isinstance(journal.events[-1][1], Blocked)
    assert state.blocked is not None and state.blocked.reason == "unknown_outcome"
    assert world.executions["s-0-0"] == 1


@pytest.mark.parametrize(
    ("name", "arguments"), [("other", ["s-0-0"]), ("act", ["s-0-0", "more"])], ids=["another name", "other arguments"]
)
async def test_a_run_whose_code_changed_is_parked_and_does_nothing(name: str, arguments: list[str]) -> None:
    world, journal = World([[Step()], [Step()]]), new_journal()
    with pytest.raises(Crash):
        await work(journal, world, 2, stored=False)
    executions = Counter(world.executions)

    class Changed(World):
        async def run(self, steps: Steps) -> Output:
            async def do(this: Try) -> Done[int]:
                return await self.act("s-0-0", Step(), this)

            value = await steps.step("s-0-0", name, do, int, arguments=arguments)
            return Output([value])

    changed = Changed([])
    changed.blobs = world.blobs
    state = await work(journal, changed)
    assert state.blocked is not None and state.blocked.reason == "nondeterminism"
    assert not changed.executions
    assert world.executions == executions


async def test_a_run_that_no_longer_comes_to_a_recorded_step_is_parked() -> None:
    world, journal = World([[Step()], [Step()]]), new_journal()
    with pytest.raises(Crash):
        await work(journal, world, 2)
    shorter = World([[Step()]])
    shorter.blobs = world.blobs
    state = await work(journal, shorter)
    assert state.blocked is not None
    assert state.blocked.detail == "step s-1-0 is recorded, and the run ended without it"


async def test_a_run_whose_large_result_is_gone_is_parked() -> None:
    world, journal = World([[Step(failures=[])] * 3, [Step()]]), new_journal()
    world.executions["warm"] = 100  # results of three digits do not fit into the journal of this test
    with pytest.raises(Crash):
        await work(journal, world, 4, stored=False)
    world.blobs.clear()
    state = await work(journal, world)
    assert state.blocked is not None and state.blocked.reason == "lost_result"


async def test_an_older_worker_is_stopped_by_its_next_append() -> None:
    journal = new_journal()
    world = World([[Step()], [Step()], [Step()]])
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(World):
        async def act(self, name: str, step: Step, this: Try) -> Done[int]:
            if name == "s-1-0":
                reached.set()
                await go_on.wait()
            return await super().act(name, step, this)

    older = asyncio.create_task(work(journal, Slow(world.program)))
    await reached.wait()
    state = await work(journal, world)
    length = len(journal.events)
    go_on.set()
    with pytest.raises(RunLost) as lost:
        await older
    assert lost.value.fenced
    assert len(journal.events) == length
    assert isinstance(state.end, Completed)
