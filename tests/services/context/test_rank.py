"""Scores and orders."""

import numpy as np
import pytest

from services.context.rank import best, bm25, fused, idf, unit


def test_a_rare_word_says_more_than_a_common_one() -> None:
    assert idf(100, 1) == pytest.approx(4.2097, abs=1e-4)
    assert idf(100, 100) == pytest.approx(0.00496, abs=1e-4)


def test_a_word_says_more_in_a_short_passage_and_less_with_each_repetition() -> None:
    scores = bm25(np.array([1, 1, 2, 20], np.float32), np.array([10, 100, 10, 10], np.float32), 10.0, 1.0)
    assert scores[0] == pytest.approx(1.0)
    assert scores[1] < scores[0] < scores[2] < scores[3] < 2.2


def test_the_best_come_first_and_what_does_not_match_does_not_come() -> None:
    scores = np.array([0.0, 2.0, 1.0, 2.0, -1.0], np.float32)
    assert best(np.arange(5), scores, 10) == [1, 3, 2]
    assert set(best(np.arange(5), scores, 2)) == {1, 3}
    assert best(np.arange(0), np.zeros(0, np.float32), 5) == []


def test_what_stands_high_in_both_orders_comes_first() -> None:
    order = fused([[1, 2, 3], [3, 1, 4]], 3)
    assert [number for number, _ in order] == [1, 3, 2]
    assert order[0][1] == pytest.approx(1 / 61 + 1 / 62)


def test_rows_of_zeros_stay_zeros() -> None:
    assert unit(np.array([[3, 4], [0, 0]], np.float32)).ravel().tolist() == pytest.approx([0.6, 0.8, 0, 0])
