"""Chat completions over HTTP through the real plane, with the client that people use and with none at all."""

import asyncio
import json

import httpx
import openai
import pytest

from tests.services.gateway.conftest import EdgePlane
from tests.support import model_server as model
from tests.support.eventually import eventually

ASK = {"model": "chat", "messages": [{"role": "user", "content": "Say hello."}]}


def sdk(plane: EdgePlane, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=key, base_url=f"{plane.url}/v1", max_retries=0)


async def test_the_openai_client_gets_an_answer_and_its_usage(plane: EdgePlane) -> None:
    async with sdk(plane, await plane.key()) as client:
        answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Hello!"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 3)


async def test_the_openai_client_streams(plane: EdgePlane) -> None:
    async with sdk(plane, await plane.key()) as client:
        stream = await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        texts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(text or "" for text in texts) == "Hello!"


async def test_the_answer_says_who_answered_and_what_it_cost(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", json=ASK, headers={"x-request-id": "req-42"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "req-42"
    assert answer.headers["x-penstock-deployment"] == "one"
    # 9 tokens at 2 dollars and 3 at 10 dollars a million
    assert answer.headers["x-penstock-cost-usd"] == "0.000048000"
    assert answer.headers["x-penstock-decision"].startswith("dec_")
    assert answer.headers["x-penstock-attempt"].startswith("att_")


async def test_usage_comes_in_a_stream_only_when_it_is_asked_for(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        without = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
        asked = ASK | {"stream": True, "stream_options": {"include_usage": True}}
        with_usage = await client.post("/v1/chat/completions", json=asked)
    assert '"usage":{' not in without.text
    assert '"prompt_tokens":9' in with_usage.text
    assert without.text.endswith("data: [DONE]\n\n")
    assert without.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
async def test_a_key_is_found_wherever_a_client_puts_it(plane: EdgePlane, header: str) -> None:
    key = await plane.key()
    value = f"Bearer {key}" if header == "authorization" else key
    async with plane.client(**{header: value}) as client:
        assert (await client.get("/v1/models")).status_code == 200
    async with plane.client() as client:
        assert (await client.get("/v1/models", params={"key": key})).status_code == 200


async def test_without_a_key_or_with_a_wrong_one_it_is_401_and_says_nothing_more(plane: EdgePlane) -> None:
    key = await plane.key()
    for wrong in ("", "psk_nobody_x", key[:-1], key + "x", "x" * 9000, "eyJhbGciOiJub25lIn0.e30."):
        async with plane.client(wrong) as client:
            answer = await client.post("/v1/chat/completions", json=ASK)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        told = ', error="invalid_token"' if 0 < len(wrong) < 9000 else ""
        assert answer.headers["www-authenticate"] == 'Bearer realm="penstock"' + told
        assert key not in answer.text


async def test_an_error_is_the_class_that_the_openai_client_knows(plane: EdgePlane) -> None:
    async with sdk(plane, await plane.key()) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="", messages=[{"role": "user", "content": "hi"}])
    async with sdk(plane, "wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"", None),
        (b"\xff", None),
        (b"[]", None),
        (b'{"messages": []}', "model"),
        (b'{"model": 5, "messages": []}', "model"),
        (b'{"model": "chat"}', "messages"),
        (b'{"model": "chat", "messages": "hi"}', "messages"),
        (b'{"model": "chat", "messages": [], "stream": "yes"}', "stream"),
        (b'{"model": "chat", "messages": ' + b"[" * 5000, None),
    ],
)
async def test_a_malformed_request_is_400_and_names_the_field(plane: EdgePlane, body: bytes, param: str | None) -> None:
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param


async def test_a_body_above_the_limit_is_413_whether_it_says_so_or_not(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        declared = await client.post("/v1/chat/completions", content=b"x" * 2_000_001)

        async def chunks() -> object:
            for _ in range(40):
                yield b"x" * 100_000

        chunked = await client.post("/v1/chat/completions", content=chunks())  # type: ignore[arg-type]  # httpx's own type is narrower than what it takes
    assert declared.status_code == 413
    assert chunked.status_code == 413


async def test_a_large_body_within_the_limit_is_answered(plane: EdgePlane) -> None:
    image = {"type": "image_url", "image_url": {"url": model.base64_image(1_500_000)}}
    content = [{"type": "text", "text": "What is this?"}, image]
    async with plane.client(await plane.key()) as client:
        answer = await client.post(
            "/v1/chat/completions", json={"model": "chat", "messages": [{"role": "user", "content": content}]}
        )
    assert answer.status_code == 200
    assert len(plane.provider.received[-1].body) > 1_500_000


async def test_a_client_that_stops_sending_its_body_is_given_up(plane: EdgePlane) -> None:
    key = await plane.key()
    port = int(plane.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n"
    )
    writer.write(head.encode() + b'{"model"')
    answer = await asyncio.wait_for(reader.read(200), 5)
    assert answer.startswith(b"HTTP/1.1 504 ")
    writer.close()


async def test_a_client_that_drips_its_body_is_given_up_when_the_request_has_taken_too_long(plane: EdgePlane) -> None:
    key = await plane.key()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(plane.url.rpartition(":")[2]))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 900\r\n\r\n"
    )
    writer.write(head.encode())

    async def dripping() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.2)

    drips = asyncio.create_task(dripping())
    answer = await asyncio.wait_for(reader.read(200), 15)
    drips.cancel()
    assert answer.startswith(b"HTTP/1.1 504 ")
    writer.close()


async def test_bodies_that_are_held_at_once_have_a_limit_of_their_own(plane: EdgePlane) -> None:
    plane.provider.script(model.hang(), model="hang")
    padding = "x" * 1_500_000
    ask = ASK | {"model": "hanging", "user": padding}
    async with plane.client(await plane.key()) as client:
        held = [asyncio.create_task(client.post("/v1/chat/completions", json=ask)) for _ in range(4)]
        done, pending = await asyncio.wait(held, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {503}
        assert {task.result().headers["retry-after"] for task in done} == {"1"}
        for task in pending:
            task.cancel()

        async def room() -> None:
            answer = await client.post("/v1/chat/completions", json=ASK | {"user": padding})
            assert answer.status_code == 200

        await eventually(room)


async def test_unknown_paths_and_methods_have_the_same_form(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        unknown = await client.get("/v2/everything")
        method = await client.delete("/v1/models")
        options = await client.options("/v1/models")
        slash = await client.get("/v1/jobs/")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "invalid")
    assert set(method.headers["allow"].split(", ")) == {"GET", "HEAD"}
    # no browser page of another site is let in
    assert options.status_code == 405
    assert "access-control-allow-origin" not in options.headers
    assert (slash.status_code, "location" in slash.headers) == (404, False)


async def test_a_spent_budget_is_402_and_tells_clients_not_to_try_again(plane: EdgePlane) -> None:
    async with plane.client(await plane.key(usd=0.000001)) as client:
        answer = await client.post("/v1/chat/completions", json=ASK | {"max_tokens": 50})
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["type"] == "insufficient_quota"
    assert answer.json()["error"]["decision"].startswith("dec_")
    assert plane.provider.received == []


async def test_a_failing_first_deployment_is_not_noticed(plane: EdgePlane) -> None:
    plane.provider.script(model.status(500), model="one")
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 200
    assert answer.headers["x-penstock-deployment"] == "two"


async def test_a_silent_stream_is_kept_alive_with_comments(plane: EdgePlane) -> None:
    plane.provider.script(model.streamed("a", "b", pause_s=0.8), model="one")
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
    assert ": keep-alive" in answer.text
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    assert "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events) == "ab"


async def test_a_stream_that_breaks_ends_with_an_error_event_and_not_as_if_it_were_whole(plane: EdgePlane) -> None:
    plane.provider.script(
        model.events(model.chunk({"content": "half"}), model.chunk({"content": "."}), pause_s=0.2, then="cut"),
        model="stall",
    )
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", json=ASK | {"model": "stalling", "stream": True})
    assert "half" in answer.text
    assert "[DONE]" not in answer.text
    last = json.loads(answer.text.strip().rpartition("data: ")[2])
    assert last["error"]["code"] in ("upstream", "unknown_outcome")


async def test_a_client_that_leaves_a_stream_closes_the_upstream(plane: EdgePlane) -> None:
    plane.provider.script(model.events(model.chunk({"content": "first"}), then="hang"), model="stall")
    async with (
        plane.client(await plane.key()) as client,
        client.stream("POST", "/v1/chat/completions", json=ASK | {"model": "stalling", "stream": True}) as answer,
    ):
        async for line in answer.aiter_lines():
            assert "first" in line
            break

    async def closed() -> None:
        assert len(plane.provider.hung_up) == 1

    await eventually(closed, within_s=1.0)


async def test_a_client_that_leaves_a_plain_request_closes_the_upstream(plane: EdgePlane) -> None:
    plane.provider.script(model.hang(), model="hang")
    async with plane.client(await plane.key()) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=ASK | {"model": "hanging"}))

        async def arrived() -> None:
            assert plane.provider.asked("hang") == 1

        await eventually(arrived)
        asking.cancel()

        async def closed() -> None:
            assert len(plane.provider.hung_up) == 1

        await eventually(closed, within_s=1.0)


async def test_more_requests_than_the_edge_takes_are_503_with_a_time_to_come_back(plane: EdgePlane) -> None:
    plane.provider.script(model.hang(), model="hang")
    key = await plane.key()
    async with httpx.AsyncClient(
        base_url=plane.url,
        headers={"authorization": f"Bearer {key}"},
        timeout=20,
        limits=httpx.Limits(max_connections=100),
    ) as client:
        asking = [
            asyncio.create_task(client.post("/v1/chat/completions", json=ASK | {"model": "hanging"})) for _ in range(60)
        ]
        first_ten = zip(range(10), asyncio.as_completed(asking, timeout=20), strict=False)
        refused = [await answer for _, answer in first_ten]
        for task in asking:
            task.cancel()
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


async def test_no_key_stands_in_any_log_line(plane: EdgePlane) -> None:
    key = await plane.key()
    async with plane.client(key) as client:
        await client.post("/v1/chat/completions", json=ASK)
        await client.post("/v1/chat/completions", content=b"{")
    assert not any(key in line or key.rpartition("_")[2] in line for line in plane.lines)
