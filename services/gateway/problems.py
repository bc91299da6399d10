"""Failure codes as HTTP: the table of statuses, and what tells clients whether to try again. Pure.

How a failure is worded is each protocol's own (dialects/).
"""

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
# SDKs try again on 409, 429 and 5xx by themselves; for these it would be wrong, or a storm
NEVER_RETRY = frozenset(
    {
        Code.BUDGET_EXHAUSTED,
        Code.DENIED,
        Code.APPROVAL_REQUIRED,
        Code.CONFLICT,
        Code.UNKNOWN_OUTCOME,
        Code.INTERNAL,
        Code.DEADLINE,
    }
)


class Awaited(msgspec.Struct, frozen=True):
    """The approval that an action waits for, and where it can be looked at. Once it is approved, the same request, sent
    again, is done once."""

    id: str
    url: str


def awaited(failure: Failure) -> Awaited | None:
    """What the request that failed with this waits for."""
    if failure.code is not Code.APPROVAL_REQUIRED or not failure.approval:
        return None
    return Awaited(failure.approval, f"/v1/approvals/{failure.approval}")


def headers(failure: Failure) -> dict[str, str]:
    """What tells a client whether and when to try again."""
    fields = {}
    if failure.code in NEVER_RETRY:
        fields["x-should-retry"] = "false"
    if failure.code not in NEVER_RETRY and failure.retry_after_s > 0:
        fields["retry-after"] = str(math.ceil(failure.retry_after_s))
        fields["retry-after-ms"] = str(math.ceil(failure.retry_after_s * 1000))
    if waited := awaited(failure):
        fields["x-penstock-approval"] = waited.id
        fields["link"] = f'<{waited.url}>; rel="monitor"'
    return fields
