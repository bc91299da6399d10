"""Why a model stopped, in Gemini's words and in ours, and what Gemini counts. Pure."""

import msgspec

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind, ProviderError, read_error, told
from services.router.protocols.answer import Finish
from services.router.protocols.gemini_generate.fields import Fields, Malformed, fields, items, text, whole

UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
STOPPED = "STOP"
_READ = {STOPPED: Finish.STOP, "MAX_TOKENS": Finish.LENGTH, "CONTINUATION": Finish.LENGTH}
_READ["TOO_MANY_TOOL_CALLS"] = Finish.LENGTH
_FAILED = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"}
)
_WRITTEN = {
    Finish.STOP: STOPPED,
    Finish.STOP_SEQUENCE: STOPPED,
    Finish.TOOLS: STOPPED,
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTEXT: "MAX_TOKENS",
    Finish.FILTERED: "SAFETY",
    Finish.REFUSED: "SAFETY",
    Finish.PAUSED: "OTHER",
}
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def finish_of(reason: str, *, calls: bool) -> Finish:
    """Ours for a `finishReason`. A reason that nobody here knows (SAFETY, RECITATION, OTHER …) means that the answer
    was cut off by the provider. Raises Fault where there is no answer, only a model that failed to write one."""
    if reason in _FAILED:
        raise Fault(FaultKind.TRANSIENT, f"the model's answer could not be used: {reason}", sent=True)
    return Finish.TOOLS if calls else _READ.get(reason, Finish.FILTERED)


def reason_of(finish: Finish) -> str:
    """Gemini's word."""
    return _WRITTEN[finish]


def stated(found: Fields, path: str) -> str:
    """The candidate's `finishReason`; "" while it goes on. Raises Malformed."""
    reason = text(found, "finishReason", path)
    return "" if reason == UNSPECIFIED else reason


def usage_of(raw: msgspec.Raw) -> Usage:
    """The vector for a `usageMetadata`. Raises Malformed.

    `promptTokenCount` includes what was cached; thoughts and what the provider's own tools read stand beside the
    candidates and the prompt. What only the total counts is hidden output. Numbers that contradict one another are
    bounded, never negative.
    """
    found = fields(raw, "usageMetadata")
    prompt = _count(found, "promptTokenCount")
    read = min(_count(found, "cachedContentTokenCount"), prompt)
    tools = _count(found, "toolUsePromptTokenCount")
    thoughts = _count(found, "thoughtsTokenCount")
    shown = _count(found, "candidatesTokenCount")
    hidden = max(_count(found, "totalTokenCount") - prompt - tools - thoughts - shown, 0)
    heard = max(_sound(found, "promptTokensDetails") - _sound(found, "cacheTokensDetails"), 0)
    heard = min(heard, prompt - read)
    return Usage(
        uncached=prompt - read - heard + tools,
        cache_read=read,
        output=shown + thoughts + hidden,
        reasoning=thoughts + hidden,
        audio_input=heard,
        audio_output=min(_sound(found, "candidatesTokensDetails"), shown),
    )


def written_usage(usage: Usage) -> dict[str, object]:
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


def fault_of(raw: msgspec.Raw) -> Fault:
    """The fault for an `error` value, whose `code` may be missing where its `status` says the same."""
    error = read_error(raw)
    try:
        found = fields(raw, "error")
        status = _STATUSES.get(text(found, "status", "error"), 0)
    except Malformed:
        return told(error)
    if status and "code" not in found:
        error = ProviderError(error.message, error.type, msgspec.Raw(b"%d" % status), error.param)
    return told(error)


def _sound(found: Fields, name: str) -> int:
    path = f"usageMetadata.{name}"
    held = [fields(raw, path) for raw in items(found.get(name), path)]
    return sum(_count(one, "tokenCount") for one in held if text(one, "modality", path) == "AUDIO")


def _count(found: Fields, name: str) -> int:
    return max(whole(found, name, "usageMetadata") or 0, 0)
