"""Streams over HTTP that a client comes back to, at this replica of the edge or at another."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from penstock.kit.log import Log
from penstock.kit.service import running
from services.gateway.config import Config as GatewayConfig
from services.gateway.main import gateway
from tests.services.gateway.conftest import EdgePlane, port_of
from tests.support import model_server as model
from tests.support.eventually import eventually
from tests.support.gated import DONE, ROLE, Gated

ASK = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
RESUMABLE = {"x-penstock-resumable": "true"}
ANSWER = (
    ROLE,
    *(model.chunk({"content": word}) for word in ("a0", "a1", "b0", "b1")),
    model.chunk({}, "stop"),
    DONE,
)


def marked(stream: str, *events: bytes, first: int = 1) -> bytes:
    """Events as their reader gets them."""
    return b"".join(
        event.removesuffix(b"\n\n") + b"\nid: %b:%d\n\n" % (stream.encode(), number)
        for number, event in enumerate(events, first)
    )


def without_comments(text: bytes) -> bytes:
    return re.sub(rb"(?m)^: [^\n]*\n\n", b"", text)


async def half_of_it(
    client: httpx.AsyncClient, body: dict[str, object] = ASK, path: str = "/v1/chat/completions"
) -> str:
    """Reads to the second word, then the connection is lost. The stream's name."""
    async with client.stream("POST", path, json=body, headers=RESUMABLE) as answer:
        assert answer.status_code == 200
        text = b""
        async for piece in answer.aiter_bytes():
            text += piece
            if b"a1" in text:
                break
        return answer.headers["x-penstock-stream"]


@asynccontextmanager
async def another_edge(plane: EdgePlane) -> AsyncIterator[str]:
    """One more replica."""
    lines: list[str] = []
    config = msgspec.structs.replace(
        GatewayConfig(),
        nats_url=plane.broker.url,
        data_dir=str(plane.folder),
        config_dir=str(plane.folder),
        drain_s=2.0,
        http_port=0,
        sse_keep_alive_s=0.3,
    )
    async with running(gateway, config, "gateway", log=Log(lines.append)):
        yield f"http://127.0.0.1:{await port_of(lines)}"


async def test_a_client_that_lost_its_connection_goes_on_at_another_replica(plane: EdgePlane) -> None:
    gated = Gated()
    plane.provider.script(gated.reply)
    key = await plane.key()
    async with plane.client(key) as client, another_edge(plane) as url:
        stream = await half_of_it(client)
        asyncio.get_running_loop().call_later(0.5, gated.go.set)
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=20) as other:
            answer = await other.get(f"/v1/streams/{stream}", headers={"last-event-id": f"{stream}:2"})
        assert answer.status_code == 200
        assert answer.headers["x-penstock-stream"] == stream
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert without_comments(answer.content) == marked(stream, *ANSWER[2:], first=3)
        again = await client.get(f"/v1/streams/{stream}", params={"after": "6"})
        assert without_comments(again.content) == marked(stream, DONE, first=7)
        only_head = await client.head(f"/v1/streams/{stream}")
        assert (only_head.status_code, only_head.headers["x-penstock-stream"]) == (200, stream)


async def test_a_stream_that_is_not_ours_or_not_there_is_not_found(plane: EdgePlane) -> None:
    plane.provider.script(Gated().reply)
    async with plane.client(await plane.key()) as client:
        stream = await half_of_it(client)
    async with plane.client(await plane.key(subject="user:bob")) as other:
        for id in (stream, "str_0123", "no.token"):
            answer = await other.get(f"/v1/streams/{id}")
            assert (answer.status_code, answer.json()["error"]["message"]) == (404, "there is no such stream")
        answer = await other.get(f"/v1/streams/{stream}", headers={"last-event-id": "str_other:3"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


async def test_who_does_not_ask_for_it_gets_neither_ids_nor_a_name(plane: EdgePlane) -> None:
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/chat/completions", json=ASK)
        wrong = await client.post("/v1/chat/completions", json=ASK, headers={"x-penstock-resumable": "perhaps"})
    assert "x-penstock-stream" not in answer.headers
    assert b"id: " not in answer.content.replace(b'"id": ', b"")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "x-penstock-resumable")


async def test_a_resumed_stream_that_breaks_ends_in_the_protocol_it_was_asked_for_in(plane: EdgePlane) -> None:
    plane.provider.script(
        model.events(ROLE, model.chunk({"content": "a1"}), model.error_event("Overloaded"), pause_s=0.05)
    )
    ask = {"model": "chat", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with plane.client(await plane.key()) as client:
        stream = await half_of_it(client, ask, "/v1/messages")
        answer = await client.get(f"/v1/streams/{stream}")
    events = without_comments(answer.content).split(b"\n\n")
    assert events[0].startswith(b"event: message_start\n")
    assert events[-2].startswith(b"event: error\ndata: ")
    assert b"the provider reported an error in its answer" in events[-2]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_keep_alives_to_the_client_do_not_feed_the_watch_on_the_provider(plane: EdgePlane, path: str) -> None:
    """Lesson 3, seen from the client: something every 0.3 s, and after 2 s without content an error event."""
    plane.provider.script(Gated().reply)
    began = time.monotonic()
    async with plane.client(await plane.key()) as client:
        answer = await client.post(path, json=ASK | {"max_tokens": 9})
    assert 2.0 <= time.monotonic() - began < 6.0
    assert answer.status_code == 200
    assert b"nothing came for 2 s" in answer.content
    assert answer.content.rstrip().split(b"\n\n")[-1].split(b"data: ")[-1].startswith(b'{"')
    assert (b"[DONE]" in answer.content, b"message_stop" in answer.content) == (False, False)
    assert answer.content.count(b": keep-alive\n\n") + answer.content.count(b"event: ping") >= 3


async def test_all_that_is_left_when_a_client_leaves_is_settled_once(plane: EdgePlane) -> None:
    gated = Gated()
    plane.provider.script(gated.reply)
    async with plane.client(await plane.key()) as client:
        await half_of_it(client)

        async def goes_on() -> None:
            assert (plane.provider.under_way, plane.provider.hung_up) == (1, [])

        await eventually(goes_on)
        gated.go.set()

        async def done() -> None:
            assert (plane.provider.under_way, plane.provider.hung_up) == (0, [])

        await eventually(done)
