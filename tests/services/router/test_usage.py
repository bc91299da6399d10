"""The parts of a usage vector never overlap, whatever a provider reports."""

import msgspec
import pytest

from penstock.contracts.llm import Usage
from services.router.usage import Reported, counted, guessed


def read(**fields: object) -> Usage:
    return counted(msgspec.convert(fields, Reported))


def test_cached_tokens_are_taken_out_of_the_prompt() -> None:
    usage = read(prompt_tokens=100, completion_tokens=20, prompt_tokens_details={"cached_tokens": 80})
    assert usage == Usage(uncached=20, cache_read=80, output=20)
    assert (usage.input, usage.total) == (100, 120)


def test_reasoning_is_part_of_the_output() -> None:
    usage = read(prompt_tokens=10, completion_tokens=50, completion_tokens_details={"reasoning_tokens": 40})
    assert usage == Usage(uncached=10, output=50, reasoning=40)


def test_reasoning_that_only_the_total_holds_is_output() -> None:
    assert read(prompt_tokens=10, completion_tokens=5, total_tokens=65) == Usage(uncached=10, output=55, reasoning=50)


def test_cache_writes_are_counted_where_a_provider_tells_them() -> None:
    details = {"cached_tokens": 10, "cache_write_tokens": 30}
    assert read(prompt_tokens=50, prompt_tokens_details=details) == Usage(uncached=10, cache_read=10, cache_write=30)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_tokens": -5, "completion_tokens": -1},
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 900}},
        {"prompt_tokens": 3, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 900}},
        {"prompt_tokens": 10, "total_tokens": 4},
        {},
    ],
)
def test_numbers_that_contradict_one_another_are_bounded(fields: dict[str, object]) -> None:
    usage = read(**fields)
    assert min(usage.uncached, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) >= 0
    assert usage.input == max(0, msgspec.convert(fields, Reported).prompt_tokens or 0)
    assert usage.reasoning <= usage.output


def test_what_nobody_counted_is_flagged() -> None:
    assert guessed(100, 41) == Usage(uncached=100, output=11, estimated=True)
