"""What Google's own client makes of the edge: answers, streams, counts, embeddings, models and errors."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from google import genai
from google.genai import errors, types

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import GEMINI_GENERATE, CountRequest, EmbedRequest
from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge

# what it does with aiohttp, which it prefers where there is one
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.fixture(params=["aiohttp", "httpx"])
async def client(edge: ScriptedEdge, request: pytest.FixtureRequest) -> AsyncIterator[genai.client.AsyncClient]:
    """Newer ones call /v1 and older ones /v1beta; each reads streams in one way for each of its two transports."""
    async with httpx.AsyncClient() as other:
        if request.param == "httpx":
            options = types.HttpOptions(base_url=edge.url, api_version="v1beta", httpx_async_client=other)
        else:
            options = types.HttpOptions(base_url=edge.url, api_version="v1")
        whole = genai.Client(api_key=edge.key, http_options=options)
        async with whole.aio as it:
            yield it
        whole.close()


async def test_an_answer(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    edge.router.body = samples.GEMINI
    answer = await client.models.generate_content(model="chat", contents="hi")
    assert answer.text == "Hello!"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.prompt_token_count == 9
    asked = edge.router.completion
    assert (asked.surface, asked.model, asked.headed) == (GEMINI_GENERATE, "chat", False)
    assert json.loads(bytes(asked.body)) == {"contents": [{"parts": [{"text": "hi"}], "role": "user"}]}


async def test_a_stream_with_silences(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    edge.router.frames, edge.router.pause_s, edge.router.wait_s = samples.GEMINI_FRAMES, 0.7, 0.7
    chunks = [chunk.text async for chunk in await client.models.generate_content_stream(model="chat", contents="hi")]
    assert chunks == ["Hel", "lo!"]


async def test_a_stream_that_breaks(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    edge.router.frames = samples.GEMINI_FRAMES[:1]
    edge.router.breaks = Failure(Code.UPSTREAM, "it went away")
    texts = []
    with pytest.raises(errors.ServerError) as raised:
        async for chunk in await client.models.generate_content_stream(model="chat", contents="hi"):
            texts.append(chunk.text)
    assert texts == ["Hel"]
    assert (raised.value.code, raised.value.message) == (502, "it went away")


async def test_tokens_are_counted(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    counted = await client.models.count_tokens(model="chat", contents="hi")
    assert counted.total_tokens == 12
    asked = edge.router.asked[-1]
    assert isinstance(asked, CountRequest)
    assert (asked.model, asked.surface) == ("chat", GEMINI_GENERATE)


async def test_embeddings(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    edge.router.vectors = [[0.5, -1.0], [0.25, 3.0]]
    found = await client.models.embed_content(
        model="embed", contents=["one", "two"], config=types.EmbedContentConfig(output_dimensionality=2)
    )
    assert found.embeddings is not None
    assert [one.values for one in found.embeddings] == [[0.5, -1.0], [0.25, 3.0]]
    assert edge.router.asked == [EmbedRequest("embed", ["one", "two"], 2)]


async def test_models_are_listed_and_found(edge: ScriptedEdge, client: genai.client.AsyncClient) -> None:
    names = [model.name async for model in await client.models.list()]
    assert names == ["models/chat", "models/embed", "models/org/llama:8b"]
    found = await client.models.get(model="chat")
    assert (found.display_name, found.input_token_limit) == ("chat", 8192)
    assert found.supported_actions == ["generateContent", "streamGenerateContent", "countTokens"]
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        await client.models.get(model="nothing")


ERRORS: list[tuple[Code, int, type[errors.APIError], str]] = [
    (Code.INVALID, 400, errors.ClientError, "INVALID_ARGUMENT"),
    (Code.UNAUTHENTICATED, 401, errors.ClientError, "UNAUTHENTICATED"),
    (Code.BUDGET_EXHAUSTED, 402, errors.ClientError, "FAILED_PRECONDITION"),
    (Code.DENIED, 403, errors.ClientError, "PERMISSION_DENIED"),
    (Code.NOT_FOUND, 404, errors.ClientError, "NOT_FOUND"),
    (Code.RATE_LIMITED, 429, errors.ClientError, "RESOURCE_EXHAUSTED"),
    (Code.INTERNAL, 500, errors.ServerError, "INTERNAL"),
    (Code.OVERLOADED, 503, errors.ServerError, "UNAVAILABLE"),
    (Code.DEADLINE, 504, errors.ServerError, "DEADLINE_EXCEEDED"),
]


async def test_every_failure_is_the_class_that_the_client_knows(
    edge: ScriptedEdge, client: genai.client.AsyncClient
) -> None:
    for code, status, kind, name in ERRORS:
        edge.router.failure = Failure(code, "because", param="contents", retry_after_s=1.5)
        with pytest.raises(kind) as raised:
            await client.models.generate_content(model="chat", contents="hi")
        assert (raised.value.code, raised.value.status, raised.value.message) == (status, name, "because")
        with pytest.raises(kind) as raised:
            async for _ in await client.models.generate_content_stream(model="chat", contents="hi"):
                pass
        assert raised.value.code == status
