"""Jobs, their events and their evidence: HTTP in, bus out. Each runs after the caller was authenticated (app.py)."""

import msgspec

from penstock.bus import Bus
from penstock.contracts import governance, subjects
from penstock.contracts.audit import TrailRequest, VerifyRequest
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.jobs import Job, JobListRequest, JobRef
from services.gateway.config import Config
from services.gateway.dialects import head
from services.gateway.exchange import Exchange
from services.gateway.follow import job_frames
from services.gateway.intake import Intake
from services.gateway.relays import relay
from services.gateway.request import number

_jobs = msgspec.json.Decoder(Job)


class JobRoutes:
    """Every method returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, config: Config, intake: Intake) -> None:
        self._bus = bus
        self._config = config
        self._intake = intake

    async def submit(self, exchange: Exchange) -> int:
        """POST /v1/jobs. The Idempotency-Key header stands for the field where the body has none."""
        async with self._intake.body(exchange) as body:
            job = head.read(_jobs, body)
        if exchange.meta.idempotency_key and not job.idempotency_key:
            job = msgspec.structs.replace(job, idempotency_key=exchange.meta.idempotency_key)
        submitted = await self._bus.call(subjects.JOB_SUBMIT, job, exchange.meta, tenant=exchange.meta.tenant)
        location = {"location": f"/v1/jobs/{submitted.id}"}
        return await exchange.reply(
            msgspec.json.encode(submitted), 200 if submitted.duplicate else 202, headers=location
        )

    async def one(self, exchange: Exchange) -> int:
        """GET /v1/jobs/{id}"""
        view = await self._bus.call(subjects.JOB_GET, _job(exchange), exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def all(self, exchange: Exchange) -> int:
        """GET /v1/jobs?limit=&before=&state="""
        query = exchange.request.query_params
        limit = number(query.get("limit", "20"))
        if limit is None or not 1 <= limit <= 100:
            raise Failure(Code.INVALID, "limit must be a whole number from 1 to 100", param="limit")
        request = JobListRequest(limit, query.get("before", ""), query.get("state", ""))
        page = await self._bus.call(subjects.JOB_LIST, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(page))

    async def cancel(self, exchange: Exchange) -> int:
        """POST /v1/jobs/{id}/cancel"""
        view = await self._bus.call(subjects.JOB_CANCEL, _job(exchange), exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def events(self, exchange: Exchange) -> int:
        """GET /v1/jobs/{id}/events: server-sent events from the first, or after `Last-Event-ID`, to the job's end.

        With `?tokens=true` the model's output comes too, as `event: token`.
        """
        request = exchange.request
        last = request.headers.get("last-event-id") or request.query_params.get("after") or "-1"
        after = number(last)
        if after is None:
            raise Failure(Code.INVALID, "Last-Event-ID must be the number of an event", param="Last-Event-ID")
        job = _job(exchange)
        # another tenant's job, or none, is refused before the stream begins
        await self._bus.call(subjects.JOB_GET, job, exchange.meta, tenant=exchange.meta.tenant)
        form = exchange.dialect.form(exchange.meta.request)
        if request.method == "HEAD":
            return await exchange.reply(b"", headers={"content-type": form.content_type})
        frames = job_frames(
            self._bus,
            exchange.meta.tenant,
            job.id,
            after=after,
            tokens=request.query_params.get("tokens") in ("1", "true"),
        )
        failure = await relay(exchange, form, self._config).run(frames)
        return exchange.status(failure)

    async def trail(self, exchange: Exchange) -> int:
        """GET /v1/jobs/{id}/trail: every decision and outcome of the job, in the log's order."""
        trail = await self._bus.call(
            governance.AUDIT_TRAIL, TrailRequest(job=_job(exchange).id), exchange.meta, tenant=exchange.meta.tenant
        )
        return await exchange.reply(msgspec.json.encode(trail))

    async def verify_log(self, exchange: Exchange) -> int:
        """GET /v1/audit/verify"""
        verified = await self._bus.call(
            governance.AUDIT_VERIFY, VerifyRequest(), exchange.meta, tenant=exchange.meta.tenant
        )
        return await exchange.reply(msgspec.json.encode(verified))


def _job(exchange: Exchange) -> JobRef:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such job")
    return JobRef(id)
