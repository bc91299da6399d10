"""Tells the world what a journal says: the job's events in order, each once, and the view in the list of jobs."""

import asyncio
from collections import deque
from collections.abc import Iterable

from penstock.bus import Bus
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import JobEvent, JobView
from penstock.contracts.meta import Meta
from penstock.contracts.runs import AnyRunEvent
from penstock.contracts.subjects import JOB_EVENT
from services.orchestrator.events import job_event, job_events
from services.orchestrator.fold import RunState, view
from services.orchestrator.index import JobIndex

_PAGE = 1000


class Announcer:
    """For one run. What is told goes out in the background, so that a run does not wait for it; `flush` waits.

    An event's message id is its run and number: told twice within the stream's window, it is there once.
    """

    def __init__(self, bus: Bus, index: JobIndex, tenant: str, run: str, job: str) -> None:
        self._bus = bus
        self._index = index
        self._tenant = tenant
        self._run = run
        self._job = job
        self._meta = Meta(request=job, tenant=tenant, job=job)
        self._events: deque[JobEvent] = deque()
        self._view: JobView | None = None
        self._pump: asyncio.Task[None] | None = None

    def tell(self, run: RunState, event: AnyRunEvent) -> None:
        """`event` is stored, and `run` is the state with it."""
        told = job_event(run, event)
        if told is not None:
            self._events.append(told)
            self._view = view(run)
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._send())

    async def owe(self, journal: Iterable[tuple[int, AnyRunEvent]], run: RunState) -> None:
        """Takes over from whoever carried out the run before: tells what they did not come to tell."""
        stored = {(event.n, event.type) for event in await self._stored()}
        self._events.extend(event for event in job_events(journal) if (event.n, event.type) not in stored)
        self._view = view(run)

    async def flush(self) -> None:
        """Returns when all is told. Raises Failure when it cannot be, for now."""
        if self._pump is not None:
            await asyncio.wait({self._pump})
        await self._send()

    async def _send(self) -> None:
        try:
            await self._drain()
        except Failure:
            if self._pump is not asyncio.current_task():
                raise
            # `flush` tries again, and says so

    async def _drain(self) -> None:
        # what comes while the view is put must not wait for what comes after it: that may be hours away
        while self._events or self._view is not None:
            while self._events:
                event = self._events[0]
                id = f"{self._run}-{event.n}"
                await self._bus.emit(JOB_EVENT, event, self._meta, message_id=id, tenant=self._tenant, job=self._job)
                self._events.popleft()
            if self._view is not None:
                latest, self._view = self._view, None
                await self._index.put(self._tenant, latest)

    async def _stored(self) -> list[JobEvent]:
        found: list[JobEvent] = []
        after = 0
        while True:
            page = await self._bus.read(JOB_EVENT, after=after, limit=_PAGE, tenant=self._tenant, job=self._job)
            found += [stored.body for stored in page]
            if len(page) < _PAGE:
                return found
            after = page[-1].sequence
