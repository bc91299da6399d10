"""What Anthropic's own client makes of the edge: answers, streams, counts, models and errors."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, CountRequest
from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge


@pytest.fixture
async def client(edge: ScriptedEdge) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key=edge.key, base_url=edge.url, max_retries=0) as it:
        yield it


async def message(client: anthropic.AsyncAnthropic) -> str:
    answer = await client.messages.create(model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
    return "".join(block.text for block in answer.content if block.type == "text")


async def test_a_message(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    edge.router.body = samples.MESSAGE
    assert await message(client) == "Hello!"
    asked = edge.router.completion
    assert (asked.surface, asked.model) == (ANTHROPIC_MESSAGES, "chat")
    assert asked.headers == {"anthropic-version": "2026-10-21"}


async def test_the_beta_path_and_its_header(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    edge.router.body = samples.MESSAGE
    answer = await client.beta.messages.create(
        model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}], betas=["one-2026-01-01", "two"]
    )
    assert answer.content[0].type == "text"
    assert edge.router.completion.headers["anthropic-beta"] == "one-2026-01-01,two"


async def test_a_stream(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    edge.router.frames = samples.MESSAGE_FRAMES
    async with client.messages.stream(
        model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert texts == ["Hel", "lo!"]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 9, 3)


async def test_a_stream_with_silences_and_a_summary(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    edge.router.frames, edge.router.pause_s, edge.router.wait_s = samples.MESSAGE_FRAMES, 0.4, 0.7
    async with client.messages.stream(
        model="chat",
        max_tokens=50,
        messages=[{"role": "user", "content": "hi"}],
        extra_headers={"x-penstock-summary": "true"},
    ) as stream:
        assert await stream.get_final_text() == "Hello!"


async def test_a_stream_that_breaks(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    edge.router.frames = samples.MESSAGE_FRAMES[:3]
    edge.router.breaks = Failure(Code.OVERLOADED, "it went away")
    with pytest.raises(anthropic.APIStatusError, match="it went away") as raised:
        async with client.messages.stream(
            model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            await stream.get_final_message()
    assert raised.value.type == "overloaded_error"


async def test_tokens_are_counted(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert counted.input_tokens == 12
    asked = edge.router.asked[-1]
    assert isinstance(asked, CountRequest)
    assert (asked.model, asked.surface) == ("chat", ANTHROPIC_MESSAGES)
    assert asked.headers == {"anthropic-version": "2026-10-21"}


async def test_models_are_listed_and_found(edge: ScriptedEdge, client: anthropic.AsyncAnthropic) -> None:
    assert [model.id async for model in client.models.list()] == ["chat", "embed", "org/llama:8b"]
    found = await client.models.retrieve("chat")
    assert (found.type, found.display_name, found.max_input_tokens) == ("model", "chat", 8192)
    assert found.created_at.year == 1970
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nothing")


ERRORS: list[tuple[Code, int, type[anthropic.APIStatusError], str]] = [
    (Code.INVALID, 400, anthropic.BadRequestError, "invalid_request_error"),
    (Code.UNAUTHENTICATED, 401, anthropic.AuthenticationError, "authentication_error"),
    (Code.BUDGET_EXHAUSTED, 402, anthropic.APIStatusError, "billing_error"),
    (Code.DENIED, 403, anthropic.PermissionDeniedError, "permission_error"),
    (Code.APPROVAL_REQUIRED, 403, anthropic.PermissionDeniedError, "permission_error"),
    (Code.NOT_FOUND, 404, anthropic.NotFoundError, "not_found_error"),
    (Code.CONFLICT, 409, anthropic.ConflictError, "conflict_error"),
    (Code.TOO_LARGE, 413, anthropic.RequestTooLargeError, "request_too_large"),
    (Code.RATE_LIMITED, 429, anthropic.RateLimitError, "rate_limit_error"),
    (Code.INTERNAL, 500, anthropic.InternalServerError, "api_error"),
    (Code.UPSTREAM, 502, anthropic.InternalServerError, "api_error"),
    (Code.UNAVAILABLE, 503, anthropic.ServiceUnavailableError, "api_error"),
    (Code.DEADLINE, 504, anthropic.DeadlineExceededError, "timeout_error"),
    (Code.OVERLOADED, 529, anthropic.OverloadedError, "overloaded_error"),
]


async def test_every_failure_is_the_class_that_the_client_knows(
    edge: ScriptedEdge, client: anthropic.AsyncAnthropic
) -> None:
    for code, status, kind, type in ERRORS:
        edge.router.failure = Failure(code, "because")
        with pytest.raises(kind) as raised:
            await message(client)
        error = raised.value
        assert (error.status_code, error.type, error.api_message) == (status, type, "because")
        assert error.request_id == edge.router.metas[-1].request


async def test_a_wrong_key_and_a_wrong_path_have_the_form_too(edge: ScriptedEdge) -> None:
    async with anthropic.AsyncAnthropic(api_key="wrong", base_url=edge.url, max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await message(client)
    assert raised.value.type == "authentication_error"
    async with edge.client() as plain:
        answers = [
            await plain.post("/v1/messages/batches", json={}),
            await plain.get("/v1/messages"),
            await plain.post("/v1/messages", content=b"{"),
            await plain.post("/v1/messages", content=b"x" * 2_000_001),
        ]
    found = [(answer.status_code, answer.json()["type"], answer.json()["error"]["type"]) for answer in answers]
    assert found == [
        (404, "error", "not_found_error"),
        (405, "error", "invalid_request_error"),
        (400, "error", "invalid_request_error"),
        (413, "error", "request_too_large"),
    ]
    for answer in answers:
        assert answer.json()["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_a_tool_runner_whose_thread_is_refused_goes_on_without_one(
    edge: ScriptedEdge, client: anthropic.AsyncAnthropic
) -> None:
    @anthropic.beta_async_tool
    async def stock(item: str) -> str:
        """How many are there?

        Args:
            item: what to count
        """
        return f"3 of {item}"

    runner = client.beta.messages.tool_runner(
        model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}], tools=[stock]
    )
    edge.router.failure = Failure(Code.INVALID, "threads are not kept here", param="thread")
    edge.router.relents = True
    edge.router.body = samples.MESSAGE
    final = await runner.until_done()
    assert final.content[0].type == "text"
    assert b'"thread"' in bytes(edge.router.asked[0].body)  # type: ignore[union-attr]  # it has one
    assert b'"thread"' not in bytes(edge.router.completion.body)
