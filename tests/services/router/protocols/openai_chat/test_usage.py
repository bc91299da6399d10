"""The parts of a usage vector never overlap, whatever a provider reports."""

import msgspec
import pytest

from penstock.contracts.llm import Usage
from services.router.protocols.openai_chat.usage import Reported, counted, reported


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
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 900}},
        {"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 900}},
        {},
    ],
)
def test_numbers_that_contradict_one_another_are_bounded(fields: dict[str, object]) -> None:
    usage = read(**fields)
    assert (
        min(
            usage.uncached,
            usage.cache_read,
            usage.cache_write,
            usage.output,
            usage.reasoning,
            usage.audio_input,
            usage.audio_output,
        )
        >= 0
    )
    assert usage.input == max(0, msgspec.convert(fields, Reported).prompt_tokens or 0)
    assert usage.reasoning + usage.audio_output <= usage.output


def test_sound_is_a_part_of_its_own_and_what_a_cache_gave_is_not_counted_twice() -> None:
    usage = read(
        prompt_tokens=100,
        completion_tokens=50,
        prompt_tokens_details={"cached_tokens": 30, "audio_tokens": 80},
        completion_tokens_details={"reasoning_tokens": 5, "audio_tokens": 40},
    )
    assert usage == Usage(uncached=0, cache_read=30, output=50, reasoning=5, audio_input=70, audio_output=40)
    assert (usage.input, usage.total) == (100, 150)


def test_what_is_written_for_a_caller_is_read_as_the_same_vector() -> None:
    usage = Usage(uncached=4, cache_read=3, cache_write=2, output=9, reasoning=1, audio_input=5, audio_output=6)
    assert counted(reported(usage)) == usage
    kept = counted(reported(Usage(cache_write=2, cache_write_1h=3)))
    assert kept == Usage(cache_write=5)
