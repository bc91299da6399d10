"""Reranking over the bus."""

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Ranked, Reranked, RerankRequest, Usage
from penstock.contracts.subjects import LLM_RERANK
from tests.services.router.conftest import Plane
from tests.support.model_server import json

DOCUMENTS = ["about tea", "about coffee", "about rain"]


@pytest.fixture
def ranking(plane: Plane) -> Plane:
    plane.deploy("ranks", "one-r", kinds=["rerank"])
    return plane


async def rank(plane: Plane, query: str = "tea?", documents: list[str] | None = None, top_n: int = 0) -> Reranked:
    request = RerankRequest("ranks", query, DOCUMENTS if documents is None else documents, top_n)
    return await plane.bus.call(LLM_RERANK, request, plane.meta())


async def test_the_best_comes_first_and_the_cost_is_told(ranking: Plane) -> None:
    results = [{"index": 2, "relevance_score": 0.1}, {"index": 0, "relevance_score": 0.9}]
    ranking.server.script(json({"results": results, "usage": {"total_tokens": 11}, "model": "r-1"}))
    async with ranking.router():
        answer = await rank(ranking, top_n=2)
        (outcome,) = await ranking.outcomes(1)
    assert answer.results == [Ranked(0, 0.9), Ranked(2, 0.1)]
    assert (answer.served.model, answer.served.usage) == ("r-1", Usage(uncached=11))
    assert (outcome.action, outcome.cost_nano) == ("model.rerank", 11 * 2_000)
    (sent,) = ranking.server.received
    assert sent.path == "/v1/rerank"
    assert sent.fields == {"model": "one-r", "query": "tea?", "documents": DOCUMENTS, "top_n": 2}


@pytest.mark.parametrize(
    "results",
    [[], [{"index": 3, "relevance_score": 1}], [{"index": 0, "relevance_score": 1}] * 2, [{"index": "a"}], None],
)
async def test_an_order_of_other_documents_is_a_fault_of_the_provider(ranking: Plane, results: object) -> None:
    ranking.server.script(json({"results": results}))
    async with ranking.router():
        with pytest.raises(Failure) as caught:
            await rank(ranking)
    assert caught.value.code is Code.UPSTREAM


@pytest.mark.parametrize(
    ("query", "documents", "top_n", "param"),
    [
        ("", DOCUMENTS, 0, "query"),
        ("a", [], 0, "documents"),
        ("a", ["a", ""], 0, "documents"),
        ("a", DOCUMENTS, 4, "top_n"),
        ("a", DOCUMENTS, -1, "top_n"),
    ],
)
async def test_what_cannot_be_ranked_is_refused(
    ranking: Plane, query: str, documents: list[str], top_n: int, param: str
) -> None:
    async with ranking.router():
        with pytest.raises(Failure) as caught:
            await rank(ranking, query, documents, top_n)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)
    assert ranking.server.received == []


async def test_a_chat_model_does_not_rank(ranking: Plane) -> None:
    async with ranking.router():
        with pytest.raises(Failure) as caught:
            await ranking.bus.call(LLM_RERANK, RerankRequest("chat", "a", ["b"]), ranking.meta())
    assert caught.value.code is Code.INVALID
