"""What OpenAI's own client makes of the edge: answers, streams and errors of chat, Responses, embeddings and models."""

import json
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import OPENAI_CHAT, OPENAI_RESPONSES, EmbedRequest, ResponseRef
from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge


@pytest.fixture
async def client(edge: ScriptedEdge) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=edge.key, base_url=f"{edge.url}/v1", max_retries=0) as it:
        yield it


async def chat(client: openai.AsyncOpenAI) -> str | None:
    answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    return answer.choices[0].message.content


async def test_a_chat_answer(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.body = samples.CHAT
    assert await chat(client) == "Hello!"
    asked = edge.router.completion
    assert (asked.surface, asked.model, asked.headed) == (OPENAI_CHAT, "chat", False)
    assert json.loads(bytes(asked.body)) == {"messages": [{"role": "user", "content": "hi"}], "model": "chat"}


async def test_a_chat_stream(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.frames = samples.CHAT_FRAMES
    stream = await client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert texts == ["", "Hel", "lo!", ""]
    assert edge.router.completion.headed


async def test_a_chat_stream_with_silences_and_a_summary(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.frames, edge.router.pause_s = samples.CHAT_FRAMES, 0.4
    stream = await client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        extra_headers={"x-penstock-summary": "true"},
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello!"


async def test_a_chat_stream_that_breaks(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.frames = samples.CHAT_FRAMES[:2]
    edge.router.breaks = Failure(Code.UPSTREAM, "it went away")
    stream = await client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    with pytest.raises(openai.APIError, match="it went away"):
        [chunk async for chunk in stream]


async def test_a_response(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.body = samples.RESPONSE
    response = await client.responses.create(model="chat", input="hi")
    assert response.output_text == "Hello!"
    assert response.usage is not None
    assert response.usage.input_tokens == 9
    assert edge.router.completion.surface == OPENAI_RESPONSES


async def test_a_stored_response_is_read_deleted_and_counted(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.body = samples.RESPONSE
    stored = await client.responses.retrieve("resp_1")
    assert (stored.id, stored.output_text) == ("resp_1", "Hello!")
    await client.responses.delete("resp_1")
    assert edge.router.asked == [ResponseRef("resp_1"), ResponseRef("resp_1")]
    with pytest.raises(openai.BadRequestError, match="not streamed again"):
        await client.responses.retrieve("resp_1", stream=True)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp.1")
    counted = await client.responses.input_tokens.count(model="chat", input="hi")
    assert (counted.object, counted.input_tokens) == ("response.input_tokens", 12)


async def test_a_stream_of_a_response(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.frames, edge.router.pause_s = samples.RESPONSE_FRAMES, 0.1
    async with client.responses.stream(model="chat", input="hi") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)] == ["Hel", "lo!"]
    assert final.output_text == "Hello!"


async def test_a_stream_of_a_response_that_breaks(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.frames = samples.RESPONSE_FRAMES[:5]
    edge.router.breaks = Failure(Code.UPSTREAM, "it went away")
    stream = await client.responses.create(model="chat", input="hi", stream=True)
    seen = []
    with pytest.raises(openai.APIError, match="it went away"):
        async for event in stream:
            seen.append(event)
    assert len(seen) == 5
    assert not any(isinstance(event, ResponseCompletedEvent) for event in seen)


ERRORS: list[tuple[Code, int, type[openai.APIStatusError], str]] = [
    (Code.INVALID, 400, openai.BadRequestError, "invalid_request_error"),
    (Code.UNAUTHENTICATED, 401, openai.AuthenticationError, "authentication_error"),
    (Code.BUDGET_EXHAUSTED, 402, openai.APIStatusError, "insufficient_quota"),
    (Code.DENIED, 403, openai.PermissionDeniedError, "permission_error"),
    (Code.NOT_FOUND, 404, openai.NotFoundError, "not_found_error"),
    (Code.CONFLICT, 409, openai.ConflictError, "conflict_error"),
    (Code.TOO_LARGE, 413, openai.APIStatusError, "invalid_request_error"),
    (Code.RATE_LIMITED, 429, openai.RateLimitError, "rate_limit_error"),
    (Code.UPSTREAM, 502, openai.InternalServerError, "server_error"),
    (Code.OVERLOADED, 503, openai.InternalServerError, "server_error"),
    (Code.DEADLINE, 504, openai.InternalServerError, "server_error"),
]


async def test_every_failure_is_the_class_that_the_client_knows(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    for code, status, kind, type in ERRORS:
        edge.router.failure = Failure(code, "because", param="tools", decision="dec_1")
        for ask in (lambda: chat(client), lambda: client.responses.create(model="chat", input="hi")):
            with pytest.raises(kind) as raised:
                await ask()
            error = raised.value
            assert (error.status_code, error.type, error.code, error.param) == (status, type, code.value, "tools")
            assert error.request_id == edge.router.metas[-1].request


@pytest.mark.parametrize("code", [Code.BUDGET_EXHAUSTED, Code.DENIED])
async def test_the_client_does_not_try_again_what_is_refused_for_good(edge: ScriptedEdge, code: Code) -> None:
    edge.router.failure = Failure(code, "spent", retry_after_s=1.0)
    async with openai.AsyncOpenAI(api_key=edge.key, base_url=f"{edge.url}/v1", max_retries=3) as client:
        with pytest.raises(openai.APIStatusError):
            await chat(client)
    assert len(edge.router.asked) == 1


async def test_the_client_tries_a_rate_limit_again_when_it_is_told_to(edge: ScriptedEdge) -> None:
    edge.router.failure = Failure(Code.RATE_LIMITED, "slowly", retry_after_s=0.01)
    async with openai.AsyncOpenAI(api_key=edge.key, base_url=f"{edge.url}/v1", max_retries=1) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            await chat(client)
    assert len(edge.router.asked) == 2
    assert raised.value.response.headers["retry-after-ms"] == "10"


async def test_embeddings_are_floats_whichever_way_they_travel(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    edge.router.vectors = [[0.5, -1.0], [0.25, 3.0]]
    as_base64 = await client.embeddings.create(model="embed", input=["one", "two"], dimensions=2)
    as_floats = await client.embeddings.create(model="embed", input=["one", "two"], encoding_format="float")
    for found in (as_base64, as_floats):
        assert [one.embedding for one in found.data] == [[0.5, -1.0], [0.25, 3.0]]
        assert [one.index for one in found.data] == [0, 1]
        assert (found.model, found.usage.prompt_tokens) == ("embed", 9)
    assert edge.router.asked == [
        EmbedRequest("embed", ["one", "two"], 2),
        EmbedRequest("embed", ["one", "two"]),
    ]


async def test_one_text_may_come_alone_and_tokens_may_not(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    assert len((await client.embeddings.create(model="embed", input="one")).data) == 1
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="send texts") as raised:
            await client.embeddings.create(model="embed", input=tokens)
        assert raised.value.param == "input"


async def test_models_are_listed_and_found(edge: ScriptedEdge, client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["chat", "embed", "org/llama:8b"]
    assert (await client.models.retrieve("chat")).owned_by == "acme"
    assert (await client.models.retrieve("org/llama:8b")).id == "org/llama:8b"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nothing")


async def test_a_wrong_key_is_an_authentication_error(edge: ScriptedEdge) -> None:
    async with openai.AsyncOpenAI(api_key="wrong", base_url=f"{edge.url}/v1", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await chat(client)
        with pytest.raises(openai.AuthenticationError):
            await client.responses.create(model="chat", input="hi")
