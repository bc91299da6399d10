"""Bodies that are wrong, on every path that takes one: 400 in the path's own form, at once, and nothing goes inside."""

import json

import httpx
import pytest

from tests.services.gateway.conftest import ScriptedEdge

PATHS = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/models/chat:generateContent",
    "/v1/models/chat:streamGenerateContent",
    "/v1beta/models/chat:streamGenerateContent?alt=sse",
    "/v1beta/models/chat:countTokens",
    "/v1beta/models/chat:embedContent",
    "/v1beta/models/chat:batchEmbedContents",
]
BODIES = [
    b"",
    b"{",
    b"null",
    b"17",
    b"[]",
    b'"chat"',
    b"\x00\xff",
    b'{"model":"chat","messages":17,"input":17,"query":17,"documents":17,"contents":',
    b'{"model":17,"messages":[],"input":"a","query":"a","documents":["a"]}',
    b'{"model":"","messages":[],"input":"a","query":"a","documents":["a"]}',
    b'{"model":"chat","stream":"yes","messages":{},"input":{},"query":{},"documents":{},"content":7,"requests":7}',
    b'{"a":' + b"[" * 200_000,
    b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"model":"chat","input":"\xff","messages":["\xff"],"query":"\xff","documents":["\xff"]}',
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_cannot_be_meant_is_a_bad_request(edge: ScriptedEdge, path: str) -> None:
    async with edge.client() as client:
        for body in BODIES:
            answer = await client.post(path, content=body)
            if answer.status_code == 200:
                # what the edge does not read is the router's to judge
                assert b"model" in body and "model" not in path.partition("?")[0], (path, body[:60])
                continue
            assert answer.status_code == 400, (path, body[:60])
            assert in_the_form_of(path, answer), (path, body[:60])


def in_the_form_of(path: str, answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    if "models/" in path:
        return bool(error["status"] == "INVALID_ARGUMENT" and error["code"] == 400)
    if "/messages" in path:
        return bool(answer.json()["type"] == "error" and error["type"] == "invalid_request_error")
    return bool(error["code"] == "invalid" and error["type"] == "invalid_request_error")


async def test_ten_thousand_tools_and_a_long_prompt_go_through_untouched(edge: ScriptedEdge) -> None:
    tools = [{"name": f"tool_{n}", "input_schema": {"type": "object"}} for n in range(10_000)]
    ask = {
        "model": "chat",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "word " * 100_000}],
        "tools": tools,
    }
    body = json.dumps(ask).encode()
    async with edge.client() as client:
        answer = await client.post("/v1/messages", content=body)
    assert answer.status_code == 200
    assert bytes(edge.router.completion.body) == body


async def test_thousands_of_texts_are_embedded_and_ranked(edge: ScriptedEdge) -> None:
    edge.router.vectors = [[0.25] * 64] * 2048
    texts = ["some text"] * 2048
    async with edge.client() as client:
        embedded = await client.post(
            "/v1/embeddings", json={"model": "embed", "input": texts, "encoding_format": "base64"}
        )
        ranked = await client.post("/v1/rerank", json={"model": "rank", "query": "a", "documents": texts})
    assert len(embedded.json()["data"]) == 2048
    assert ranked.status_code == 200


@pytest.mark.parametrize("scores", [[5], [-1]])
async def test_a_ranking_of_documents_that_there_are_not_is_refused(edge: ScriptedEdge, scores: list[int]) -> None:
    edge.router.ranked = [type(edge.router.ranked[0])(index, 0.5) for index in scores]
    async with edge.client() as client:
        answer = await client.post("/v1/rerank", json={"model": "rank", "query": "a", "documents": ["b"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream")


async def test_vectors_that_do_not_fit_are_refused(edge: ScriptedEdge) -> None:
    async with edge.client() as client:
        edge.router.vectors = [[1e300]]
        large = await client.post("/v1/embeddings", json={"model": "e", "input": "a", "encoding_format": "base64"})
        edge.router.vectors = []
        few = await client.post("/v1/embeddings", json={"model": "e", "input": "a"})
    assert (large.status_code, few.status_code) == (502, 502)
