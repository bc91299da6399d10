"""What tenants may ask of the evidence. The kit has verified that meta.tenant is the caller's own."""

import asyncio
from pathlib import Path

from penstock.contracts.audit import Trail, TrailRequest, Verified, VerifyRequest
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock
from services.audit.trail import Trails
from services.audit.verify import Findings, verify

ID_MAX = 200


class Handlers:
    """`folder`: the log's; `public_key`: as the verifier takes it."""

    def __init__(self, trails: Trails, folder: Path, public_key: str, clock: Clock) -> None:
        self._trails = trails
        self._folder = folder
        self._public_key = public_key
        self._clock = clock
        self._verifying: asyncio.Task[Findings] | None = None

    async def trail(self, request: TrailRequest, meta: Meta) -> Trail:
        """In the log's order. INVALID without a job or a request."""
        if not request.job and not request.request:
            raise Failure(Code.INVALID, "name a job or a request", param="job")
        for name, value in (("job", request.job), ("request", request.request)):
            if len(value) > ID_MAX:
                raise Failure(Code.INVALID, f"{name} is longer than {ID_MAX} characters", param=name)
        if request.limit < 1:
            raise Failure(Code.INVALID, "limit must be at least 1", param="limit")
        return await self._trails.of(meta.tenant, request.job, request.request, request.limit, self._clock.now())

    async def verify(self, request: VerifyRequest, meta: Meta) -> Verified:
        """The whole log is checked, once for all who ask meanwhile; orphans are the tenant's own."""
        if self._verifying is None or self._verifying.done():
            work = asyncio.to_thread(verify, self._folder, self._public_key, now=self._clock.now())
            self._verifying = asyncio.create_task(work)
        findings = await asyncio.shield(self._verifying)
        found = findings.verified
        orphans = tuple(orphan.decision for orphan in findings.orphans if orphan.tenant == meta.tenant)
        return Verified(found.records, found.root, found.signed_by, found.problems, orphans)
