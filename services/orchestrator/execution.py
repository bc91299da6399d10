"""A run in this worker's hands, from its claim to its end: one coroutine, which a cancel, the deadline or a hand-over
may stop, and one event that ends it.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import msgspec

from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.runs import Blocked, Cancelled, Completed, Failed, InputTaken, RunInput, Waiting
from penstock.kit.clock import Clock
from services.orchestrator.blobs import Blobs
from services.orchestrator.fold import APPROVAL
from services.orchestrator.runlog import RunLog, RunLost
from services.orchestrator.steps import Parked, Steps, shortened

ENDING_DETAIL_MAX = 500
FRAMES_MAX = 20
FOR_PEOPLE = "for people to answer"


class HandedOver(Exception):
    """This worker is leaving: another one goes on."""


class Broken(Exception):
    """The run's own code failed in a way that nobody expected; `error` says how, `frames` where."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        frames = traceback.extract_tb(error.__traceback__)
        self.frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames][-FRAMES_MAX:]


class Execution:
    """Made right after the claim. `over` is set when this worker is done with the run, whichever way."""

    def __init__(
        self,
        log: RunLog,
        steps: Steps,
        carry: Callable[[], Awaitable[msgspec.Struct]],
        blobs: Blobs,
        clock: Clock,
        deadline: float,
        park_after_s: float,
    ) -> None:
        self.over = asyncio.Event()
        self._log = log
        self._steps = steps
        self._carry = carry
        self._blobs = blobs
        self._clock = clock
        self._deadline = deadline
        self._park_after_s = park_after_s
        self._task: asyncio.Task[msgspec.Struct] | None = None
        self._cancelled_by: str | None = None
        self._handed_over = False
        self._parked = False
        self._closing = False

    def cancel(self, by: str) -> None:
        """Somebody asked for the end of the job."""
        if self._cancelled_by is None:
            self._cancelled_by = by
            self._stop()

    async def answered(self, input: RunInput) -> bool:
        """What people answered, into the journal. False: this worker is done with the run. Raises RunLost."""
        if self._closing:
            return False
        if input.id not in self._log.state.answers:
            await self._log.append(
                lambda n, time: InputTaken(n=n, time=time, kind=input.kind, id=input.id, body=input.body)
            )
        self._steps.waits.ring(input.id)
        return True

    async def hand_over(self) -> None:
        """This worker goes on with nothing more, as soon as no step is under way that must not be cut in two."""
        await self._steps.leave()
        self._handed_over = True
        self._stop()

    async def carry_out(self) -> None:
        """Until the journal says that the run is over or waits for people. Raises RunLost, HandedOver, Broken."""
        late = await self._run()
        self._closing = True  # whatever is answered from here on is for whoever has the run next
        await self._log.settled()
        task = self._task
        if task is None or task.cancelled():
            if self._cancelled_by is None and (self._handed_over or self._parked):
                await self._leave()
            else:
                await self._end_early(late)
        elif (error := task.exception()) is not None:
            await self._end_with(error)
        else:
            await self._complete(task.result())

    async def _leave(self) -> None:
        """Nobody has the run until its next input comes. Raises HandedOver where it can go on at once, elsewhere."""
        state = self._log.state
        awaited = state.awaited
        if self._handed_over or not awaited or len(awaited) < len(state.held):
            # so that nobody asks for us, and this claim does not count as one that came to nothing
            await self._log.append(lambda n, time: Waiting(n=n, time=time, inputs=[], why="handed over"))
            raise HandedOver
        inputs = [f"{APPROVAL}.{approval}" for approval in awaited]
        await self._log.append(lambda n, time: Waiting(n=n, time=time, inputs=inputs, why=FOR_PEOPLE))

    async def _park(self) -> None:
        """Waiting for people takes hours: what waits for nothing else is put away."""
        await self._steps.waits.quiet(self._park_after_s)
        await self._steps.leave()
        self._parked = True
        self._stop()

    async def _run(self) -> bool:
        """Runs the coroutine to its end; whether the deadline came first."""
        if self._cancelled_by is not None or self._handed_over:
            return False
        left_s = self._deadline - self._clock.now()
        if left_s <= 0:
            return True
        task = self._task = asyncio.create_task(self._checked())
        parking = asyncio.create_task(self._park())
        try:
            done, _ = await asyncio.wait({task}, timeout=left_s)
        finally:
            parking.cancel()
            task.cancel()
            await asyncio.wait({task, parking})
        return not done

    async def _checked(self) -> msgspec.Struct:
        output = await self._carry()
        self._steps.check_complete()
        return output

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _complete(self, output: msgspec.Struct) -> None:
        kept, blob = await self._blobs.check_in(msgspec.json.encode(output))
        raw = kept if not blob else msgspec.Raw(b"null")
        state = self._log.state
        await self._log.append(
            lambda n, time: Completed(
                n=n, time=time, output=raw, usage=state.usage, cost_nano=state.cost_nano, output_blob=blob
            )
        )

    async def _end_early(self, late: bool) -> None:
        by, state = self._cancelled_by, self._log.state
        if by is not None:
            await self._log.append(
                lambda n, time: Cancelled(n=n, time=time, by=by, usage=state.usage, cost_nano=state.cost_nano)
            )
        elif late:
            await self._fail(Failure(Code.DEADLINE, "the job was not done by its deadline").body())
        else:
            raise Broken(asyncio.CancelledError())

    async def _end_with(self, error: BaseException) -> None:
        match error:
            case RunLost():
                raise error
            case Parked():
                detail = error.detail[:ENDING_DETAIL_MAX]
                await self._log.append(lambda n, time: Blocked(n=n, time=time, reason=error.reason, detail=detail))
            case Failure():
                await self._fail(shortened(error.body()))
            case _:
                raise Broken(error)

    async def _fail(self, error: FailureBody) -> None:
        state = self._log.state
        await self._log.append(
            lambda n, time: Failed(n=n, time=time, error=error, usage=state.usage, cost_nano=state.cost_nano)
        )
