"""Anthropic Messages: heads, failures, the ping that fills silence, lists of models, token counts."""

import msgspec

from penstock.contracts.errors import NO_DETAILS, Code, Failure, Upstream
from penstock.contracts.llm import ANTHROPIC_MESSAGES, ModelInfo, Models, TokenCount
from services.gateway import problems
from services.gateway.dialects import head
from services.gateway.dialects.dialect import Events, Form
from services.gateway.dialects.openai import find

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
OVERLOADED = 529
UNKNOWN_DATE = "1970-01-01T00:00:00Z"

TYPE: dict[Code, str] = {
    Code.INVALID: "invalid_request_error",
    Code.UNAUTHENTICATED: "authentication_error",
    Code.BUDGET_EXHAUSTED: "billing_error",
    Code.DENIED: "permission_error",
    Code.APPROVAL_REQUIRED: "permission_error",
    Code.NOT_FOUND: "not_found_error",
    Code.CONFLICT: "conflict_error",
    Code.TOO_LARGE: "request_too_large",
    Code.RATE_LIMITED: "rate_limit_error",
    Code.OVERLOADED: "overloaded_error",
    Code.DEADLINE: "timeout_error",
}
"""`error.type`; what is not listed is `api_error`."""

FAMILY = "anthropic."
"""How the names of Anthropic's protocols begin."""
THREAD = "thread"
THREAD_UNSUPPORTED = "thread_unsupported_request"


class _Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """`error_code` and `unsupported` are Anthropic's; the rest is ours. `upstream`: what a provider of another protocol
    said; what Anthropic said stands beside ours."""

    code: str
    error_code: str = ""
    unsupported: tuple[str, ...] = ()
    param: str = ""
    decision: str = ""
    reasons: tuple[str, ...] = ()
    upstream: Upstream | None = None
    approval: problems.Awaited | None = None


class _Error(msgspec.Struct, frozen=True):
    type: str
    message: str
    details: _Details | dict[str, msgspec.Raw]


class _ErrorDocument(msgspec.Struct, frozen=True):
    type: str
    error: _Error
    request_id: str


class _Head(msgspec.Struct, frozen=True):
    model: str
    messages: msgspec.Raw = msgspec.Raw(b"")
    stream: bool | None = None


class _Model(msgspec.Struct, frozen=True):
    id: str
    display_name: str
    type: str = "model"
    created_at: str = UNKNOWN_DATE
    lifecycle: str = "active"
    max_input_tokens: int | None = None


class _ModelList(msgspec.Struct, frozen=True):
    data: list[_Model]
    has_more: bool
    first_id: str | None
    last_id: str | None


class _Count(msgspec.Struct, frozen=True):
    input_tokens: int


_heads = msgspec.json.Decoder(_Head)


def message_head(body: bytes, *, templated: bool = False) -> tuple[str, bool]:
    """Model and whether to stream. Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_heads, body)
    head.needs_list("messages", found.messages, templated=templated)
    return head.named(found.model), bool(found.stream)


def count(counted: TokenCount) -> bytes:
    """POST /v1/messages/count_tokens"""
    return msgspec.json.encode(_Count(counted.input_tokens))


class Anthropic:
    """Messages."""

    surface = ANTHROPIC_MESSAGES

    def status(self, failure: Failure) -> int:
        return OVERLOADED if failure.code is Code.OVERLOADED else problems.STATUS[failure.code]

    def document(self, failure: Failure, request: str) -> bytes:
        error = _Error(
            TYPE.get(failure.code, "api_error"),
            failure.detail or failure.code.value,
            _details(failure),
        )
        return msgspec.json.encode(_ErrorDocument("error", error, request))

    def headers(self, request: str) -> dict[str, str]:
        return {"request-id": request}

    def form(self, request: str) -> Form:
        return Events(
            lambda failure: b"event: error\ndata: " + self.document(failure, request) + b"\n\n", keep_alive=PING
        )

    def model_list(self, models: Models) -> bytes:
        listed = [_model(model) for model in models.models]
        first, last = (listed[0].id, listed[-1].id) if listed else (None, None)
        return msgspec.json.encode(_ModelList(listed, False, first, last))

    def one_model(self, models: Models, id: str) -> bytes:
        return msgspec.json.encode(_model(find(models, id)))


def _details(failure: Failure) -> _Details | dict[str, msgspec.Raw]:
    """Ours, and Anthropic's own beside it."""
    said = failure.upstream
    if said is None or not said.protocol.startswith(FAMILY):
        return _ours(failure, said)
    ours = _ours(failure, None)
    if said.details is NO_DETAILS:
        return ours
    theirs = msgspec.json.decode(said.details, type=dict[str, msgspec.Raw])
    return theirs | msgspec.json.decode(msgspec.json.encode(ours), type=dict[str, msgspec.Raw])


def _ours(failure: Failure, upstream: Upstream | None) -> _Details:
    """Clients whose server-side thread is refused go on without one, if they are told so by `error_code`."""
    error_code, reasons = "", failure.reasons
    unsupported: tuple[str, ...] = ()
    if failure.param == THREAD:
        given = next((reason for reason in reasons if reason.startswith("thread_")), "")
        error_code = given or THREAD_UNSUPPORTED
        unsupported = () if given else (THREAD,)
    return _Details(
        failure.code.value,
        error_code,
        unsupported,
        failure.param,
        failure.decision,
        reasons,
        upstream,
        problems.awaited(failure),
    )


def _model(model: ModelInfo) -> _Model:
    return _Model(model.id, model.id, max_input_tokens=model.context_tokens or None)
