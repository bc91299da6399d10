"""Embeddings over the bus."""

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Embeddings, EmbedRequest, Usage
from penstock.contracts.subjects import LLM_EMBED
from tests.services.router.conftest import Plane
from tests.support.model_server import embeddings, json, status


@pytest.fixture
def vectors(plane: Plane) -> Plane:
    plane.deploy("vectors", "one-e", kinds=["embeddings"], tools=False)
    plane.default = {"embed": "vectors"}
    return plane


async def embed(plane: Plane, *texts: str, model: str = "vectors") -> Embeddings:
    return await plane.bus.call(LLM_EMBED, EmbedRequest(model, list(texts)), plane.meta())


async def test_each_text_gets_its_vector_in_order_and_the_cost_is_told(vectors: Plane) -> None:
    async with vectors.router():
        answer = await embed(vectors, "a", "four")
        (outcome,) = await vectors.outcomes(1)
    assert answer.vectors == [[1.0, 0.5, 0.5, 0.5], [4.0, 0.5, 0.5, 0.5]]
    assert (answer.served.deployment, answer.served.usage) == ("one-e", Usage(uncached=7))
    assert answer.served.cost_nano == 7 * 2_000
    assert (outcome.action, outcome.resource) == ("model.embed", 'Model::"vectors"')
    (request,) = vectors.server.received
    assert (request.path, request.fields) == ("/v1/embeddings", {"model": "one-e", "input": ["a", "four"]})


async def test_without_a_model_the_default_embeds(vectors: Plane) -> None:
    async with vectors.router():
        assert (await embed(vectors, "a", model="")).served.deployment == "one-e"


@pytest.mark.parametrize("texts", [[], [""], ["a", ""], ["a"] * 9])
async def test_texts_that_cannot_be_embedded_are_refused(vectors: Plane, texts: list[str]) -> None:
    async with vectors.router(embed_texts_max=8):
        with pytest.raises(Failure) as caught:
            await embed(vectors, *texts)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, "input")
    assert vectors.server.received == []


async def test_a_chat_model_does_not_embed(vectors: Plane) -> None:
    async with vectors.router():
        with pytest.raises(Failure) as caught:
            await embed(vectors, "a", model="chat")
    assert caught.value.code is Code.INVALID


async def test_an_answer_with_too_few_vectors_is_a_fault_of_the_provider(vectors: Plane) -> None:
    vectors.server.script(json({"data": [{"index": 0, "embedding": [1.0]}]}))
    async with vectors.router():
        with pytest.raises(Failure) as caught:
            await embed(vectors, "a", "b")
    assert caught.value.code is Code.UPSTREAM
    assert caught.value.detail == "the provider's answer holds 1 vectors for 2 texts"


async def test_a_failing_deployment_is_asked_again(vectors: Plane) -> None:
    vectors.server.script(status(503), embeddings())
    async with vectors.router():
        assert (await embed(vectors, "a")).served.attempts == 2


async def test_a_gemini_model_embeds_on_its_own_wire(vectors: Plane) -> None:
    vectors.deployments["one-e"] |= {"provider": "gemini", "base_url": vectors.server.url.removesuffix("/v1")}
    vectors.server.script(json({"embeddings": [{"values": [1.0, 2.0]}, {"values": [3.0, 4.0]}]}))
    async with vectors.router():
        request = EmbedRequest("vectors", ["a", "b"], 2)
        answer = await vectors.bus.call(LLM_EMBED, request, vectors.meta())
    assert answer.vectors == [[1.0, 2.0], [3.0, 4.0]]
    assert answer.served.usage.estimated
    (sent,) = vectors.server.received
    assert sent.path == "/v1beta/models/one-e:batchEmbedContents"
    assert sent.fields["requests"] == [
        {"model": "models/one-e", "content": {"parts": [{"text": text}]}, "outputDimensionality": 2} for text in "ab"
    ]
