"""One job, from its run's journal; a job that was refused has none, and stands in the list only."""

from dataclasses import dataclass

import msgspec

from penstock.bus import Bus
from penstock.contracts.ids import partition, run_id
from penstock.contracts.jobs import NO_JSON, JobEvent, JobView, TokenFrame
from penstock.contracts.runs import Completed
from penstock.contracts.subjects import JOB_EVENT, JOB_TOKEN, RUN_JOURNAL
from services.orchestrator.blobs import Blobs
from services.orchestrator.fold import fold, view
from services.orchestrator.index import JobIndex

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`worker`: the last that claimed the run; `output_blob`: where an output is that was too large for the journal."""

    view: JobView
    worker: str = ""
    output_blob: str = ""


class JobLookup:
    """Looks in the tenant's own journals: the run's id is made from the tenant and the job."""

    def __init__(self, bus: Bus, index: JobIndex, blobs: Blobs) -> None:
        self._bus = bus
        self._index = index
        self._blobs = blobs

    async def find(self, tenant: str, job: str) -> LookedUp | None:
        """The job, if this tenant has it."""
        run = run_id(tenant, job)
        events = await self._bus.journal(RUN_JOURNAL, partition=partition(run), run=run).load()
        if not events:
            kept = await self._index.get(tenant, job)
            return LookedUp(kept) if kept is not None else None
        state = fold(events)
        blob = state.end.output_blob if isinstance(state.end, Completed) else ""
        return LookedUp(view(state), state.worker, blob)

    async def view(self, found: LookedUp) -> JobView:
        """The view with its output, also a large one for as long as it is kept."""
        if not found.output_blob:
            return found.view
        data = await self._blobs.check_out(NO_JSON, found.output_blob)
        return msgspec.structs.replace(found.view, output=msgspec.Raw(data) if data is not None else NO_JSON)

    async def events(self, tenant: str, job: str, after_n: int, limit: int) -> list[JobEvent]:
        """Events with a number above `after_n`, in the order in which they were told."""
        found: list[JobEvent] = []
        after = 0
        while len(found) < limit:
            page = await self._bus.read(JOB_EVENT, after=after, limit=_PAGE, tenant=tenant, job=job)
            found += [stored.body for stored in page if stored.body.n > after_n]
            if len(page) < _PAGE:
                break
            after = page[-1].sequence
        return found[:limit]

    async def frames(self, tenant: str, job: str, step: str, after_seq: int, limit: int) -> list[TokenFrame]:
        """Frames of one step after `after_seq`, or of all steps without one."""
        found: list[TokenFrame] = []
        after = 0
        while len(found) < limit:
            page = await self._bus.read(JOB_TOKEN, after=after, limit=_PAGE, tenant=tenant, job=job)
            bodies = (stored.body for stored in page)
            found += [frame for frame in bodies if not step or (frame.step == step and frame.seq > after_seq)]
            if len(page) < _PAGE:
                break
            after = page[-1].sequence
        return found[:limit]
