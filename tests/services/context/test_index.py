"""One collection in memory."""

import random

import numpy as np

from services.context.index import Index, IndexedDocument, Query, counted
from services.context.split import Piece


def document(id: str, *texts: str, revision: str = "r1", vectors: list[list[float]] | None = None) -> IndexedDocument:
    rows = None if vectors is None else np.array(vectors, np.float32)
    pieces = [Piece("title", text) for text in texts]
    return IndexedDocument(id, f"{id}.md", revision, pieces, "mini" if vectors else "", rows)


def put(index: Index, *documents: IndexedDocument) -> None:
    for one in documents:
        index.put(one, counted(one))


def found(index: Index, text: str, vector: list[float] | None = None, model: str = "mini") -> list[str]:
    query = Query(text, model, None if vector is None else np.array(vector, np.float32))
    return [hit.piece.text for hit in index.search(query, 5)]


def test_the_passage_with_the_rare_words_comes_first() -> None:
    index = Index()
    put(index, document("a", "the cat sat", "the dog ran"), document("b", "the cat and the penguin"))
    assert found(index, "the penguin") == ["the cat and the penguin", "the cat sat", "the dog ran"]
    assert found(index, "nothing here matches") == []
    assert found(index, "") == []


def test_an_empty_index_finds_nothing() -> None:
    assert found(Index(), "x", [1.0]) == []


def test_meaning_finds_what_words_do_not() -> None:
    index = Index()
    put(index, document("a", "steps to recover credentials", "rain in paris", vectors=[[1, 0.1], [0, 1]]))
    assert found(index, "reset my password") == []
    assert found(index, "reset my password", [1, 0])[0] == "steps to recover credentials"


def test_vectors_of_another_model_or_length_are_not_compared() -> None:
    index = Index()
    put(index, document("a", "text", vectors=[[1, 0]]))
    assert found(index, "other", [1, 0], model="large") == []
    assert found(index, "other", [1, 0, 0]) == []


def test_documents_with_and_without_vectors_live_together() -> None:
    index = Index()
    put(index, document("a", "with vector", vectors=[[1, 0]]), document("b", "only words here"))
    assert found(index, "words", [1, 0]) == ["with vector", "only words here"]


def test_a_new_revision_replaces_the_old_one() -> None:
    index = Index()
    put(index, document("a", "old text about cats"), document("a", "new text about dogs", revision="r2"))
    assert index.revisions == {"a": "r2"}
    assert index.passages == 1
    assert found(index, "cats") == []
    assert found(index, "dogs") == ["new text about dogs"]


def test_a_removed_document_is_not_found() -> None:
    index = Index()
    put(index, document("a", "cats", vectors=[[1, 0]]), document("b", "cats too"))
    index.remove("a")
    index.remove("never there")
    assert found(index, "cats", [1, 0]) == ["cats too"]


def test_after_many_changes_it_finds_what_a_new_index_finds_and_takes_no_more_room() -> None:
    dice = random.Random(7)
    vocabulary = [f"word{number}" for number in range(300)]

    def some(number: int) -> IndexedDocument:
        texts = [" ".join(dice.choices(vocabulary, k=30)) for _ in range(5)]
        vectors = [[dice.uniform(-1, 1) for _ in range(8)] for _ in range(5)] if number % 3 else None
        return document(f"d{number % 60}", *texts, revision=f"r{number}", vectors=vectors)

    changed, last = Index(), {}
    for number in range(900):
        one = some(number)
        put(changed, one)
        last[one.id] = one
        if number % 7 == 0:
            changed.remove("d3")
            last.pop("d3", None)
    fresh = Index()
    put(fresh, *last.values())
    assert changed.passages == fresh.passages
    assert changed.bytes < 8 * fresh.bytes
    for _ in range(20):
        text = " ".join(dice.choices(vocabulary, k=3))
        vector = [dice.uniform(-1, 1) for _ in range(8)]
        assert sorted(found(changed, text, vector)) == sorted(found(fresh, text, vector))


def test_an_index_estimates_its_memory() -> None:
    index = Index()
    put(index, document("a", *["some text"] * 100, vectors=[[1.0] * 384] * 100))
    assert 100 * 384 * 4 < index.bytes < 100 * 384 * 4 + 100_000
