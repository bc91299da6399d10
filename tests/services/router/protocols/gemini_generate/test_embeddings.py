"""Embeddings on Gemini's wire."""

import json

import pytest

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.gemini_generate import embeddings


def test_texts_are_asked_for_as_one_batch() -> None:
    assert json.loads(embeddings.request("models/e", ["a", "b"], 64)) == {
        "requests": [
            {"model": "models/e", "outputDimensionality": 64, "content": {"parts": [{"text": "a"}]}},
            {"model": "models/e", "outputDimensionality": 64, "content": {"parts": [{"text": "b"}]}},
        ]
    }
    assert b"outputDimensionality" not in embeddings.request("e", ["a"])


def test_vectors_come_in_the_order_of_the_texts() -> None:
    raw = b'{"embeddings":[{"values":[1,2]},{"values":[3,4.5]}],"usageMetadata":{"promptTokenCount":5}}'
    vectors, told = embeddings.read(raw, 2)
    assert vectors == [[1.0, 2.0], [3.0, 4.5]]
    assert told.usage == Usage(5)
    assert embeddings.read(b'{"embedding":{"values":[1]}}', 1)[0] == [[1.0]]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b'{"embeddings":[]}',
        b'{"embeddings":[{"values":[1]},{"values":[1]}]}',
        b'{"embeddings":[{"values":[]}]}',
        b'{"embeddings":[{"values":["x"]}]}',
        b'{"embeddings":[{}]}',
        b'{"embeddings":{"values":[1]}}',
    ],
)
def test_what_is_no_list_of_vectors_is_garbage(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        embeddings.read(raw, 1)
    assert caught.value.kind is FaultKind.GARBAGE


def test_vectors_of_different_lengths_are_garbage() -> None:
    with pytest.raises(Fault, match="different lengths"):
        embeddings.read(b'{"embeddings":[{"values":[1]},{"values":[1,2]}]}', 2)


def test_an_error_is_told_by_its_kind() -> None:
    with pytest.raises(Fault) as caught:
        embeddings.read(b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}', 1)
    assert caught.value.kind is FaultKind.RATE
