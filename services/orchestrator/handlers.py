"""The jobs API: what a tenant's client or the gateway asks of jobs. Another tenant's id is simply not found."""

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, new_id, partition, run_id
from penstock.contracts.jobs import (
    FINAL,
    Job,
    JobEvents,
    JobEventsRequest,
    JobListRequest,
    JobPage,
    JobRef,
    JobTokens,
    JobTokensRequest,
    JobView,
    Submitted,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Question
from penstock.contracts.runs import RunInput
from penstock.contracts.subjects import RUN_DELIVER, RUN_INPUT
from penstock.kit.parts import Parts
from services.orchestrator.admit import Admission, fixed_id
from services.orchestrator.config import Config
from services.orchestrator.grant import question
from services.orchestrator.index import JobIndex
from services.orchestrator.lookup import JobLookup, LookedUp

CANCEL = "cancel"


class Handlers:
    """Each is what an endpoint of main.py calls."""

    def __init__(self, parts: Parts, admission: Admission, lookup: JobLookup, index: JobIndex, config: Config) -> None:
        self._bus = parts.bus
        self._boundary = parts.boundary
        self._identities = parts.identities
        self._admission = admission
        self._lookup = lookup
        self._index = index
        self._config = config

    async def submit(self, job: Job, meta: Meta) -> Submitted:
        """The job's id, once it is sure to be carried out."""
        job = fixed_id(job, meta.tenant, meta.idempotency_key, meta.request)
        return await self._admission.admit(job, job.kind, meta, new_id("att"))

    async def get(self, ref: JobRef, meta: Meta) -> JobView:
        """The job as it stands."""
        found = await self._found(ref.id, meta)
        async with self._boundary.action(_about("job.read", found), meta):
            return await self._lookup.view(found)

    async def list_jobs(self, request: JobListRequest, meta: Meta) -> JobPage:
        """The tenant's jobs, the newest first, without their output."""
        limit = min(max(request.limit, 1), self._config.list_max)
        async with self._boundary.action(question("job.read", "list", new_id("att")), meta):
            return await self._index.page(meta.tenant, limit, request.before, request.state)

    async def events(self, request: JobEventsRequest, meta: Meta) -> JobEvents:
        """Events of the job after number `after`."""
        found = await self._found(request.id, meta)
        async with self._boundary.action(_about("job.read", found), meta):
            limit = min(max(request.limit, 1), self._config.events_max)
            return JobEvents(await self._lookup.events(meta.tenant, request.id, request.after, limit))

    async def tokens(self, request: JobTokensRequest, meta: Meta) -> JobTokens:
        """Frames of the job's model output that are still kept."""
        found = await self._found(request.id, meta)
        async with self._boundary.action(_about("job.read", found), meta):
            limit = min(max(request.limit, 1), self._config.events_max)
            frames = await self._lookup.frames(meta.tenant, request.id, request.step, request.after_seq, limit)
            return JobTokens(frames)

    async def cancel(self, ref: JobRef, meta: Meta) -> JobView:
        """Asks for the end of the job, once and for all; answers with the job as it stands, perhaps not ended yet."""
        found = await self._found(ref.id, meta)
        async with self._boundary.action(_about("job.cancel", found), meta):
            if found.view.state not in FINAL:
                await self._send_cancel(found, meta)
            return await self._lookup.view(await self._found(ref.id, meta))

    async def _found(self, job: str, meta: Meta) -> LookedUp:
        found = await self._lookup.find(meta.tenant, job) if is_token(job) else None
        if found is None:
            raise Failure(Code.NOT_FOUND, "there is no such job", param="id")
        return found

    async def _send_cancel(self, found: LookedUp, meta: Meta) -> None:
        run = run_id(meta.tenant, found.view.id)
        input = RunInput(run, CANCEL, CANCEL, by=self._identities.claims(meta).sub)
        about = Meta(request=meta.request, tenant=meta.tenant, job=found.view.id)
        await self._bus.assign(
            RUN_INPUT, input, about, first=True, partition=partition(run), run=run, kind=CANCEL, id=CANCEL
        )
        if not found.worker:
            return
        try:
            # the input is what counts; this only tells a busy owner sooner
            await self._bus.call(RUN_DELIVER, input, about, timeout_s=self._config.owner_wait_s, worker=found.worker)
        except Failure as failure:
            if failure.code not in (Code.UNAVAILABLE, Code.DEADLINE, Code.OVERLOADED):
                raise


def _about(action: str, found: LookedUp) -> Question:
    return question(action, found.view.kind or "job", new_id("att"), owner=found.view.subject)
