"""The queue of jobs: each is admitted, or refused where its submitter can see it and kept with the reason."""

import hashlib

import msgspec

from penstock.bus import Discard, Item, Release
from penstock.bus.work import Bad
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, job_id, run_id
from penstock.contracts.jobs import Job, JobView, State
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import JOB, JOB_EVENT
from penstock.kit.parts import Parts
from services.orchestrator.admit import Admission, fixed_id
from services.orchestrator.config import Config
from services.orchestrator.events import refusal
from services.orchestrator.fold import REFUSED_BY_POLICY
from services.orchestrator.index import JobIndex

LATER = frozenset({Code.UNAVAILABLE, Code.OVERLOADED, Code.DEADLINE, Code.UNKNOWN_OUTCOME})
"""What says nothing about the job: a part of the plane is away, and the job waits."""


class Intake:
    """Handles the messages of the queue."""

    def __init__(self, parts: Parts, admission: Admission, index: JobIndex, config: Config) -> None:
        self._bus = parts.bus
        self._identities = parts.identities
        self._clock = parts.clock
        self._log = parts.log
        self._admission = admission
        self._index = index
        self._pause_s = config.policy_pause_s

    async def take(self, item: Item[Job]) -> None:
        """Returns once the job is sure to be carried out; raises Discard once its refusal is told."""
        # how long its sender wanted to wait for the publish says nothing about the job
        meta = msgspec.structs.replace(item.meta, deadline=0.0)
        # a queue forgets message ids with its messages, when the broker restarts: the same job is still the same
        origin = item.message_id or f"{item.sequence} {item.time}"
        job = fixed_id(item.body, meta.tenant, meta.idempotency_key, origin)
        attempt = f"att_{_digest(f'{meta.tenant} {job.id} {item.sequence}')}"
        try:
            admitted = await self._identities.admit(meta, tenant_proven=True)
            await self._admission.admit(job, item.tokens["kind"], admitted, attempt)
        except Failure as failure:
            if failure.code in LATER:
                self._log.of(meta).warning("a job waits", job=job.id, why=str(failure))
                raise Release(max(self._pause_s, failure.retry_after_s)) from failure
            if failure.code is Code.INTERNAL and item.deliveries < JOB.attempts_max:
                raise
            await self._refuse(meta, _named(job, meta), job.kind, failure, item.sequence)
            raise Discard(failure) from failure

    async def bad(self, bad: Bad) -> None:
        """Tells the sender of a job that cannot be read, where it is known which job it was meant to be."""
        await self._refuse(
            bad.meta, bad.meta.job or _of_key(bad.meta), bad.tokens.get("kind", ""), bad.reason, bad.sequence
        )

    async def _refuse(self, meta: Meta, job: str, kind: str, failure: Failure, sequence: int) -> None:
        tenant = meta.tenant
        self._log.of(meta).info("a job is refused", job=job, kind=kind, code=failure.code, why=failure.detail)
        if not is_token(job) or not is_token(tenant) or await self._admission.exists(tenant, job):
            return  # nobody to tell, or the events of another job: the dead letter has the reason
        now = self._clock.now()
        event = refusal(job, failure.body(), now)
        message_id = f"{run_id(tenant, job)}-refused-{sequence}"
        about = Meta(request=meta.request, tenant=tenant, job=job)
        await self._bus.emit(JOB_EVENT, event, about, message_id=message_id, tenant=tenant, job=job)
        state: State = "denied" if failure.code in REFUSED_BY_POLICY else "failed"
        await self._index.put(tenant, JobView(job, kind, state, now, now, error=event.error))


def _named(job: Job, meta: Meta) -> str:
    """What its sender knows the job by: an id that cannot be one is known to nobody, but its key may be."""
    return job.id if is_token(job.id) else _of_key(meta)


def _of_key(meta: Meta) -> str:
    return job_id(meta.tenant, meta.idempotency_key) if meta.idempotency_key else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
