"""Documents in a real store, and the shelf that holds their indexes."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.kit.store import Store
from services.context.documents import Collection, Documents, document_id
from services.context.index import IndexedDocument, Query
from services.context.shelf import Shelf
from services.context.split import Piece
from tests.support.valkey_server import ValkeyServer

ACME = Collection("acme", "docs")
GLOBEX = Collection("globex", "docs")


@pytest.fixture
async def store(valkey: ValkeyServer) -> AsyncIterator[Store]:
    store = Store(valkey.url, timeout_s=1.0)
    yield store
    await store.close()


@pytest.fixture
def documents(store: Store) -> Documents:
    return Documents(store, documents_max=3, passages_max=10)


def document(source: str, *texts: str) -> IndexedDocument:
    vectors = np.ones((len(texts), 3), np.float32)
    pieces = [Piece("t", text) for text in texts]
    return IndexedDocument(document_id(source), source, new_id("rev"), pieces, "mini", vectors)


async def texts(shelf: Shelf, collection: Collection, query: str) -> list[str]:
    return [hit.piece.text for hit in (await shelf.fresh(collection)).search(Query(query), 5)]


async def test_what_was_put_comes_back_whole(documents: Documents) -> None:
    kept = document("a.md", "one", "two")
    await documents.put(ACME, kept, "digest")
    (back,) = await documents.get(ACME, [kept.id])
    assert (back.id, back.source, back.revision, back.pieces, back.model) == (
        kept.id,
        "a.md",
        kept.revision,
        [Piece("t", "one"), Piece("t", "two")],
        "mini",
    )
    assert back.vectors is not None and back.vectors.tolist() == [[1, 1, 1], [1, 1, 1]]
    head = await documents.head(ACME, kept.id)
    assert head is not None and (head.source, head.digest, head.passages) == ("a.md", "digest", 2)


async def test_each_change_raises_the_version_which_never_comes_back(documents: Documents) -> None:
    assert await documents.version(ACME) == 0
    await documents.put(ACME, document("a.md", "one"), "d")
    assert await documents.version(ACME) == 1
    assert await documents.forget(ACME, document_id("a.md"))
    assert not await documents.forget(ACME, document_id("a.md"))
    await documents.put(ACME, document("a.md", "one"), "d")
    assert await documents.version(ACME) == 3


async def test_a_collection_has_a_limit_of_passages(documents: Documents) -> None:
    await documents.put(ACME, document("a.md", *"123456"), "d")
    with pytest.raises(Failure, match="at most 10 passages") as caught:
        await documents.put(ACME, document("b.md", *"12345"), "d")
    assert caught.value.code is Code.TOO_LARGE
    await documents.put(ACME, document("a.md", *"12345"), "d")
    await documents.put(ACME, document("b.md", *"12345"), "d")


async def test_a_collection_has_a_limit_of_documents(documents: Documents) -> None:
    for source in ("a", "b", "c", "a"):
        await documents.put(ACME, document(source, "x"), "d")
    with pytest.raises(Failure, match="at most 3 documents"):
        await documents.put(ACME, document("d", "x"), "d")
    await documents.forget(ACME, document_id("a"))
    await documents.put(ACME, document("d", "x"), "d")


async def test_the_shelf_sees_every_change(documents: Documents) -> None:
    shelf = Shelf(documents, 10**9)
    assert await texts(shelf, ACME, "cats") == []
    assert shelf.collections == []
    await documents.put(ACME, document("a.md", "cats purr"), "d")
    await documents.put(ACME, document("b.md", "dogs bark"), "d")
    assert await texts(shelf, ACME, "cats") == ["cats purr"]
    await documents.put(ACME, document("a.md", "cows moo"), "d")
    assert await texts(shelf, ACME, "cats") == []
    assert await texts(shelf, ACME, "cows") == ["cows moo"]
    await documents.forget(ACME, document_id("a.md"))
    assert await texts(shelf, ACME, "cows") == []
    assert await texts(shelf, ACME, "dogs") == ["dogs bark"]


async def test_only_what_changed_is_read_again(documents: Documents, store: Store) -> None:
    shelf = Shelf(documents, 10**9)
    await documents.put(ACME, document("a.md", "cats"), "d")
    await texts(shelf, ACME, "cats")
    await store.do("DEL", ACME.body(document_id("a.md")))
    await documents.put(ACME, document("b.md", "dogs"), "d")
    assert await texts(shelf, ACME, "cats") == ["cats"]


async def test_a_store_that_was_emptied_is_noticed(documents: Documents, store: Store) -> None:
    shelf = Shelf(documents, 10**9)
    for word in ("cats", "cows"):
        await documents.put(ACME, document("a.md", word), "d")
    assert await texts(shelf, ACME, "cows") == ["cows"]
    await store.do("FLUSHALL")
    assert await texts(shelf, ACME, "cows") == []
    await documents.put(ACME, document("a.md", "dogs"), "d")
    assert await texts(shelf, ACME, "dogs") == ["dogs"]


async def test_two_tenants_with_the_same_source_see_their_own(documents: Documents) -> None:
    shelf = Shelf(documents, 10**9)
    await documents.put(ACME, document("a.md", "acme cats"), "d")
    assert await texts(shelf, GLOBEX, "cats") == []
    await documents.put(GLOBEX, document("a.md", "globex cats"), "d")
    assert await texts(shelf, ACME, "cats") == ["acme cats"]
    assert await texts(shelf, GLOBEX, "cats") == ["globex cats"]
    await documents.forget(GLOBEX, document_id("a.md"))
    assert await texts(shelf, ACME, "cats") == ["acme cats"]


async def test_the_longest_unused_collections_go_when_memory_is_used_up(documents: Documents) -> None:
    collections = [Collection("acme", name) for name in ("one", "two", "three")]
    for collection in collections:
        await documents.put(collection, document("a.md", "x" * 10_000), "d")
    shelf = Shelf(documents, 30_000)
    for collection in collections:
        await shelf.fresh(collection)
    assert shelf.collections == collections[1:]
    assert shelf.bytes < 30_000
    await shelf.fresh(collections[1])
    await shelf.fresh(collections[0])
    assert shelf.collections == [collections[1], collections[0]]


async def test_without_the_store_the_failure_says_so(documents: Documents, valkey: ValkeyServer) -> None:
    await valkey.kill()
    with pytest.raises(Failure) as caught:
        await Shelf(documents, 10**9).fresh(ACME)
    assert caught.value.code is Code.UNAVAILABLE
