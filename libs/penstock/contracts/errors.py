"""The closed set of failures that cross the bus whole. Only the gateway turns them into HTTP statuses."""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    """Why an action did not happen. The value is what stands on the wire."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    APPROVAL_REQUIRED = "approval_required"
    BUDGET_EXHAUSTED = "budget_exhausted"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    UPSTREAM = "upstream"
    UNKNOWN_OUTCOME = "unknown_outcome"
    INTERNAL = "internal"


RETRYABLE = frozenset({Code.RATE_LIMITED, Code.UNAVAILABLE, Code.OVERLOADED})
"""Codes for which the same request may succeed later and surely had no effect now."""


NO_DETAILS = msgspec.Raw(b"")
DETAILS_MAX_BYTES = 4096


class Upstream(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider said of a request that it refused for the request's own sake, beside its message: for callers
    that act on it. `protocol` (contracts/llm) tells whose words they are. `type` and `code` are the provider's own;
    `details` is JSON of at most DETAILS_MAX_BYTES, empty when there is none or it is larger."""

    protocol: str
    type: str = ""
    code: str = ""
    details: msgspec.Raw = NO_DETAILS


class FailureBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Failure on the wire. `code` is a plain string so that a newer peer's code still decodes."""

    code: str
    detail: str = ""
    retry_after_s: float = 0.0
    decision: str = ""
    param: str = ""
    reasons: tuple[str, ...] = ()
    upstream: Upstream | None = None
    approval: str = ""


class Failure(Exception):
    """An action that did not happen, and why.

    `detail` is safe to show to the caller: never a key, a prompt, a result or a stack trace.
    `decision` is the id of the policy decision that refused, `reasons` what that decision gave, where there is one;
    `param` names the field at fault; `retry_after_s` (seconds) is 0 when unknown; `upstream` is what a provider said,
    where that is the caller's affair; `approval` is the id of the approval that the action waits for.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        retry_after_s: float = 0.0,
        decision: str = "",
        param: str = "",
        reasons: tuple[str, ...] = (),
        upstream: Upstream | None = None,
        approval: str = "",
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else str(code))
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.decision = decision
        self.param = param
        self.reasons = reasons
        self.upstream = upstream
        self.approval = approval

    @property
    def retryable(self) -> bool:
        """Whether the same request may be sent again."""
        return self.code in RETRYABLE

    def body(self) -> FailureBody:
        """This failure as it stands on the wire."""
        return FailureBody(
            self.code,
            self.detail,
            self.retry_after_s,
            self.decision,
            self.param,
            self.reasons,
            self.upstream,
            self.approval,
        )

    @classmethod
    def of(cls, body: FailureBody) -> "Failure":
        """The failure that a peer sent; a code that we do not know is `internal`."""
        known = {code.value for code in Code}
        code = Code(body.code) if body.code in known else Code.INTERNAL
        return cls(
            code,
            body.detail,
            retry_after_s=body.retry_after_s,
            decision=body.decision,
            param=body.param,
            reasons=body.reasons,
            upstream=body.upstream,
            approval=body.approval,
        )
