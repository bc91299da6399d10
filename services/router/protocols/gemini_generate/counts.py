"""What Gemini says was used, and how it is said. Pure."""

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.gemini_generate.fields import Malformed, fields, items


class Medium(msgspec.Struct, rename="camel"):
    """Tokens of one kind of content."""

    modality: str | None = None
    token_count: int | None = None


class Reported(msgspec.Struct, rename="camel"):
    """`usageMetadata` as it stands on the wire."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[Medium] | None = None
    cache_tokens_details: list[Medium] | None = None
    candidates_tokens_details: list[Medium] | None = None


_REPORTED = msgspec.json.Decoder(Reported, strict=False)


def counted(reported: Reported) -> Usage:
    """The vector for it.

    `promptTokenCount` includes what was cached; thoughts and what the provider's own tools read stand beside the
    candidates and the prompt. What only the total counts is hidden output. Numbers that contradict one another are
    bounded, never negative.
    """
    prompt = _count(reported.prompt_token_count)
    read = min(_count(reported.cached_content_token_count), prompt)
    tools = _count(reported.tool_use_prompt_token_count)
    thoughts = _count(reported.thoughts_token_count)
    shown = _count(reported.candidates_token_count)
    hidden = max(_count(reported.total_token_count) - prompt - tools - thoughts - shown, 0)
    heard = max(_sound(reported.prompt_tokens_details) - _sound(reported.cache_tokens_details), 0)
    heard = min(heard, prompt - read)
    return Usage(
        uncached=prompt - read - heard + tools,
        cache_read=read,
        output=shown + thoughts + hidden,
        reasoning=thoughts + hidden,
        audio_input=heard,
        audio_output=min(_sound(reported.candidates_tokens_details), shown),
    )


def read_counts(raw: msgspec.Raw) -> Usage:
    """The vector for a `usageMetadata` in either spelling. Raises Malformed."""
    try:
        return counted(_REPORTED.decode(msgspec.json.encode(camelled_counts(raw))))
    except msgspec.DecodeError:
        raise Malformed("usageMetadata", "must be numbers of tokens") from None


def camelled_counts(raw: msgspec.Raw) -> dict[str, object]:
    """A `usageMetadata` with its names in camelCase. Raises Malformed."""
    found: dict[str, object] = dict(fields(raw, "usageMetadata"))
    for name, value in found.items():
        if name.endswith("Details") and isinstance(value, msgspec.Raw):
            found[name] = [fields(one, f"usageMetadata.{name}") for one in items(value, f"usageMetadata.{name}")]
    return found


def written_counts(usage: Usage) -> dict[str, object]:
    """The `usageMetadata` for a vector. What was written to a cache has no word here: it is part of the prompt."""
    made: dict[str, object] = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
    }
    if usage.cache_read:
        made["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        made["thoughtsTokenCount"] = usage.reasoning
    for name, tokens in (("promptTokensDetails", usage.audio_input), ("candidatesTokensDetails", usage.audio_output)):
        if tokens:
            made[name] = [{"modality": "AUDIO", "tokenCount": tokens}]
    made["totalTokenCount"] = usage.total
    return made


def _sound(media: list[Medium] | None) -> int:
    return sum(_count(one.token_count) for one in media or () if one.modality == "AUDIO")


def _count(number: int | None) -> int:
    return max(number or 0, 0)
