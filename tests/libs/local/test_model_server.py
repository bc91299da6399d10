"""The local models over the wire, asked by OpenAI's own client. One server for all: it loads for a second."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from openai import APIStatusError, AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletionUserMessageParam

from penstock.local.model_server import Addresses, addresses_in
from tests.support.process import module_process

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = ["--threads", "2", "--context-tokens", "2048", "--parallel", "2", "--answer-tokens", "64"]
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say hello."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncIterator[Addresses]:
    async with module_process("penstock.local.model_server", SMALL, start_timeout_s=50) as process:
        await process.says("^ready ")
        addresses = addresses_in(process.output)
        assert addresses is not None
        yield addresses


async def test_a_chat_is_answered_with_text_and_usage(models: Addresses) -> None:
    async with _client(models.chat) as client:
        answer = await client.chat.completions.create(
            model="smollm2-135m-instruct", messages=HELLO, max_tokens=8, temperature=0
        )
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8
    assert answer.model == "smollm2-135m-instruct"


async def test_a_chat_is_streamed_in_pieces_and_says_why_it_ended(models: Addresses) -> None:
    async with _client(models.chat) as client:
        stream = await client.chat.completions.create(
            model="smollm2-135m-instruct", messages=HELLO, max_tokens=8, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) >= 2
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("length", "stop")


async def test_an_answer_without_a_limit_of_its_own_ends_at_the_servers(models: Addresses) -> None:
    story: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Tell me a very long story."}]
    async with _client(models.chat) as client:
        answer = await client.chat.completions.create(model="smollm2-135m-instruct", messages=story)
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 64


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings_have_384_numbers_in_either_encoding(models: Addresses, encoding: str) -> None:
    async with _client(models.embeddings) as client:
        if encoding == "float":
            answer = await client.embeddings.create(model="m", input=["river", "bank"], encoding_format="float")
        else:  # what the client asks for, and decodes, unless it is told otherwise
            answer = await client.embeddings.create(model="m", input=["river", "bank"])
    assert [len(item.embedding) for item in answer.data] == [384, 384]
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-3)
    assert answer.usage.prompt_tokens == 6
    assert answer.model == "all-minilm-l6-v2"


async def test_other_dimensions_are_refused(models: Addresses) -> None:
    async with _client(models.embeddings) as client:
        with pytest.raises(BadRequestError, match="dimensions can only be 384"):
            await client.embeddings.create(model="m", input="river", dimensions=100)


async def test_tokens_instead_of_text_are_refused(models: Addresses) -> None:
    async with _client(models.embeddings) as client:
        with pytest.raises(BadRequestError):
            await client.embeddings.create(model="m", input=[1, 2, 3])


async def test_more_texts_than_the_limit_are_refused(models: Addresses) -> None:
    async with _client(models.embeddings) as client:
        with pytest.raises(BadRequestError, match="more than 256 texts"):
            await client.embeddings.create(model="m", input=["river"] * 257)


async def test_a_body_over_the_limit_is_refused(models: Addresses) -> None:
    async with _client(models.embeddings) as client:
        with pytest.raises(APIStatusError) as refused:
            await client.embeddings.create(model="m", input="x" * (4 * 1024 * 1024))
    assert refused.value.status_code == 413


async def test_a_missing_model_file_is_one_sentence_and_no_traceback() -> None:
    async with module_process("penstock.local.model_server", ["--model", "/no/such/file.gguf"]) as process:
        assert await process.child.exited() == 2
        assert process.output == "/no/such/file.gguf is not a file.\n"


async def test_sigterm_ends_the_server_though_nobody_asked_anything() -> None:
    async with module_process("penstock.local.model_server", SMALL, start_timeout_s=50) as process:
        await process.says("^ready ")
        assert await process.terminate() in (0, -15)


def _client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
