"""The context service over a real broker: documents, searches and sessions, each one decided."""

import asyncio

import pytest

from penstock.contracts.context import Forget, HistoryRequest, Ingest
from penstock.contracts.errors import Code, Failure
from penstock.contracts.subjects import CONTEXT_FORGET, CONTEXT_HISTORY, CONTEXT_INGEST
from tests.services.context.conftest import Plane
from tests.support.model_server import Line, Received

HANDBOOK = """# Handbook

## Accounts

Steps to recover your credentials: open the portal and ask for a new one.

## Travel

The weather in Paris is rainy in November.
"""


async def test_a_passage_is_found_by_its_meaning(plane: Plane) -> None:
    async with plane.with_router():
        ingested = await plane.ingest("handbook.md", HANDBOOK)
        assert (ingested.passages, ingested.unchanged) == (2, False)
        found = await plane.search("How do I reset my password?", limit=1)
    assert not found.lexical_only
    (passage,) = found.passages
    assert (passage.document, passage.source, passage.title) == (
        ingested.document,
        "handbook.md",
        "Handbook > Accounts",
    )
    assert passage.text.startswith("Steps to recover your credentials")


async def test_without_a_router_words_are_matched_and_it_is_said(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        found = await plane.search("rainy Paris")
    assert found.lexical_only
    assert [passage.title for passage in found.passages] == ["Handbook > Travel"]


async def test_a_model_that_hangs_costs_a_search_no_more_than_its_time(plane: Plane) -> None:
    async def silent(line: Line, request: Received) -> None:
        await asyncio.Event().wait()

    async with plane.with_router(embed_query_s=0.3, embed_document_s=0.3):
        plane.server.script(silent, model="mini")
        await plane.ingest("handbook.md", HANDBOOK)
        found = await plane.search("rainy Paris")
        assert found.lexical_only
        assert len(found.passages) == 1
        asked = plane.server.asked("mini")
        await plane.search("rainy Paris")
        assert plane.server.asked("mini") == asked


async def test_whoever_may_not_use_the_model_still_gets_words_matched(plane: Plane) -> None:
    async with plane.with_router():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.log_in(scopes=("context.*",))
        found = await plane.search("rainy Paris")
        assert found.lexical_only
        assert len(found.passages) == 1
        await plane.log_in()
        assert not (await plane.search("rainy Paris")).lexical_only


async def test_the_same_text_again_changes_nothing(plane: Plane) -> None:
    async with plane.with_router():
        first = await plane.ingest("handbook.md", HANDBOOK)
        asked = plane.server.asked("mini")
        again = await plane.ingest("handbook.md", HANDBOOK)
        assert (again.document, again.passages, again.unchanged) == (first.document, 2, True)
        assert plane.server.asked("mini") == asked


async def test_a_document_taken_in_without_vectors_gets_them_the_next_time(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        assert (await plane.ingest("handbook.md", HANDBOOK)).unchanged
    async with plane.with_router():
        assert (await plane.ingest("handbook.md", HANDBOOK)).unchanged
        found = await plane.search("How do I reset my password?", limit=1)
    assert found.passages[0].title == "Handbook > Accounts"


async def test_the_same_source_again_replaces_the_document(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        assert not (await plane.ingest("handbook.md", "# New\n\nNothing about cities.")).unchanged
        assert (await plane.search("Paris")).passages == []
        assert len((await plane.search("cities")).passages) == 1


async def test_two_replicas_see_each_others_documents_at_once(plane: Plane) -> None:
    async with plane.context(), plane.context():
        for number in range(6):
            await plane.ingest(f"{number}.md", f"animal number {number} is a penguin")
            for _ in range(4):
                assert len((await plane.search("penguin", limit=10)).passages) == number + 1


async def test_another_tenant_sees_nothing_of_it(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.append("s1", "a")
        await plane.log_in(tenant="globex")
        assert (await plane.search("Paris")).passages == []
        history = await plane.bus.call(CONTEXT_HISTORY, HistoryRequest("s1"), plane.meta())
        assert history.turns == []
        forgotten = await plane.bus.call(CONTEXT_FORGET, Forget(source="handbook.md"), plane.meta())
        assert forgotten.count == 0
        await plane.ingest("handbook.md", "Globex knows Paris too.")
        assert [passage.text for passage in (await plane.search("Paris")).passages] == ["Globex knows Paris too."]
        await plane.log_in(tenant="acme")
        assert [passage.title for passage in (await plane.search("Paris")).passages] == ["Handbook > Travel"]


async def test_the_tenant_is_what_the_token_says_whatever_the_message_says(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.log_in(tenant="globex")
        plane.tenant = "acme"
        try:
            passages = (await plane.search("Paris")).passages
        except Failure as failure:
            assert failure.code in (Code.DENIED, Code.UNAUTHENTICATED)
        else:
            assert passages == []


async def test_collections_are_apart(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("a.md", "penguins", collection="birds")
        assert (await plane.search("penguins")).passages == []
        assert len((await plane.search("penguins", collection="birds")).passages) == 1


async def test_a_session_is_appended_to_once_and_forgotten(plane: Plane) -> None:
    async with plane.context():
        assert (await plane.append("s1", "a", "b")).length == 2
        assert (await plane.append("s1", "b", "c")).length == 3
        history = await plane.bus.call(CONTEXT_HISTORY, HistoryRequest("s1", limit=2), plane.meta())
        assert ([turn.id for turn in history.turns], history.dropped) == (["b", "c"], 1)
        assert (await plane.bus.call(CONTEXT_FORGET, Forget(session="s1"), plane.meta())).count == 1
        history = await plane.bus.call(CONTEXT_HISTORY, HistoryRequest("s1"), plane.meta())
        assert history.turns == []


async def test_a_forgotten_document_is_not_found(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        assert (await plane.bus.call(CONTEXT_FORGET, Forget(source="handbook.md"), plane.meta())).count == 1
        assert (await plane.search("Paris")).passages == []
        assert (await plane.bus.call(CONTEXT_FORGET, Forget(source="handbook.md"), plane.meta())).count == 0


async def test_every_action_is_decided(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.search("Paris")
        await plane.append("s1", "a")
        await plane.bus.call(CONTEXT_HISTORY, HistoryRequest("s1"), plane.meta())
        await plane.bus.call(CONTEXT_FORGET, Forget(session="s1"), plane.meta())
        await plane.bus.call(CONTEXT_FORGET, Forget(source="handbook.md"), plane.meta())
    assert await plane.decided() == [
        ("context.ingest", 'Collection::"default"'),
        ("context.search", 'Collection::"default"'),
        ("context.session", 'Session::"s1"'),
        ("context.session", 'Session::"s1"'),
        ("context.session", 'Session::"s1"'),
        ("context.forget", 'Collection::"default"'),
    ]


async def test_what_policy_refuses_is_not_done(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.log_in(scopes=("model.*",))
        for asked in (plane.search("Paris"), plane.ingest("b.md", "text"), plane.append("s1", "a")):
            with pytest.raises(Failure) as caught:
                await asked
            assert caught.value.code is Code.DENIED
        await plane.log_in()
        assert (await plane.search("text")).passages == []


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"source": ""}, Code.INVALID, "source"),
        ({"source": "x" * 1001}, Code.INVALID, "source"),
        ({"title": "x" * 1001}, Code.INVALID, "title"),
        ({"media_type": "application/pdf"}, Code.INVALID, "media_type"),
        ({"collection": "a.b"}, Code.INVALID, "collection"),
        ({"collection": "../acme"}, Code.INVALID, "collection"),
        ({"text": "x" * 5001}, Code.TOO_LARGE, "text"),
        ({"text": "word " * 900}, Code.TOO_LARGE, "text"),
    ],
)
async def test_a_document_beyond_the_limits_is_refused(
    plane: Plane, fields: dict[str, object], code: Code, param: str
) -> None:
    async with plane.context(document_max_bytes=5000, document_passages_max=3):
        with pytest.raises(Failure) as caught:
            await plane.ingest(str(fields.pop("source", "a.md")), str(fields.pop("text", "text")), **fields)
    assert (caught.value.code, caught.value.param) == (code, param)


async def test_a_search_beyond_the_limits_is_refused(plane: Plane) -> None:
    async with plane.context():
        for query, limit, param in ((" ", 5, "query"), ("x" * 4001, 5, "query"), ("x", 0, "limit"), ("x", 51, "limit")):
            with pytest.raises(Failure) as caught:
                await plane.search(query, limit=limit)
            assert caught.value.param == param


async def test_a_document_of_the_largest_size_is_taken_in(plane: Plane) -> None:
    text = "\n\n".join(f"Paragraph {number} is about the number {number}." for number in range(90_000))
    text = text[: 4 * 1024 * 1024]
    async with plane.context():
        request = Ingest("large.txt", text, media_type="text/plain")
        ingested = await plane.bus.call(CONTEXT_INGEST, request, plane.meta())
        assert 4000 < ingested.passages < 8000
        found = await plane.search("Paragraph 77777")
        assert "Paragraph 77777 " in found.passages[0].text


async def test_documents_survive_a_restart_of_everything(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.append("s1", "a")
    await plane.valkey.kill()
    await plane.valkey.start()
    async with plane.context():
        assert len((await plane.search("Paris")).passages) == 1
        assert (await plane.append("s1", "a")).length == 1


async def test_neither_documents_nor_queries_are_logged(plane: Plane) -> None:
    async with plane.context():
        await plane.ingest("handbook.md", HANDBOOK)
        await plane.search("Paris")
        with pytest.raises(Failure):
            await plane.search("Paris" * 1000)
    log = "".join(plane.lines)
    for text in ("Paris", "credentials:", "handbook.md", plane.token):
        assert text not in log
