"""`usage` of the OpenAI wire (chat completions, embeddings), read into the vector and written from it. Pure."""

import msgspec

from penstock.contracts.llm import Usage


class PromptDetails(msgspec.Struct, omit_defaults=True):
    """Parts of `prompt_tokens`, which includes them."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionDetails(msgspec.Struct, omit_defaults=True):
    """Parts of `completion_tokens`."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Reported(msgspec.Struct):
    """As it stands on the wire."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


def counted(reported: Reported) -> Usage:
    """The vector whose parts do not overlap.

    Some compatible endpoints leave hidden reasoning out of `completion_tokens` and count it in `total_tokens` alone;
    it is output all the same. Sound that came out of a cache is counted as read from it. Numbers that contradict one
    another are bounded, never negative.
    """
    prompt = _count(reported.prompt_tokens)
    shown = _count(reported.completion_tokens)
    output = max(shown, _count(reported.total_tokens) - prompt)
    details = reported.prompt_tokens_details or PromptDetails()
    read = min(_count(details.cached_tokens), prompt)
    write = min(_count(details.cache_write_tokens), prompt - read)
    heard = min(_count(details.audio_tokens), prompt - read - write)
    made = reported.completion_tokens_details or CompletionDetails()
    reasoning = min(max(_count(made.reasoning_tokens), output - shown), output)
    return Usage(
        uncached=prompt - read - write - heard,
        cache_read=read,
        cache_write=write,
        output=output,
        reasoning=reasoning,
        audio_input=heard,
        audio_output=min(_count(made.audio_tokens), output - reasoning),
    )


def reported(usage: Usage) -> Reported:
    """The vector as this wire tells it. It has no word for how long a cache write lasts."""
    return Reported(
        usage.input,
        usage.output,
        usage.total,
        PromptDetails(usage.cache_read, (usage.cache_write + usage.cache_write_1h) or None, usage.audio_input or None),
        CompletionDetails(usage.reasoning, usage.audio_output or None),
    )


def _count(number: int | None) -> int:
    return max(number or 0, 0)
