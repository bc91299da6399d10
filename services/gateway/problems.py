"""Failure codes as HTTP: the only place that knows statuses. Pure."""

import math

import msgspec

from penstock.contracts.errors import Code, Failure

STATUS: dict[Code, int] = {
    Code.INVALID: 400,
    Code.UNAUTHENTICATED: 401,
    Code.BUDGET_EXHAUSTED: 402,
    Code.DENIED: 403,
    Code.APPROVAL_REQUIRED: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
    Code.RATE_LIMITED: 429,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UPSTREAM: 502,
    Code.UNKNOWN_OUTCOME: 502,
    Code.UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.DEADLINE: 504,
}
TYPE: dict[Code, str] = {
    Code.INVALID: "invalid_request_error",
    Code.UNAUTHENTICATED: "authentication_error",
    Code.BUDGET_EXHAUSTED: "insufficient_quota",
    Code.DENIED: "permission_error",
    Code.APPROVAL_REQUIRED: "permission_error",
    Code.NOT_FOUND: "not_found_error",
    Code.CONFLICT: "conflict_error",
    Code.TOO_LARGE: "invalid_request_error",
    Code.RATE_LIMITED: "rate_limit_error",
}
"""OpenAI's `type`; what is not listed is `server_error`."""

# SDKs try again on 409, 429 and 5xx by themselves; for these it would be wrong, or a storm
NEVER_RETRY = frozenset({Code.BUDGET_EXHAUSTED, Code.CONFLICT, Code.UNKNOWN_OUTCOME, Code.INTERNAL, Code.DEADLINE})


class ErrorBody(msgspec.Struct, frozen=True):
    """The inside of an OpenAI error document; `reasons` and `decision` are ours."""

    message: str
    type: str
    code: str
    param: str | None = None
    decision: str | None = None
    reasons: tuple[str, ...] = ()


class ErrorDocument(msgspec.Struct, frozen=True):
    """`{"error": {...}}`"""

    error: ErrorBody


def status(failure: Failure) -> int:
    """The HTTP status."""
    return STATUS[failure.code]


def document(failure: Failure) -> bytes:
    """The OpenAI error document."""
    return msgspec.json.encode(
        ErrorDocument(
            ErrorBody(
                failure.detail or failure.code.value,
                TYPE.get(failure.code, "server_error"),
                failure.code.value,
                failure.param or None,
                failure.decision or None,
                failure.reasons,
            )
        )
    )


def headers(failure: Failure) -> dict[str, str]:
    """What tells a client whether and when to try again."""
    fields = {}
    if failure.code in NEVER_RETRY:
        fields["x-should-retry"] = "false"
    if failure.code is Code.UNAUTHENTICATED:
        fields["www-authenticate"] = 'Bearer realm="penstock"'
    if failure.retry_after_s > 0:
        fields["retry-after"] = str(math.ceil(failure.retry_after_s))
        fields["retry-after-ms"] = str(math.ceil(failure.retry_after_s * 1000))
    return fields
