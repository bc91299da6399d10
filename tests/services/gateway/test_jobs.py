"""Jobs over HTTP: submit, look, follow, cancel; another tenant's job is not there."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.services.gateway.conftest import EdgePlane
from tests.support import model_server as model
from tests.support.eventually import eventually

JOB = {"kind": "chat", "model": "chat", "input": "Say hello."}


async def events_of(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, object]]]:
    kind = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


async def finished(client: httpx.AsyncClient, id: str) -> dict[str, object]:
    async def done() -> dict[str, object]:
        view: dict[str, object] = (await client.get(f"/v1/jobs/{id}")).json()
        assert view["state"] in ("completed", "failed", "denied", "cancelled"), view
        return view

    return await eventually(done, within_s=10)


async def test_a_job_is_accepted_and_completes(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/jobs", json=JOB)
        assert answer.status_code == 202
        id = answer.json()["id"]
        assert answer.headers["location"] == f"/v1/jobs/{id}"
        view = await finished(client, id)
    assert view["state"] == "completed"
    assert view["output"]["text"] == "Hello!"  # type: ignore[index]  # JSON


async def test_the_same_idempotency_key_twice_is_one_job(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        first = await client.post("/v1/jobs", json=JOB, headers={"idempotency-key": "order 66"})
        second = await client.post("/v1/jobs", json=JOB, headers={"idempotency-key": "order 66"})
        await finished(client, first.json()["id"])
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"id": first.json()["id"], "duplicate": True}
    assert plane.provider.asked("one") == 1


async def test_events_and_tokens_are_followed_to_the_end(plane: EdgePlane) -> None:
    plane.provider.script(model.streamed("Hel", "lo", "!", pause_s=0.05), model="one")
    async with plane.client(await plane.key()) as client:
        id = (await client.post("/v1/jobs", json=JOB)).json()["id"]
        async with client.stream("GET", f"/v1/jobs/{id}/events", params={"tokens": "true"}) as answer:
            seen = [(kind, data) async for kind, data in events_of(answer)]
    kinds = [kind for kind, _ in seen if kind != "token"]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "completed"
    assert [data["n"] for kind, data in seen if kind != "token"] == list(range(len(kinds)))
    assert "".join(str(data.get("text", "")) for kind, data in seen if kind == "token") == "Hello!"


async def test_a_reader_that_comes_back_goes_on_after_the_event_it_saw_last(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        id = (await client.post("/v1/jobs", json=JOB)).json()["id"]
        await finished(client, id)
        async with client.stream("GET", f"/v1/jobs/{id}/events") as answer:
            every = [data["n"] async for _, data in events_of(answer)]
        async with client.stream("GET", f"/v1/jobs/{id}/events", headers={"last-event-id": "0"}) as answer:
            rest = [data["n"] async for _, data in events_of(answer)]
    assert rest == every[1:]


async def test_another_tenants_job_is_not_there(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        id = (await client.post("/v1/jobs", json=JOB)).json()["id"]
        await finished(client, id)
    async with plane.client(await plane.key("umbrella", "user:eve")) as stranger:
        for method, path in (
            ("GET", f"/v1/jobs/{id}"),
            ("GET", f"/v1/jobs/{id}/events"),
            ("POST", f"/v1/jobs/{id}/cancel"),
        ):
            answer = await stranger.request(method, path)
            assert answer.status_code == 404, path
        assert (await stranger.get("/v1/jobs")).json()["jobs"] == []


async def test_ids_that_are_no_ids_are_not_found(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        for id in ("job.*", "%3E", "a" * 65, "..", "job_nothing", "%00"):
            assert (await client.get(f"/v1/jobs/{id}")).status_code == 404, id


@pytest.mark.parametrize("number", ["²", "--5", "-", "9" * 5000, "1.5", "many"])
async def test_a_number_that_is_none_is_400_and_never_500(plane: EdgePlane, number: str) -> None:
    async with plane.client(await plane.key()) as client:
        assert (await client.get("/v1/jobs", params={"limit": number})).status_code == 400
        assert (await client.get("/v1/jobs/job_1/events", params={"after": number})).status_code == 400
        header = {b"last-event-id": number.encode("latin-1")}
        assert (await client.get("/v1/jobs/job_1/events", headers=header)).status_code == 400


async def test_head_is_answered_without_following_the_job(plane: EdgePlane) -> None:
    plane.provider.script(model.hang(), model="hang")
    async with plane.client(await plane.key()) as client:
        id = (await client.post("/v1/jobs", json=JOB | {"model": "hanging"})).json()["id"]
        answer = await client.head(f"/v1/jobs/{id}/events")
        assert (answer.status_code, answer.headers["content-length"]) == (200, "0")
        assert (await client.head(f"/v1/jobs/{id}")).status_code == 200
        await client.post(f"/v1/jobs/{id}/cancel")


async def test_a_job_that_cannot_be_read_is_400_with_a_sentence(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        bodies: tuple[object, ...] = (
            {"kind": "magic", "input": 1},
            {"kind": "chat"},
            JOB | {"dedline_s": 5},
            JOB | {"id": "a.b"},
            [],
        )
        for body in bodies:
            answer = await client.post("/v1/jobs", json=body)
            assert answer.status_code == 400, body
            assert answer.json()["error"]["message"]


async def test_a_cancelled_job_stops_its_model_call(plane: EdgePlane) -> None:
    plane.provider.script(model.events(model.chunk({"content": "first"}), then="hang"), model="stall")
    async with plane.client(await plane.key()) as client:
        id = (await client.post("/v1/jobs", json=JOB | {"model": "stalling"})).json()["id"]

        async def under_way() -> None:
            assert plane.provider.asked("stall") == 1

        await eventually(under_way)
        assert (await client.post(f"/v1/jobs/{id}/cancel")).status_code == 200
        view = await finished(client, id)

        async def closed() -> None:
            assert len(plane.provider.hung_up) == 1

        await eventually(closed)
    assert view["state"] == "cancelled"


async def test_the_list_is_newest_first_and_pages(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        ids = []
        for _ in range(3):
            ids.append((await client.post("/v1/jobs", json=JOB)).json()["id"])
            await finished(client, ids[-1])
        first = (await client.get("/v1/jobs", params={"limit": 2})).json()
        second = (await client.get("/v1/jobs", params={"limit": 2, "before": first["next"]})).json()
        wrong = await client.get("/v1/jobs", params={"limit": "many"})
    assert [job["id"] for job in first["jobs"]] == [ids[2], ids[1]]
    assert [job["id"] for job in second["jobs"]] == [ids[0]]
    assert wrong.status_code == 400
