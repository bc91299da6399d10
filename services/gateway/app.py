"""The routes, in one list, and what is around each: who asks, a bound, a status for every failure."""

import time
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.kit.handling import bug
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Kind, Span, Tracer
from services.gateway import problems
from services.gateway.auth import Authenticator, credential_of
from services.gateway.authzen import EVALUATION, EVALUATIONS, configuration
from services.gateway.authzen import WELL_KNOWN as AUTHZEN
from services.gateway.config import Config
from services.gateway.dialects.by_path import dialect_of
from services.gateway.dialects.dialect import Dialect
from services.gateway.exchange import Exchange
from services.gateway.handlers import Handlers
from services.gateway.request import meta_of, request_id
from services.gateway.resource import WELL_KNOWN, Resource
from services.gateway.sse import refuse

Handler = Callable[[Exchange], Awaitable[int]]

HTTP_ERRORS = {
    404: (Code.NOT_FOUND, "there is no such path"),
    405: (Code.INVALID, "this path does not take that method"),
}


def routes(handlers: Handlers) -> list[tuple[str, str, Handler]]:
    """Method, path, handler: everything that can be reached from outside. All of it needs a key; what does not,
    because it says how to get one, is in `application`."""
    return [("GET", "/", handlers.root), *_model_routes(handlers), *_own_routes(handlers)]


def _model_routes(handlers: Handlers) -> list[tuple[str, str, Handler]]:
    models = handlers.models
    return [
        ("POST", "/v1/chat/completions", models.chat_completions),
        ("POST", "/v1/responses", models.responses),
        ("POST", "/v1/responses/input_tokens", models.count_input_tokens),
        ("GET", "/v1/responses/{id}", models.response),
        ("DELETE", "/v1/responses/{id}", models.delete_response),
        ("POST", "/v1/messages", models.messages),
        ("POST", "/v1/messages/count_tokens", models.count_tokens),
        ("GET", "/v1/streams/{id}", models.resume),
        ("POST", "/v1/embeddings", models.embeddings),
        ("POST", "/v1/rerank", models.rerank),
        ("POST", "/v2/rerank", models.rerank),
        ("GET", "/v1/models", models.models),
        ("GET", "/v1/models/{id:path}", models.model),
        ("POST", "/v1/models/{call:path}", models.gemini),
        ("GET", "/v1beta/models", models.models),
        ("GET", "/v1beta/models/{id:path}", models.model),
        ("POST", "/v1beta/models/{call:path}", models.gemini),
    ]


def _own_routes(handlers: Handlers) -> list[tuple[str, str, Handler]]:
    jobs, runs, keys, accounts = handlers.jobs, handlers.runs, handlers.keys, handlers.accounts
    approvals, policies, authzen = handlers.approvals, handlers.policies, handlers.authzen
    return [
        ("POST", "/v1/jobs", jobs.submit),
        ("GET", "/v1/jobs", jobs.all),
        ("GET", "/v1/jobs/{id}", jobs.one),
        ("POST", "/v1/jobs/{id}/cancel", jobs.cancel),
        ("GET", "/v1/jobs/{id}/events", jobs.events),
        ("GET", "/v1/jobs/{id}/trail", jobs.trail),
        ("GET", "/v1/runs/{id}/chain", runs.chain),
        ("POST", "/v1/runs/{id}/revoke", runs.revoke),
        ("GET", "/v1/audit/verify", jobs.verify_log),
        ("POST", "/v1/keys", keys.create),
        ("GET", "/v1/keys", keys.all),
        ("GET", "/v1/keys/{id}", keys.one),
        ("DELETE", "/v1/keys/{id}", keys.delete),
        ("POST", "/v1/keys/{id}/rotate", keys.rotate),
        ("POST", "/v1/keys/{id}/expire", keys.expire),
        ("POST", "/v1/keys/{id}/revoke", keys.revoke),
        ("POST", "/v1/policy/bundles", policies.publish),
        ("GET", "/v1/policy/bundles", policies.all),
        ("GET", "/v1/policy/bundles/{version}", policies.one),
        ("POST", "/v1/policy/rollback", policies.rollback),
        ("GET", "/v1/policy/decisions", policies.decisions),
        ("GET", "/v1/policy/decisions/{id}/explanation", policies.explain),
        ("POST", EVALUATION, authzen.evaluation),
        ("POST", EVALUATIONS, authzen.evaluations),
        ("GET", "/v1/approvals", approvals.all),
        ("GET", "/v1/approvals/{id}", approvals.one),
        ("POST", "/v1/approvals/{id}/answer", approvals.answer),
        ("GET", "/v1/accounts", accounts.all),
        ("GET", "/v1/accounts/{name}", accounts.one),
        ("GET", "/v1/accounts/{name}/statement", accounts.statement),
    ]


class Guarded:
    """One route as an ASGI application."""

    def __init__(self, path: str, handler: Handler, edge: "Edge") -> None:
        self._path = path
        self._handler = handler
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._edge.handle(self._path, self._handler, Request(scope, receive), send)


class Edge:
    """What every request passes."""

    def __init__(
        self, config: Config, authenticator: Authenticator, metrics: Metrics, log: Log, tracer: Tracer
    ) -> None:
        self._config = config
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._tracer = tracer
        self._in_flight = 0
        self.resource = Resource(config.public_url, config.authorization_servers, config.scopes_supported)

    async def handle(self, path: str, handler: Handler, request: Request, send: Send) -> None:
        """Authenticates, bounds, runs the handler, and answers a Failure with its status."""
        began = time.monotonic()
        id = request_id(request)
        dialect = _dialect(request)
        span = self._span(path, request, id)
        status, credential = 500, ""
        self._in_flight += 1
        self._metrics.http_in_flight.set(self._in_flight)
        try:
            if self._in_flight > self._config.requests_max:
                raise Failure(Code.OVERLOADED, "too many requests at once", retry_after_s=1.0)
            credential = credential_of(request)
            identity = await self._authenticator.identify(credential, id)
            meta = meta_of(request, span.meta, identity, self._config.request_timeout_s)
            status = await handler(Exchange(request, send, meta, dialect, began, identity.subject))
        except Failure as failure:
            status = dialect.status(failure)
            challenge = self.resource.challenge(failure, request.scope["path"], presented=bool(credential))
            await refuse(send, failure, dialect, id, challenge)
            if status >= 500:
                self._log.warning("request failed", request=id, code=failure.code.value, detail=failure.detail)
        finally:
            self._in_flight -= 1
            self._metrics.http_in_flight.set(self._in_flight)
            self._metrics.http_requests.add(path, str(status))
            self._metrics.http_seconds.see(time.monotonic() - began, path)
            span.tell("http.response.status_code", status)
            if status >= 500:
                span.fail(str(status))
            span.__exit__(None, None, None)

    def _span(self, path: str, request: Request, id: str) -> Span:
        """Below the caller's own trace, where there is one."""
        came = Meta(request=id, traceparent=request.headers.get("traceparent", ""))
        span = self._tracer.entry(f"{request.method} {path}", Kind.SERVER, came)
        if self._tracer.on:
            span.tell("http.request.method", request.method)
            span.tell("http.route", path)
            span.tell("url.scheme", request.scope["scheme"])
            span.tell("penstock.request", id)
        return span


def application(
    config: Config,
    handlers: Handlers,
    authenticator: Authenticator,
    metrics: Metrics,
    log: Log,
    tracer: Tracer = UNTRACED,
) -> Starlette:
    """The edge as an ASGI application."""
    edge = Edge(config, authenticator, metrics, log, tracer)
    table = [Route(path, Guarded(path, handler, edge), methods=[method]) for method, path, handler in routes(handlers)]

    async def http_error(request: Request, error: Exception) -> Response:
        """What is wrong before there is a handler, or with one of ours, in the protocol that the path is of."""
        id, dialect = request_id(request), _dialect(request)
        headers = {"x-request-id": id, **dialect.headers(id)}
        if not isinstance(error, HTTPException):
            failure = bug(error, log, where=request.method)
            headers |= problems.headers(failure)
            status = dialect.status(failure)
        else:
            failure = Failure(*HTTP_ERRORS.get(error.status_code, (Code.INTERNAL, "internal error")))
            headers |= error.headers or {}
            status = error.status_code
        return Response(dialect.document(failure, id), status, headers, media_type="application/json")

    async def metadata(request: Request) -> Response:
        """GET /.well-known/oauth-protected-resource, and the same with a path of ours after it"""
        try:
            document = edge.resource.metadata(request.scope["path"].removeprefix(WELL_KNOWN))
        except Failure as failure:
            return await http_error(request, HTTPException(problems.STATUS[failure.code]))
        return Response(document, media_type="application/json", headers={"cache-control": "max-age=300"})

    async def decision_point(request: Request) -> Response:
        """GET /.well-known/authzen-configuration, where the edge was told its own address"""
        if not edge.resource.url:
            return await http_error(request, HTTPException(404))
        document = msgspec.json.encode(configuration(edge.resource.url))
        return Response(document, media_type="application/json", headers={"cache-control": "max-age=300"})

    table.append(Route(AUTHZEN, decision_point, methods=["GET"]))
    table += [Route(path, metadata, methods=["GET"]) for path in (WELL_KNOWN, WELL_KNOWN + "/{of:path}")]
    app = Starlette(routes=table, exception_handlers={HTTPException: http_error, Exception: http_error})
    # a redirect would send whoever asked, key in the address and all, to the host that the request names
    app.router.redirect_slashes = False
    return app


def _dialect(request: Request) -> Dialect:
    # not `request.url`, which is made of the Host header too, and that may be anything
    return dialect_of(request.method, request.scope["path"], request.headers, request.query_params)
