"""The embedding model: that its numbers are the model's, whatever else is in the batch."""

import math
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.local.embedder import Embedder

PASSWORD = "How do I reset my password?"
CREDENTIALS = "Steps to recover account credentials"
WEATHER = "The weather in Paris is rainy"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_texts_of_like_meaning_are_near_and_others_are_not(embedder: Embedder) -> None:
    password, credentials, weather = embedder.embed([PASSWORD, CREDENTIALS, WEATHER])
    assert _dot(password, credentials) == pytest.approx(0.61, abs=0.02)
    assert _dot(password, weather) == pytest.approx(0.05, abs=0.02)


def test_a_vector_has_384_numbers_and_length_1(embedder: Embedder) -> None:
    for vector in embedder.embed([PASSWORD, "", "日本語 🦊", "x" * 10_000]):
        assert len(vector) == 384
        assert math.sqrt(_dot(vector, vector)) == pytest.approx(1, abs=1e-5)


def test_no_text_gives_no_vector(embedder: Embedder) -> None:
    assert embedder.embed([]) == []


def test_a_text_has_the_same_vector_alone_and_in_a_batch_of_other_lengths(embedder: Embedder) -> None:
    texts = [PASSWORD, *(WEATHER + " again" * n for n in range(40)), CREDENTIALS]
    random.Random(7).shuffle(texts)
    together = embedder.embed(texts)
    for text in (PASSWORD, CREDENTIALS):
        assert _dot(together[texts.index(text)], embedder.embed([text])[0]) > 0.99


def test_words_beyond_256_tokens_change_nothing(embedder: Embedder) -> None:
    head = "river " * 254
    short, long = embedder.embed([head, head + "password reset " * 500])
    assert _dot(short, long) == pytest.approx(1, abs=1e-5)


def test_the_tokens_that_were_read_are_counted(embedder: Embedder) -> None:
    assert embedder.embed_counted(["river", "river " * 1000])[1] == 3 + 256


def test_threads_may_share_one_embedder(embedder: Embedder) -> None:
    alone = embedder.embed([PASSWORD])[0]
    with ThreadPoolExecutor(4) as pool:
        vectors = list(pool.map(lambda _: embedder.embed([PASSWORD])[0], range(12)))
    assert all(_dot(alone, vector) == pytest.approx(1, abs=1e-5) for vector in vectors)


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
