"""The list of a tenant's jobs: a copy of what the journals say, for looking through. The journal is the truth."""

import msgspec

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import FINAL, NO_JSON, JobPage, JobView
from penstock.contracts.subjects import JOB_INDEX

_TRIES_MAX = 5


class JobIndex:
    """Views without their output, by tenant and job."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(JOB_INDEX)

    async def put(self, tenant: str, view: JobView) -> None:
        """Keeps `view`, unless what is there is newer: a worker that lost its run must not turn the clock back."""
        key = f"{tenant}.{view.id}"
        view = msgspec.structs.replace(view, output=NO_JSON)
        for _ in range(_TRIES_MAX):
            entry = await self._bucket.get(key)
            if entry is not None and is_newer(entry.value, view):
                return
            try:
                if entry is None:
                    await self._bucket.create(key, view)
                else:
                    await self._bucket.update(key, view, entry.revision)
            except Failure as failure:
                if failure.code is not Code.CONFLICT:
                    raise
            else:
                return

    async def get(self, tenant: str, job: str) -> JobView | None:
        """What is kept of this job."""
        entry = await self._bucket.get(f"{tenant}.{job}", fresh=True)
        return entry.value if entry is not None else None

    async def page(self, tenant: str, limit: int, before: str, state: str) -> JobPage:
        """The newest first, those after `before`."""
        views = [entry.value for entry in await self._bucket.entries(tenant)]
        return page(views, limit, before, state)


def is_newer(kept: JobView, view: JobView) -> bool:
    """Whether `kept` says more than `view`: later in the job's life. A job that was refused may be submitted again."""
    if kept.state in FINAL and kept.epoch == 0:
        return False
    if (kept.state in FINAL) != (view.state in FINAL):
        return kept.state in FINAL
    return (kept.epoch, kept.steps, kept.updated) > (view.epoch, view.steps, view.updated)


def page(views: list[JobView], limit: int, before: str, state: str) -> JobPage:
    """One page of these views. A `before` that is not there (any more) begins at the newest."""
    ordered = sorted(views, key=lambda view: (view.created, view.id), reverse=True)
    start = next((place + 1 for place, view in enumerate(ordered) if view.id == before), 0)
    fitting = [view for view in ordered[start:] if not state or view.state == state]
    jobs = fitting[:limit]
    return JobPage(jobs, jobs[-1].id if len(fitting) > limit else "")
