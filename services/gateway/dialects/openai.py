"""OpenAI: chat completions, and the shape of failures and lists for every path that is nobody else's."""

import msgspec

from penstock.contracts.errors import NO_DETAILS, Code, Failure, Upstream
from penstock.contracts.llm import OPENAI_CHAT, ModelInfo, Models
from services.gateway import problems
from services.gateway.dialects import head
from services.gateway.dialects.dialect import Events, Form

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
"""`error.type`; what is not listed is `server_error`."""
FAMILY = "openai."
"""How the names of OpenAI's protocols begin."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The inside of an error document; `reasons`, `decision` and `approval` (what the request waits for) are ours,
    `upstream` what a provider of another protocol said. `code` and `innererror` are a provider's own where it spoke
    OpenAI's."""

    message: str
    type: str
    code: str
    param: str | None = None
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    upstream: Upstream | msgspec.UnsetType = msgspec.UNSET
    innererror: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    approval: problems.Awaited | msgspec.UnsetType = msgspec.UNSET


class _ErrorDocument(msgspec.Struct, frozen=True):
    error: ErrorBody


class _ChatHead(msgspec.Struct, frozen=True):
    model: str
    messages: msgspec.Raw = msgspec.Raw(b"")
    stream: bool | None = None


class _Model(msgspec.Struct, frozen=True):
    id: str
    object: str
    created: int
    owned_by: str


class _ModelList(msgspec.Struct, frozen=True):
    object: str
    data: list[_Model]


_chat_heads = msgspec.json.Decoder(_ChatHead)


def chat_head(body: bytes, *, templated: bool) -> tuple[str, bool]:
    """Model and whether to stream. Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_chat_heads, body)
    head.needs_list("messages", found.messages, templated=templated)
    return head.named(found.model), bool(found.stream)


def error_body(failure: Failure) -> ErrorBody:
    """What stands in `error`."""
    foreign: Upstream | msgspec.UnsetType = msgspec.UNSET
    inner: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code = failure.code.value
    if said := failure.upstream:
        if said.protocol.startswith(FAMILY):
            code = said.code or code
            inner = msgspec.UNSET if said.details is NO_DETAILS else said.details
        else:
            foreign = said
    return ErrorBody(
        failure.detail or failure.code.value,
        TYPE.get(failure.code, "server_error"),
        code,
        failure.param or None,
        failure.decision or None,
        failure.reasons,
        foreign,
        inner,
        problems.awaited(failure) or msgspec.UNSET,
    )


class OpenAi:
    """Chat completions."""

    surface = OPENAI_CHAT

    def status(self, failure: Failure) -> int:
        return problems.STATUS[failure.code]

    def document(self, failure: Failure, request: str) -> bytes:
        return msgspec.json.encode(_ErrorDocument(error_body(failure)))

    def headers(self, request: str) -> dict[str, str]:
        return {}

    def form(self, request: str) -> Form:
        return Events(lambda failure: b"data: " + self.document(failure, request) + b"\n\n")

    def model_list(self, models: Models) -> bytes:
        return msgspec.json.encode(_ModelList("list", [_model(model) for model in models.models]))

    def one_model(self, models: Models, id: str) -> bytes:
        return msgspec.json.encode(_model(find(models, id)))


def find(models: Models, id: str) -> ModelInfo:
    """Raises Failure(NOT_FOUND)."""
    for model in models.models:
        if model.id == id:
            return model
    raise Failure(Code.NOT_FOUND, f"there is no model {id[:80]!r} that you may use", param="model")


def _model(model: ModelInfo) -> _Model:
    return _Model(model.id, "model", 0, model.owned_by or "penstock")
