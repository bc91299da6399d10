"""The inventory of routes: each needs a key, and none reaches the inside without the identity that policy gave."""

import re

import httpx

from penstock.bus import Bus, BusConfig
from penstock.contracts.services import GATEWAY
from services.gateway.app import routes
from services.gateway.config import Config
from services.gateway.handlers import Handlers
from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge
from tests.support.nats_server import NatsServer

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
CONTENT = {"parts": [{"text": "hi"}]}
JOBS = {
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{id}",
    "POST /v1/jobs/{id}/cancel",
    "GET /v1/jobs/{id}/events",
    "GET /v1/jobs/{id}/trail",
    "GET /v1/audit/verify",
}
"""What each of these asks inside is checked where it is answered: by the orchestrator and the audit."""
POLICIES = {
    "POST /v1/policy/bundles",
    "GET /v1/policy/bundles",
    "GET /v1/policy/bundles/{version}",
    "POST /v1/policy/rollback",
    "GET /v1/policy/decisions",
    "GET /v1/policy/decisions/{id}/explanation",
    "POST /access/v1/evaluation",
    "POST /access/v1/evaluations",
    "POST /v1/keys",
    "GET /v1/keys",
    "GET /v1/keys/{id}",
    "DELETE /v1/keys/{id}",
    "POST /v1/keys/{id}/rotate",
    "POST /v1/keys/{id}/expire",
    "POST /v1/keys/{id}/revoke",
    "GET /v1/runs/{id}/chain",
    "POST /v1/runs/{id}/revoke",
    "GET /v1/approvals",
    "GET /v1/approvals/{id}",
    "POST /v1/approvals/{id}/answer",
    "GET /v1/accounts",
    "GET /v1/accounts/{name}",
    "GET /v1/accounts/{name}/statement",
}
"""Answered by policy, which decides about each."""
KEPT = {"GET /v1/streams/{id}"}
"""Whose stream it is is for the router to tell."""
NOTHING_INSIDE = {"GET /"}
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "POST /v1/chat/completions": ("/v1/chat/completions", {**CHAT}),
    "POST /v1/responses": ("/v1/responses", {"model": "chat", "input": "hi"}),
    "POST /v1/responses/input_tokens": ("/v1/responses/input_tokens", {"model": "chat", "input": "hi"}),
    "GET /v1/responses/{id}": ("/v1/responses/resp_1", {}),
    "DELETE /v1/responses/{id}": ("/v1/responses/resp_1", {}),
    "POST /v1/messages": ("/v1/messages", {**CHAT}),
    "POST /v1/messages/count_tokens": ("/v1/messages/count_tokens", {**CHAT}),
    "POST /v1/embeddings": ("/v1/embeddings", {"model": "embed", "input": "hi"}),
    "POST /v1/rerank": ("/v1/rerank", {"model": "rank", "query": "hi", "documents": ["one", "two"]}),
    "POST /v2/rerank": ("/v2/rerank", {"model": "rank", "query": "hi", "documents": ["one", "two"]}),
    "GET /v1/models": ("/v1/models", {}),
    "GET /v1/models/{id:path}": ("/v1/models/chat", {}),
    "POST /v1/models/{call:path}": ("/v1/models/chat:generateContent", {"contents": [CONTENT]}),
    "GET /v1beta/models": ("/v1beta/models", {}),
    "GET /v1beta/models/{id:path}": ("/v1beta/models/chat", {}),
    "POST /v1beta/models/{call:path}": ("/v1beta/models/embed:embedContent", {"content": CONTENT}),
}


async def inventory(broker: NatsServer) -> set[str]:
    bus = await Bus.connect(BusConfig(url=broker.url, principal=GATEWAY))
    try:
        return {f"{method} {path}" for method, path, _ in routes(Handlers(bus, Config()))}
    finally:
        await bus.close()


async def test_the_inventory_is_all_that_there_is(broker: NatsServer) -> None:
    assert await inventory(broker) == JOBS | POLICIES | KEPT | NOTHING_INSIDE | set(MODELS)


async def test_every_route_needs_a_key_and_says_so_in_its_own_form(edge: ScriptedEdge, broker: NatsServer) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        for route in sorted(await inventory(broker)):
            method, _, path = route.partition(" ")
            address = re.sub(r"\{[a-z:]+\}", "chat:generateContent", path)
            for headers in ({}, {"authorization": "Bearer psk_nobody_x"}, {"x-goog-api-key": "psk_nobody_x"}):
                answer = await client.request(method, address, headers=headers)
                assert answer.status_code == 401, route
                error = answer.json()["error"]
                said = error.get("type") or error["status"]
                assert said == ("UNAUTHENTICATED" if "status" in error else "authentication_error"), route
    assert edge.router.metas == []


async def test_every_model_route_goes_inside_with_the_callers_identity(edge: ScriptedEdge) -> None:
    edge.router.body = samples.CHAT
    async with edge.client() as client:
        for route, (path, body) in MODELS.items():
            edge.router.metas.clear()
            method = route.partition(" ")[0]
            answer = await client.request(method, path, json=body or None)
            assert answer.status_code == 200, route
            assert len(edge.router.metas) == 1, route
            meta = edge.router.metas[0]
            assert (meta.tenant, meta.request) == ("acme", answer.headers["x-request-id"]), route
            assert meta.token.count(".") == 2, route
            assert meta.deadline > 0, route
