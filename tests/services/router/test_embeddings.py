"""Vectors out of an OpenAI-wire answer."""

import msgspec
import pytest

from penstock.contracts.llm import Usage
from services.router.embeddings import read, request
from services.router.fault import Fault, FaultKind


def answer(*vectors: tuple[int, list[float]]) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": values} for index, values in vectors]
    return msgspec.json.encode({"data": data, "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}})


def test_vectors_come_in_the_order_of_the_texts() -> None:
    vectors, told = read(answer((1, [3.0, 4.0]), (0, [1.0, 2.0])), 2)
    assert vectors == [[1.0, 2.0], [3.0, 4.0]]
    assert (told.usage, told.model) == (Usage(uncached=7), "m")


def test_the_request_asks_for_nothing_but_vectors() -> None:
    assert request("m", ["a", "b"]) == b'{"model":"m","input":["a","b"]}'


@pytest.mark.parametrize(
    "body",
    [
        answer((0, [1.0])),
        answer((0, [1.0]), (0, [1.0])),
        answer((0, [1.0]), (2, [1.0])),
        answer((0, [1.0]), (-1, [1.0])),
        answer((0, [1.0]), (1, [1.0, 2.0])),
        answer((0, [1.0]), (1, [])),
        b"{}",
        b'{"data":[{"embedding":"base64"},{"embedding":"base64"}]}',
        b"nope",
    ],
)
def test_anything_but_one_vector_per_text_is_garbage(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read(body, 2)
    assert caught.value.kind is FaultKind.GARBAGE
