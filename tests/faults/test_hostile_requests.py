"""What comes over HTTP, badly: an answer that says what is wrong, with the right status, and nobody else is held up."""

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from services.policy.identity.key_file import revoke_key
from tests.faults.proof import settled
from tests.faults.world import World
from tests.support.eventually import eventually
from tests.support.model_server import plain

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

MIB = 1024 * 1024
CHAT = "/v1/chat/completions"
GOOD = {"model": "chat", "messages": [{"role": "user", "content": "<h0> say the words"}]}


@pytest_asyncio.fixture(loop_scope="module")
async def http(shared_world: World) -> AsyncIterator[httpx.AsyncClient]:
    """With the plane's own key."""
    async with client(shared_world, shared_world.plane.profile.key()) as it:
        yield it


def client(world: World, key: str = "", **headers: str) -> httpx.AsyncClient:
    if key:
        headers["authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(base_url=world.plane.state.http_url, headers=headers, timeout=60)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error in OpenAI's shape, which says something."""
    error = answer.json()["error"]
    assert error["message"] and answer.headers["x-request-id"]
    return answer.status_code, error["code"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"17",
        b"\x00\xff",
        b'{"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":17,"messages":[]}',
        b'{"model":"chat"}',
        b'{"model":"chat","messages":17}',
        b'{"model":"chat","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"chat","messages":' + b"[" * 100_000,
        b'{"model":"chat","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"max_tokens":-1}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"max_tokens":"many"}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"stream":"yes"}',
    ],
)
async def test_a_chat_that_cannot_be_read_is_a_bad_request(http: httpx.AsyncClient, body: bytes) -> None:
    assert told(await http.post(CHAT, content=body)) == (400, "invalid")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid"),
        (b"{", 400, "invalid"),
        (b'"chat"', 400, "invalid"),
        (b'{"kind":"dance","input":"hi"}', 400, "invalid"),
        (b'{"kind":"chat","input":"hi","buget":{"usd":1}}', 400, "invalid"),
        (b'{"kind":"chat","input":"\xff"}', 400, "invalid"),
        (b'{"kind":"chat","id":"a.b","input":"hi"}', 400, "invalid"),
        (b'{"kind":"chat","input":' + b"[" * 100_000, 400, "invalid"),
        (b'{"kind":"agent","agent":"nobody","input":"hi"}', 404, "not_found"),
    ],
)
async def test_a_job_that_cannot_be_is_refused(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    assert told(await http.post("/v1/jobs", content=body)) == (status, code)


async def test_a_model_that_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    assert told(await http.post(CHAT, json={**GOOD, "model": "nothing-like-it"})) == (404, "not_found")


@pytest.mark.parametrize(
    "id", ["a.b", "*", "%3E", "a%20b", "%00", "%0d%0aX-Evil:1", "x" * 65, "%ff", "..%2f..", "job_none"]
)
@pytest.mark.parametrize("rest", ["", "/events", "/trail"])
async def test_what_cannot_be_the_id_of_a_job_is_not_found(http: httpx.AsyncClient, id: str, rest: str) -> None:
    answer = await http.get(f"/v1/jobs/{id}{rest}")
    if rest == "/trail" and id == "job_none":
        assert answer.json() == {"entries": []}
        return
    assert answer.status_code == 404


async def test_keys_that_are_wrong_expired_or_revoked_are_refused(shared_world: World) -> None:
    plane = shared_world.plane
    own = plane.profile.key()
    expired = plane.key(expires=time.time() - 1)
    for key in ("x", "psk_", "psk__", own[:-1], own + "x", own.upper(), "psk_0000_" + "a" * 43, "k" * 5000, expired):
        async with client(shared_world, key) as http:
            assert told(await http.post(CHAT, json=GOOD)) == (401, "unauthenticated")
    async with client(shared_world) as http:
        assert told(await http.post(CHAT, json=GOOD)) == (401, "unauthenticated")
    key = plane.key()
    async with client(shared_world, key) as http:

        async def works() -> None:
            assert (await http.get("/v1/models")).status_code == 200

        await eventually(works, 10, every_s=0.2)
        revoke_key(plane.layout.config / "keys.json", key.split("_")[1], time.time())

        async def refused() -> None:
            # the edge may remember the key for a minute; whoever decides looks at it anew
            answer = await http.post(CHAT, json=GOOD)
            assert answer.status_code == 401
            assert told(answer) == (401, "unauthenticated")

        await eventually(refused, 10, every_s=0.3)


async def test_another_tenants_job_is_not_there(shared_world: World, http: httpx.AsyncClient) -> None:
    job = {"kind": "chat", "id": "job_h1", "model": "chat", "input": "<h1> say the words"}
    assert (await http.post("/v1/jobs", json=job)).status_code == 202
    stranger = shared_world.plane.key(tenant="globex", subject="user:mallory")
    async with client(shared_world, stranger) as other:

        async def known() -> None:
            assert (await other.get("/v1/models")).status_code == 200

        await eventually(known, 10, every_s=0.2)
        for path in ("/v1/jobs/job_h1", "/v1/jobs/job_h1/events", "/v1/jobs/job_none"):
            assert told(await other.get(path)) == (404, "not_found")
        assert told(await other.post("/v1/jobs/job_h1/cancel")) == (404, "not_found")
        assert (await other.get("/v1/jobs")).json() == {"jobs": []}
        assert (await other.get("/v1/jobs/job_h1/trail")).json() == {"entries": []}

    async def done() -> None:
        assert (await http.get("/v1/jobs/job_h1")).json()["state"] == "completed"

    await eventually(done, 20, every_s=0.1)


async def test_a_body_above_64_mib_is_too_large_whether_it_says_so_or_not(
    shared_world: World, http: httpx.AsyncClient
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(66):
            yield b" " * MIB

    assert told(await http.post(CHAT, content=b" " * (64 * MIB + 1))) == (413, "too_large")
    try:
        answer = await http.post(CHAT, content=pieces())
    except httpx.TransportError:
        pass  # it answers before the whole body has come, and closes
    else:
        assert told(answer) == (413, "too_large")
    assert shared_world.plane.resident_mib("gateway") < 400


async def test_a_chat_of_30_mib_is_answered_and_others_go_on_meanwhile(
    shared_world: World, http: httpx.AsyncClient
) -> None:
    before = len(shared_world.provider.received)
    body = {**GOOD, "messages": [{"role": "user", "content": "<h2> " + "x" * (30 * MIB)}]}
    shared_world.provider.script(plain("It is long."), model="model-1")
    try:
        answer = await http.post(CHAT, json=body)
    finally:
        shared_world.provider.unscript("model-1")
    assert answer.status_code == 200, answer.text[:300]
    assert answer.json()["choices"][0]["message"]["content"] == "It is long."
    assert len(shared_world.provider.received[before].body) > 30 * MIB
    shared_world.provider.received.clear()
    await settled(shared_world)


async def test_a_client_that_sends_its_body_too_slowly_or_never_holds_nobody_up(
    shared_world: World, http: httpx.AsyncClient
) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b'{"model":"chat",'
        raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        await http.post(CHAT, content=never())
    answer = await http.post(CHAT, content=json.dumps(GOOD | {"stream": True}))
    assert answer.status_code == 200 and "[DONE]" in answer.text
