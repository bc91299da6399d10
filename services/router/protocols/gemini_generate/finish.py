"""Why a model stopped or never began, in Gemini's words and in ours. Pure."""

import msgspec

from services.router.fault import Fault, FaultKind, ProviderError, read_error, told
from services.router.protocols.answer import Finish
from services.router.protocols.gemini_generate.fields import Malformed, fields, text

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
