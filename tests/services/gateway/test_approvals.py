"""Approvals over HTTP: a held request says what it waits for, people answer, and the same request then works once."""

import httpx
import pytest

from tests.services.gateway.conftest import EdgePlane
from tests.support.eventually import eventually

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Say hello."}]}
HELD = """
@id("looked-at") @reason("models are looked at") @approval("finance")
permit (principal, action == Action::"model.complete", resource);
"""
JOBS_HELD = HELD.replace("model.complete", "job.submit")


async def ask(client: httpx.AsyncClient, path: str = "/v1/chat/completions") -> httpx.Response:
    body = {"model": "chat", "input": "Say hello."} if path.endswith("responses") else CHAT | {"max_tokens": 10}
    return await client.post(path, json=body)


async def held(plane: EdgePlane, client: httpx.AsyncClient, path: str = "/v1/chat/completions") -> httpx.Response:
    plane.policies(HELD)

    async def is_held() -> httpx.Response:
        answer = await ask(client, path)
        assert answer.status_code == 403
        return answer

    return await eventually(is_held)


async def test_a_held_request_is_done_once_after_it_was_approved(plane: EdgePlane) -> None:
    bob = await plane.key(subject="user:bob", team="finance")
    async with plane.client(await plane.key()) as client, plane.client(bob) as approver:
        error = await held(plane, client)
        said = error.json()["error"]
        assert said["code"] == "approval_required"
        url = f"/v1/approvals/{said['approval']['id']}"
        assert said["approval"]["url"] == url
        assert (error.headers["x-penstock-approval"], error.headers["x-should-retry"]) == (url.split("/")[-1], "false")
        assert error.headers["link"] == f'<{url}>; rel="monitor"'
        waiting = (await client.get(url)).json()
        assert (waiting["state"], waiting["requester"], waiting["groups"]) == ("pending", "user:alice", ["finance"])

        own = await client.post(f"{url}/answer", json={"answer": "approve"})
        assert (own.status_code, own.json()["error"]["code"]) == (403, "denied")
        (listed,) = (await approver.get("/v1/approvals", params={"state": "pending"})).json()["approvals"]
        assert listed["id"] == waiting["id"]
        answered = await approver.post(f"{url}/answer", json={"answer": "approve", "reason": "fine"})
        assert (answered.status_code, answered.json()["state"]) == (200, "approved")
        again = await approver.post(f"{url}/answer", json={"answer": "approve", "reason": "fine"})
        assert again.json() == answered.json()
        other = await approver.post(f"{url}/answer", json={"answer": "deny"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")

        assert (await ask(client)).status_code == 200
        once_more = await ask(client)
        assert once_more.json()["error"]["approval"]["id"] != waiting["id"]
        assert (await client.get(url)).json()["state"] == "used"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/responses", ("error", "approval", "id")),
        ("/v1/messages", ("error", "details", "approval", "id")),
    ],
)
async def test_every_protocol_says_in_its_own_form_what_it_waits_for(
    plane: EdgePlane, path: str, place: tuple[str, ...]
) -> None:
    async with plane.client(await plane.key()) as client:
        error = await held(plane, client, path)
        found: object = error.json()
        for name in place:
            assert isinstance(found, dict), error.text
            found = found[name]
        assert found == error.headers["x-penstock-approval"]


async def test_a_held_job_is_taken_when_it_is_handed_in_again_after_its_approval(plane: EdgePlane) -> None:
    bob = await plane.key(subject="user:bob", team="finance")
    job = {"kind": "chat", "model": "chat", "input": "Say hello."}
    plane.policies(JOBS_HELD)
    async with plane.client(await plane.key()) as client, plane.client(bob) as approver:

        async def is_held() -> str:
            answer = await client.post("/v1/jobs", json=job)
            assert answer.status_code == 403
            return str(answer.headers["x-penstock-approval"])

        id = await eventually(is_held)
        await approver.post(f"/v1/approvals/{id}/answer", json={"answer": "approve"})
        assert (await client.post("/v1/jobs", json=job)).status_code == 202
        assert (await client.post("/v1/jobs", json=job)).status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"answer":"perhaps"}', b'{"answer":"approve","by":"user:eve"}', b"[" * 50_000]
)
async def test_an_answer_that_is_none_is_refused(plane: EdgePlane, body: bytes) -> None:
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/approvals/apr_1/answer", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


async def test_what_is_not_there_and_whoever_has_no_key_get_nothing(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client, plane.client() as nobody:
        assert (await client.get("/v1/approvals/apr_1")).status_code == 404
        assert (await client.get("/v1/approvals/..%2f..")).status_code == 404
        assert (await client.get("/v1/approvals", params={"limit": "0"})).status_code == 400
        assert (await nobody.get("/v1/approvals")).status_code == 401
