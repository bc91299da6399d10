"""A client that leaves, on every path that works for it: what is done for it inside ends within a second."""

import asyncio

import pytest

from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge
from tests.support.eventually import eventually

CHAT: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
GEMINI: dict[str, object] = {"contents": [{"parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"stream": True}),
        ("/v1/responses", {"model": "chat", "input": "hi"}),
        ("/v1/responses", {"model": "chat", "input": "hi", "stream": True}),
        ("/v1/messages", CHAT),
        ("/v1/messages", CHAT | {"stream": True}),
        ("/v1/messages/count_tokens", CHAT),
        ("/v1/embeddings", {"model": "embed", "input": "hi"}),
        ("/v1/rerank", {"model": "rank", "query": "hi", "documents": ["a"]}),
        ("/v1/models/chat:generateContent", GEMINI),
        ("/v1/models/chat:streamGenerateContent", GEMINI),
        ("/v1/models/chat:streamGenerateContent?alt=sse", GEMINI),
    ],
)
async def test_before_the_answer_begins(edge: ScriptedEdge, path: str, body: dict[str, object]) -> None:
    edge.router.wait_s = 30.0
    async with edge.client() as client:
        asking = asyncio.create_task(client.post(path, json=body))

        async def arrived() -> None:
            assert len(edge.router.asked) == 1

        await eventually(arrived)
        asking.cancel()

        async def ended() -> None:
            assert edge.router.stopped == 1

        await eventually(ended, within_s=1.0)


@pytest.mark.parametrize(
    ("path", "body", "frames"),
    [
        ("/v1/responses", {"model": "chat", "input": "hi", "stream": True}, samples.RESPONSE_FRAMES),
        ("/v1/messages", CHAT | {"stream": True}, samples.MESSAGE_FRAMES),
        ("/v1/models/chat:streamGenerateContent", GEMINI, samples.GEMINI_FRAMES),
    ],
)
async def test_in_the_middle_of_a_stream(
    edge: ScriptedEdge, path: str, body: dict[str, object], frames: list[bytes]
) -> None:
    edge.router.frames, edge.router.pause_s = frames, 30.0
    async with edge.client() as client, client.stream("POST", path, json=body) as answer:
        async for chunk in answer.aiter_bytes():
            assert chunk
            break

    async def ended() -> None:
        assert edge.router.stopped == 1

    await eventually(ended, within_s=1.0)
