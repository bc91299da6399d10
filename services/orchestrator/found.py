"""A run as a worker finds it: its journal, read to the end and folded, with what it takes to go on from there."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.bus import Bus, Discard, JournalWriter
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import partition
from penstock.contracts.runs import AnyRunEvent, Created
from penstock.contracts.subjects import RUN_JOURNAL
from penstock.kit.clock import Clock
from services.orchestrator.announce import Announcer
from services.orchestrator.fold import JournalDamaged, RunState, fold
from services.orchestrator.index import JobIndex
from services.orchestrator.runlog import RunLog, RunLost


@dataclass(frozen=True, slots=True)
class Found:
    """`events` is what stood in the journal when it was read; `log` goes on after it, and `log.state` with it."""

    created: Created
    events: list[tuple[int, AnyRunEvent]]
    log: RunLog
    announcer: Announcer

    @property
    def state(self) -> RunState:
        return self.log.state

    async def owe(self) -> None:
        """Takes over what others did not come to tell. Raises RunLost when that cannot be seen for now."""
        try:
            await self.announcer.owe(self.events, self.state)
        except Failure as failure:
            raise RunLost(f"events cannot be read: {failure.code}", fenced=False) from failure

    async def flush(self) -> None:
        """Returns when everything is told. Raises RunLost when it cannot be for now."""
        try:
            await self.announcer.flush()
        except Failure as failure:
            raise RunLost(f"events cannot be told: {failure.code}", fenced=False) from failure


async def find(bus: Bus, index: JobIndex, clock: Clock, run: str, appended: Callable[[AnyRunEvent], None]) -> Found:
    """`appended` hears of every event that is written from here. Raises Discard for a run that is not there or cannot
    be one, RunLost when the journal cannot be read for now."""
    journal: JournalWriter[AnyRunEvent] = bus.journal(RUN_JOURNAL, partition=partition(run), run=run)
    try:
        events = await journal.load()
        state = fold(events)
    except JournalDamaged as damaged:
        raise Discard(Failure(Code.INTERNAL, str(damaged))) from damaged
    except Failure as failure:
        if failure.code is Code.INTERNAL:
            raise Discard(failure) from failure
        raise RunLost(f"the journal cannot be read: {failure.code}", fenced=False) from failure
    created = state.created
    if created is None:
        raise Discard(Failure(Code.NOT_FOUND, "there is no such run"))
    announcer = Announcer(bus, index, created.tenant, created.run, created.job.id)

    async def append(event: AnyRunEvent) -> int:
        return await journal.append(event)

    def told(run: RunState, event: AnyRunEvent) -> None:
        announcer.tell(run, event)
        appended(event)

    return Found(created, events, RunLog(state, append, clock, told), announcer)
