"""Usage as it stands on Anthropic's wire, and the usage vector. Pure.

`input_tokens` excludes what the cache read and wrote; `cache_creation` says how much was written for an hour;
`output_tokens` includes thinking. A stream repeats the counts, cumulative, and leaves out those that did not change.
"""

import msgspec

from penstock.contracts.llm import Usage


class _Details(msgspec.Struct):
    thinking_tokens: int | None = None


class _Creation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class Reported(msgspec.Struct):
    """`usage` of a message, of message_start and of message_delta."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Creation | None = None
    output_tokens_details: _Details | None = None


def counted(reported: Reported, before: Usage | None = None) -> Usage:
    """The vector; what is not reported now stands as it was `before`. Numbers are bounded, never negative."""
    old = before or Usage()
    details = reported.output_tokens_details or _Details()
    output = _count(reported.output_tokens, old.output)
    creation = reported.cache_creation or _Creation()
    wrote = _count(reported.cache_creation_input_tokens, old.cache_write + old.cache_write_1h)
    hour = min(_count(creation.ephemeral_1h_input_tokens, old.cache_write_1h), wrote)
    return Usage(
        uncached=_count(reported.input_tokens, old.uncached),
        cache_read=_count(reported.cache_read_input_tokens, old.cache_read),
        cache_write=wrote - hour,
        cache_write_1h=hour,
        output=output,
        reasoning=min(_count(details.thinking_tokens, old.reasoning), output),
    )


def written(usage: Usage | None) -> dict[str, object]:
    """The vector as a caller of this protocol reads it. The protocol has no way to say that nobody counted."""
    usage = usage or Usage()
    fields: dict[str, object] = {
        "input_tokens": usage.uncached + usage.audio_input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.cache_write_1h:
        fields["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return fields


def _count(number: int | None, before: int) -> int:
    return before if number is None else max(number, 0)
