"""One method a route: HTTP in, bus out. Each runs after the caller was authenticated (app.py)."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.types import Send

from penstock.bus import Bus
from penstock.contracts import subjects
from penstock.contracts.audit import TrailRequest, VerifyRequest
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.jobs import Job, JobListRequest, JobRef
from penstock.contracts.llm import CompletionRequest, ModelsRequest, Served
from penstock.contracts.meta import Meta
from services.gateway import openai, problems
from services.gateway.config import Config
from services.gateway.follow import job_frames
from services.gateway.leaving import WhileConnected
from services.gateway.request import body_of, number
from services.gateway.room import Room
from services.gateway.sse import Relay, answer

_jobs = msgspec.json.Decoder(Job)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of an authenticated client, and the way back."""

    request: Request
    send: Send
    meta: Meta

    @property
    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        return {"x-request-id": self.meta.request}

    async def reply(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> int:
        """A whole JSON answer; returns its status."""
        await answer(self.send, status, body, {**self.headers, **(headers or {})})
        return status


class Handlers:
    """Every handler returns the HTTP status that it sent, or raises Failure before it sent anything."""

    def __init__(self, bus: Bus, config: Config) -> None:
        self._bus = bus
        self._config = config
        self._room = Room(config.bodies_max_bytes)

    async def chat_completions(self, exchange: Exchange) -> int:
        """POST /v1/chat/completions, plain or streamed."""
        async with self._body(exchange) as body:
            head = openai.chat_head(body)
            request = CompletionRequest(head.model, msgspec.Raw(body))
            if head.stream:
                return _status(await self._relay(exchange).run(self._model_frames(request, exchange.meta)))
            async with WhileConnected(exchange.request.receive):
                completion = await self._bus.call(subjects.LLM_COMPLETE, request, exchange.meta)
        return await exchange.reply(bytes(completion.body), headers=_served(completion.served))

    async def _model_frames(self, request: CompletionRequest, meta: Meta) -> AsyncGenerator[bytes, None]:
        async with self._bus.stream(subjects.LLM_STREAM, request, meta) as reader:
            async for frame in reader:
                yield frame

    async def models(self, exchange: Exchange) -> int:
        """GET /v1/models: those that the caller may use."""
        models = await self._bus.call(subjects.LLM_MODELS, ModelsRequest(), exchange.meta)
        return await exchange.reply(openai.model_list(models))

    async def model(self, exchange: Exchange) -> int:
        """GET /v1/models/{id}"""
        models = await self._bus.call(subjects.LLM_MODELS, ModelsRequest(), exchange.meta)
        return await exchange.reply(openai.one_model(models, exchange.request.path_params["id"]))

    async def submit_job(self, exchange: Exchange) -> int:
        """POST /v1/jobs. The Idempotency-Key header stands for the field where the body has none."""
        try:
            async with self._body(exchange) as body:
                job = _jobs.decode(body)
        except msgspec.ValidationError as error:
            raise Failure(Code.INVALID, str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure(Code.INVALID, "the body is not valid JSON") from error
        if exchange.meta.idempotency_key and not job.idempotency_key:
            job = msgspec.structs.replace(job, idempotency_key=exchange.meta.idempotency_key)
        submitted = await self._bus.call(subjects.JOB_SUBMIT, job, exchange.meta, tenant=exchange.meta.tenant)
        location = {"location": f"/v1/jobs/{submitted.id}"}
        return await exchange.reply(
            msgspec.json.encode(submitted), 200 if submitted.duplicate else 202, headers=location
        )

    async def get_job(self, exchange: Exchange) -> int:
        """GET /v1/jobs/{id}"""
        view = await self._bus.call(subjects.JOB_GET, _job(exchange), exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def list_jobs(self, exchange: Exchange) -> int:
        """GET /v1/jobs?limit=&before=&state="""
        query = exchange.request.query_params
        limit = number(query.get("limit", "20"))
        if limit is None or not 1 <= limit <= 100:
            raise Failure(Code.INVALID, "limit must be a whole number from 1 to 100", param="limit")
        request = JobListRequest(limit, query.get("before", ""), query.get("state", ""))
        page = await self._bus.call(subjects.JOB_LIST, request, exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(page))

    async def cancel_job(self, exchange: Exchange) -> int:
        """POST /v1/jobs/{id}/cancel"""
        view = await self._bus.call(subjects.JOB_CANCEL, _job(exchange), exchange.meta, tenant=exchange.meta.tenant)
        return await exchange.reply(msgspec.json.encode(view))

    async def job_events(self, exchange: Exchange) -> int:
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
        if request.method == "HEAD":
            return await exchange.reply(b"", headers={"content-type": "text/event-stream; charset=utf-8"})
        frames = job_frames(
            self._bus,
            exchange.meta.tenant,
            job.id,
            after=after,
            tokens=request.query_params.get("tokens") in ("1", "true"),
        )
        return _status(await self._relay(exchange).run(frames))

    async def job_trail(self, exchange: Exchange) -> int:
        """GET /v1/jobs/{id}/trail: every decision and outcome of the job, in the log's order."""
        trail = await self._bus.call(
            subjects.AUDIT_TRAIL, TrailRequest(job=_job(exchange).id), exchange.meta, tenant=exchange.meta.tenant
        )
        return await exchange.reply(msgspec.json.encode(trail))

    async def verify_log(self, exchange: Exchange) -> int:
        """GET /v1/audit/verify"""
        verified = await self._bus.call(
            subjects.AUDIT_VERIFY, VerifyRequest(), exchange.meta, tenant=exchange.meta.tenant
        )
        return await exchange.reply(msgspec.json.encode(verified))

    @asynccontextmanager
    async def _body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The request's body, which has its share of the room until the block ends."""
        config = self._config
        with self._room.share() as share:
            yield await body_of(
                exchange.request,
                share,
                max_bytes=config.body_max_bytes,
                silence_s=config.body_timeout_s,
                within_s=exchange.meta.deadline - time.time(),
            )

    def _relay(self, exchange: Exchange) -> Relay:
        config = self._config
        return Relay(
            exchange.request.receive, exchange.send, exchange.headers, config.sse_keep_alive_s, config.send_timeout_s
        )


def _job(exchange: Exchange) -> JobRef:
    id = exchange.request.path_params["id"]
    if not is_token(id):
        raise Failure(Code.NOT_FOUND, "there is no such job")
    return JobRef(id)


def _status(failure: Failure | None) -> int:
    return problems.status(failure) if failure else 200


def _served(served: Served) -> dict[str, str]:
    """What the caller may know of who answered and what it cost."""
    headers = {
        "x-penstock-attempt": served.attempt,
        "x-penstock-decision": served.decision,
        "x-penstock-deployment": served.deployment,
        "x-penstock-tokens": str(served.usage.total),
    }
    if served.cost_nano >= 0:
        headers["x-penstock-cost-usd"] = f"{served.cost_nano / 1e9:.9f}"
    return {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}
