"""Admission: from a job that somebody wrote to a run that is sure to be carried out, or a refusal that they can see.

The order makes it safe to repeat: journal, event, start input, and only then the answer or the acknowledgement.
"""

import asyncio
import hashlib

import msgspec

from penstock.bus import Fenced, JournalWriter
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_DELEGATE
from penstock.contracts.ids import job_id, new_id, partition, run_id
from penstock.contracts.jobs import Job, JobEvent, Submitted
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Identity
from penstock.contracts.runs import AnyRunEvent, Created, RunInput
from penstock.contracts.subjects import JOB_EVENT, RUN_INPUT, RUN_JOURNAL
from penstock.kit.parts import Parts
from services.orchestrator import asks
from services.orchestrator.agents import Agent, Agents
from services.orchestrator.config import Config
from services.orchestrator.events import job_events
from services.orchestrator.fold import fold, view
from services.orchestrator.grant import delegation, question
from services.orchestrator.index import JobIndex
from services.orchestrator.jobs.kinds import pinned

START = "start"


class Admission:
    """Takes jobs in. Safe to call again with the same job: it is one run."""

    def __init__(self, parts: Parts, index: JobIndex, agents: Agents, config: Config) -> None:
        self._bus = parts.bus
        self._boundary = parts.boundary
        self._clock = parts.clock
        self._index = index
        self._agents = agents
        self._job_deadline_s = config.job_deadline_s
        self._inline_max_bytes = config.step_inline_max_bytes

    async def admit(self, job: Job, kind: str, meta: Meta, attempt: str) -> Submitted:
        """The job, whose `id` is fixed, as a run. `meta` has the caller's verified token and tenant.

        `attempt` is the admission's own, the same when it is repeated. Raises the Failure for which it is refused.
        """
        asks.check(job, kind)
        run = run_id(meta.tenant, job.id)
        journal = self._journal(run)
        events = await journal.load()
        if events:
            return await self._again(job, events)
        revision, agent = pinned(job, self._agents)
        meta = msgspec.structs.replace(meta, job=job.id)
        async with self._boundary.action(question("job.submit", job.kind, attempt, job=job), meta):
            asked = delegation(job, run, agent, self._lifetime_s(job, agent))
            identity = await self._bus.call(POLICY_DELEGATE, asked, meta)
            created = await self._created(job, run, revision, identity, meta, asked.lifetime_s)
            try:
                sequence = await journal.append(created)
            except Fenced:
                return await self._again(job, await journal.load())
        await self._start([(sequence, created)])
        return Submitted(job.id)

    async def exists(self, tenant: str, job: str) -> bool:
        """Whether this tenant has a job of this id."""
        return bool(await self._journal(run_id(tenant, job)).load())

    def _journal(self, run: str) -> JournalWriter[AnyRunEvent]:
        return self._bus.journal(RUN_JOURNAL, partition=partition(run), run=run)

    async def _again(self, job: Job, events: list[tuple[int, AnyRunEvent]]) -> Submitted:
        """The id is taken: by this very job, whose admission is brought to its end, or by another."""
        created = fold(events).created
        if created is None or created.digest != job_digest(job):
            raise Failure(Code.CONFLICT, "this id or idempotency key stands for another job", param="id")
        if len(events) == 1:
            await self._start(events)
        return Submitted(job.id, duplicate=True)

    def _lifetime_s(self, job: Job, agent: Agent | None) -> float:
        of_agent = agent.limits.deadline_s if agent is not None else 0.0
        return job.deadline_s or of_agent or self._job_deadline_s

    async def _created(
        self, job: Job, run: str, revision: str, identity: Identity, meta: Meta, lifetime_s: float
    ) -> Created:
        now, blob, kept = self._clock.now(), "", job
        if len(job.input) > self._inline_max_bytes:
            blob = await self._bus.blobs.put(bytes(job.input))
            kept = msgspec.structs.replace(job, input=msgspec.Raw(b"null"))
        return Created(
            n=0,
            time=now,
            run=run,
            tenant=meta.tenant,
            subject=identity.subject,
            job=kept,
            token=identity.token,
            revision=revision,
            # nothing can be done with a token that has ended
            deadline=min(now + lifetime_s, identity.expires),
            traceparent=meta.traceparent,
            input_blob=blob,
            digest=job_digest(job),
        )

    async def _start(self, events: list[tuple[int, AnyRunEvent]]) -> None:
        """Says that the job is accepted, and wakes a worker; each happens once, however often it is done."""
        run = fold(events)
        created, accepted = run.created, next(job_events(events), None)
        if created is None or accepted is None:
            return
        await asyncio.gather(
            self._index.put(created.tenant, view(run)),
            self._wake(created, accepted),
        )

    async def _wake(self, created: Created, accepted: JobEvent) -> None:
        tenant, id = created.tenant, created.job.id
        about = Meta(request=id, tenant=tenant, job=id, traceparent=created.traceparent)
        await self._bus.emit(JOB_EVENT, accepted, about, message_id=f"{created.run}-0", tenant=tenant, job=id)
        where = {"partition": partition(created.run), "run": created.run, "kind": START, "id": START}
        await self._bus.assign(RUN_INPUT, RunInput(created.run, START, START), about, first=True, **where)


def fixed_id(job: Job, tenant: str, key: str, origin: str) -> Job:
    """The job with the id that it has for ever: its own, that of its idempotency key (`key`, where the body has none),
    or one made from `origin`, what this very submission is known by; "" for one that is not repeated."""
    key = job.idempotency_key or key
    if job.id:
        return job
    if key:
        return msgspec.structs.replace(job, id=job_id(tenant, key))
    if origin:
        return msgspec.structs.replace(job, id=job_id(tenant, f"{origin} {job_digest(job)}"))
    return msgspec.structs.replace(job, id=new_id("job"))


def job_digest(job: Job) -> str:
    """The same for the same job, but for its id."""
    bare = msgspec.structs.replace(job, id="")
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()
