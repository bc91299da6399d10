"""The moving average of latencies, with the time put in by hand."""

import pytest

from services.router.choosing.latency import UNKNOWN, cost_s, expected_s, failed, seen


def test_a_slow_answer_counts_at_once_and_whole() -> None:
    latency = seen(seen(UNKNOWN, 0.1, 0.0), 2.0, 1.0)
    assert expected_s(latency, 1.0) == 2.0


def test_fast_answers_bring_it_down_over_time() -> None:
    latency = seen(UNKNOWN, 2.0, 0.0)
    assert expected_s(seen(latency, 0.1, 0.0), 0.0) == 2.0
    assert expected_s(seen(latency, 0.1, 10.0), 10.0) == pytest.approx(0.799, abs=0.001)
    assert expected_s(seen(latency, 0.1, 60.0), 60.0) == pytest.approx(0.105, abs=0.001)


def test_whoever_was_slow_is_asked_again_some_time() -> None:
    latency = seen(UNKNOWN, 20.0, 0.0)
    assert expected_s(latency, 10.0) == pytest.approx(7.358, abs=0.001)
    assert expected_s(latency, 100.0) < 0.001


def test_an_error_that_comes_quickly_does_not_look_like_speed() -> None:
    assert expected_s(failed(UNKNOWN, 0.001, 0.0), 0.0) == 1.0
    assert expected_s(failed(seen(UNKNOWN, 3.0, 0.0), 0.001, 0.0), 0.0) == 6.0


def test_calls_under_way_multiply_the_wait() -> None:
    latency = seen(UNKNOWN, 0.5, 0.0)
    assert (cost_s(latency, 0, 0.0), cost_s(latency, 3, 0.0)) == (0.5, 2.0)


def test_who_was_never_seen_is_tried_first_and_not_flooded() -> None:
    assert cost_s(UNKNOWN, 0, 0.0) == 0.0
    assert cost_s(UNKNOWN, 2, 0.0) == 3.0
