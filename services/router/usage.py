"""The usage vector out of what an OpenAI-wire provider reports. Pure."""

import msgspec

from penstock.contracts.llm import Usage
from services.router.estimate import likely_tokens


class PromptDetails(msgspec.Struct):
    """Parts of `prompt_tokens`, which includes them."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """Parts of `completion_tokens`."""

    reasoning_tokens: int | None = None


class Reported(msgspec.Struct):
    """`usage` as it stands on the wire of chat completions and embeddings."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


def counted(reported: Reported) -> Usage:
    """The vector whose parts do not overlap.

    Some compatible endpoints leave hidden reasoning out of `completion_tokens` and count it in `total_tokens` alone;
    it is output all the same. Numbers that contradict one another are bounded, never negative.
    """
    prompt = _count(reported.prompt_tokens)
    output = max(_count(reported.completion_tokens), _count(reported.total_tokens) - prompt)
    details = reported.prompt_tokens_details or PromptDetails()
    read = min(_count(details.cached_tokens), prompt)
    write = min(_count(details.cache_write_tokens), prompt - read)
    hidden = reported.completion_tokens_details or CompletionDetails()
    reasoning = min(max(_count(hidden.reasoning_tokens), output - _count(reported.completion_tokens)), output)
    return Usage(prompt - read - write, read, write, output, reasoning)


def guessed(input_tokens: int, output_bytes: int) -> Usage:
    """What a call that nobody counted likely used, flagged as an estimate."""
    return Usage(uncached=input_tokens, output=likely_tokens(output_bytes), estimated=True)


def _count(number: int | None) -> int:
    return max(number or 0, 0)
