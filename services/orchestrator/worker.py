"""One worker: takes inputs, claims their runs, carries them out, hands them over when it leaves.

Only the journal decides who has a run; leases and acknowledgements decide who tries.
"""

import asyncio
from contextlib import suppress
from enum import Enum, auto
from functools import partial

import msgspec

from penstock.bus import Discard, Item, Release
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import NO_JSON
from penstock.contracts.meta import Meta
from penstock.contracts.runs import (
    AnyRunEvent,
    Blocked,
    Cancelled,
    Claimed,
    Failed,
    InputTakenReply,
    RunInput,
    StepDone,
)
from penstock.contracts.subjects import RUN_DELIVER, RUN_INPUT, WORKERS
from penstock.kit.parts import Parts
from services.orchestrator.agents import Agent, Agents
from services.orchestrator.blobs import Blobs
from services.orchestrator.claim import Verdict, verdict
from services.orchestrator.config import Config
from services.orchestrator.execution import Broken, Execution, HandedOver
from services.orchestrator.fold import APPROVAL, RunState, state_name
from services.orchestrator.found import Found, find
from services.orchestrator.index import JobIndex
from services.orchestrator.jobs.context import Bounds, JobContext
from services.orchestrator.jobs.kinds import carrier, known
from services.orchestrator.runlog import RunLost
from services.orchestrator.steps import Steps

LOOKS_MAX = 3
"""How often an input is looked at anew when somebody was faster; then it is released."""


class Owner(Enum):
    """Of a run that somebody else carries out, as the journal says, when it was handed an input."""

    GONE = auto()
    HAS_IT = auto()
    SILENT = auto()


class Runs:
    """The runs of this worker. `me` is its name: one token, of this process alone."""

    def __init__(self, parts: Parts, index: JobIndex, agents: Agents, blobs: Blobs, config: Config) -> None:
        self.me = parts.instance
        self._bus = parts.bus
        self._clock = parts.clock
        self._metrics = parts.metrics
        self._log = parts.log
        self._leaving = parts.stopping
        self._index = index
        self._agents = agents
        self._blobs = blobs
        self._config = config
        self._leases = parts.bus.bucket(WORKERS)
        self._active: dict[str, Execution] = {}
        self._bounds = Bounds(config.model_stream_max_bytes, config.tool_result_max_bytes, config.history_turns_max)
        parts.metrics.runs_active.watch(lambda: float(len(self._active)))

    # Inputs -----------------------------------------------------------------------------------------------------

    async def take(self, item: Item[RunInput]) -> None:
        """Handles one input: returns once the run needs it no more, releases it when this is not the place or time."""
        input = item.body
        if (input.run, input.kind, input.id) != (item.tokens["run"], item.tokens["kind"], item.tokens["id"]):
            raise Discard(Failure(Code.INVALID, "the input is not what its subject says"))
        for _ in range(LOOKS_MAX):
            if self._leaving.is_set():
                break
            try:
                mine = self._active.get(input.run)
                if mine is not None:
                    if not await self._hand(mine, input):
                        await mine.over.wait()
                        continue
                else:
                    await self._look(input)
                return
            except RunLost as lost:
                if not lost.fenced:
                    self._log.warning("a run cannot go on for now", run=input.run, why=str(lost))
                    break
        raise Release(self._config.occupied_pause_s)

    async def deliver(self, input: RunInput, meta: Meta) -> InputTakenReply:
        """Another worker has an input for a run that it thinks is ours."""
        mine = self._active.get(input.run)
        if mine is None:
            return InputTakenReply(False)
        try:
            return InputTakenReply(await self._hand(mine, input) or input.kind != APPROVAL)
        except RunLost:
            return InputTakenReply(False)

    async def _hand(self, execution: Execution, input: RunInput) -> bool:
        """Whether the input stands in the run's journal, and is needed no more. Raises RunLost."""
        if input.kind == "cancel":
            execution.cancel(input.by)
        return input.kind == APPROVAL and await execution.answered(input)

    async def _look(self, input: RunInput) -> None:
        """Reads the journal and does what it asks for. Raises RunLost with `fenced` when somebody was faster."""
        found = await find(self._bus, self._index, self._clock, input.run, self._count)
        knows, agent = known(found.created.revision, self._agents)
        decide = partial(
            verdict,
            found.state,
            input.kind,
            me=self.me,
            knows_revision=knows,
            claims_max=self._config.claims_max,
            now=self._clock.now(),
        )
        what = decide(owner_gone=False)
        if what is Verdict.ASK_OWNER:
            owner = await self._owner(found.state, input)
            if owner is Owner.HAS_IT and input.kind == APPROVAL:
                return
            if owner is not Owner.GONE:
                raise Release(self._config.occupied_pause_s)
            what = decide(owner_gone=True)
        match what:
            case Verdict.OVER:
                await found.owe()
                await found.flush()
            case Verdict.LACKS:
                self._log.warning("a run waits for its revision", run=input.run, revision=found.created.revision)
                raise Release(self._config.revision_pause_s)
            case Verdict.POISON:
                await self._block(found)
            case _:
                await self._claim(found, agent, input)

    async def _owner(self, run: RunState, input: RunInput) -> Owner:
        """Hands the input to the run's owner."""
        try:
            if await self._leases.get(run.worker) is None:
                return Owner.GONE
            reply = await self._bus.call(
                RUN_DELIVER, input, Meta(), timeout_s=self._config.owner_wait_s, worker=run.worker
            )
        except Failure as failure:
            # nobody there at all, or somebody who may be paused: their lease will tell
            return Owner.GONE if failure.code is Code.UNAVAILABLE and self._bus.connected else Owner.SILENT
        return Owner.HAS_IT if reply.taken else Owner.GONE

    async def _block(self, found: Found) -> None:
        detail = f"claimed {found.state.claims_in_vain} times without a new step"
        await found.owe()
        await found.log.append(lambda n, time: Blocked(n=n, time=time, reason="poison", detail=detail))
        await found.flush()
        self._log.error("a run is blocked", run=found.created.run, why=detail)
        raise Discard(Failure(Code.INTERNAL, f"poison: {detail}"))

    # A claimed run ----------------------------------------------------------------------------------------------

    async def _claim(self, found: Found, agent: Agent | None, input: RunInput) -> None:
        run, revision = found.created.run, found.created.revision
        if found.state.claims:
            await found.owe()
        await found.log.append(lambda n, time: Claimed(n=n, time=time, worker=self.me, revision=revision))
        execution = self._active[run] = self._execution(found, agent)
        try:
            await self._hand(execution, input)
            if self._leaving.is_set():
                await execution.hand_over()
            await self._carry_out(execution, found)
            await self._tell_end(found)
        finally:
            del self._active[run]
            execution.over.set()

    async def _carry_out(self, execution: Execution, found: Found) -> None:
        """Until the run's end, or a person's turn, stands in its journal; otherwise releases its input."""
        log = self._log.bind(run=found.created.run, tenant=found.created.tenant, job=found.created.job.id)
        try:
            await execution.carry_out()
        except RunLost as lost:
            log.warning("a run was lost", why=str(lost), fenced=lost.fenced)
            # a fenced worker leaves the input alone for as long as it may: the run has another owner
            pause_s = RUN_INPUT.consumer.ack_wait_s if lost.fenced else self._config.occupied_pause_s
            raise Release(pause_s) from lost
        except HandedOver as leaving:
            with suppress(RunLost):
                await found.flush()
            raise Release(0.0) from leaving
        except Broken as broken:
            log.error("a run broke", type=type(broken.error).__name__, frames=broken.frames)
            raise Release(self._config.occupied_pause_s) from broken.error

    async def _tell_end(self, found: Found) -> None:
        state = found.state
        if state.end is not None or state.blocked is not None:
            self._metrics.runs.add(found.created.job.kind, state_name(state))
        try:
            if isinstance(state.end, Cancelled | Failed):
                # what a worker before us may have left under way
                await self._bus.cancel(found.created.run)
            await found.flush()
        except (Failure, RunLost) as failure:
            # whoever takes the input next finds the run over, and tells the rest
            self._log.warning("the end of a run is not told yet", run=found.created.run, why=str(failure))
            raise Release(self._config.occupied_pause_s) from failure

    def _count(self, event: AnyRunEvent) -> None:
        if isinstance(event, StepDone):
            # what stands before the first number says what kind of step it is
            self._metrics.steps.add(event.step.partition("-")[0], event.error.code if event.error else "ok")

    def _execution(self, found: Found, agent: Agent | None) -> Execution:
        created = found.created
        meta = Meta(
            request=created.job.id,
            tenant=created.tenant,
            token=created.token,
            deadline=created.deadline,
            traceparent=created.traceparent,
            job=created.job.id,
            epoch=found.state.epoch,
        )
        steps = Steps(found.log, created.run, meta, self._blobs, self._config.patience, self._clock)

        async def carry() -> msgspec.Struct:
            job = created.job
            if created.input_blob:
                data = await self._blobs.check_out(NO_JSON, created.input_blob)
                if data is None:
                    raise Failure(Code.NOT_FOUND, "the job's input is no longer kept")
                job = msgspec.structs.replace(job, input=msgspec.Raw(data))
            context = JobContext(created.run, created.tenant, job, agent, steps, self._bus, self._bounds)
            return await carrier(job)(context)

        park_after_s = self._config.park_after_s
        return Execution(found.log, steps, carry, self._blobs, self._clock, created.deadline, park_after_s)

    # Upkeep -----------------------------------------------------------------------------------------------------

    async def keep_lease(self) -> None:
        """Says every so often that this worker lives, until it leaves."""
        while not self._leaving.is_set():
            try:
                await self._leases.put(self.me, self.me)
            except Failure as failure:
                self._log.warning("the lease cannot be renewed", why=str(failure))
            try:
                async with asyncio.timeout(self._config.lease_every_s):
                    await self._leaving.wait()
            except TimeoutError:
                continue

    async def hand_over(self) -> None:
        """When this worker leaves: stops what it carries out, so that others may go on at once."""
        await self._leaving.wait()
        await asyncio.gather(*(execution.hand_over() for execution in self._active.values()))
        try:
            await self._leases.delete(self.me)
        except Failure as failure:
            self._log.warning("the lease cannot be given up", why=str(failure))
