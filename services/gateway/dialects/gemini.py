"""Gemini generateContent: method names in paths, failures, streams as events or as one JSON list, lists of models."""

import math

import msgspec

from penstock.contracts.errors import NO_DETAILS, Code, Failure, Upstream
from penstock.contracts.llm import GEMINI_GENERATE, ModelInfo, Models, TokenCount
from services.gateway import problems
from services.gateway.dialects import head
from services.gateway.dialects.dialect import EMPTY_LINES, Events, Form
from services.gateway.dialects.json_list import JsonList
from services.gateway.dialects.openai import find

PREFIX = "models/"
STATUS: dict[Code, str] = {
    Code.INVALID: "INVALID_ARGUMENT",
    Code.UNAUTHENTICATED: "UNAUTHENTICATED",
    # RESOURCE_EXHAUSTED is what clients try again for ever
    Code.BUDGET_EXHAUSTED: "FAILED_PRECONDITION",
    Code.DENIED: "PERMISSION_DENIED",
    Code.APPROVAL_REQUIRED: "PERMISSION_DENIED",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.CONFLICT: "ABORTED",
    Code.TOO_LARGE: "INVALID_ARGUMENT",
    Code.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Code.CANCELLED: "CANCELLED",
    Code.INTERNAL: "INTERNAL",
    Code.UPSTREAM: "UNAVAILABLE",
    Code.UNKNOWN_OUTCOME: "UNKNOWN",
    Code.UNAVAILABLE: "UNAVAILABLE",
    Code.OVERLOADED: "UNAVAILABLE",
    Code.DEADLINE: "DEADLINE_EXCEEDED",
}
"""Names of google.rpc.Code."""

FAMILY = "gemini."
"""How the names of Gemini's protocols begin."""
DETAIL = "type.googleapis.com/google.rpc."
METHODS = {
    "chat": ("generateContent", "streamGenerateContent", "countTokens"),
    "embeddings": ("embedContent", "batchEmbedContents"),
}


class _Info(msgspec.Struct, frozen=True, omit_defaults=True):
    """google.rpc.ErrorInfo"""

    type: str = msgspec.field(name="@type")
    reason: str
    domain: str
    metadata: dict[str, str] = {}


class _Retry(msgspec.Struct, frozen=True):
    """google.rpc.RetryInfo"""

    type: str = msgspec.field(name="@type")
    delay: str = msgspec.field(name="retryDelay")


class _Violation(msgspec.Struct, frozen=True):
    field: str
    description: str


class _BadRequest(msgspec.Struct, frozen=True):
    """google.rpc.BadRequest"""

    type: str = msgspec.field(name="@type")
    violations: list[_Violation] = msgspec.field(name="fieldViolations")


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str
    status: str
    details: list[_Info | _Retry | _BadRequest | msgspec.Raw]


class _ErrorDocument(msgspec.Struct, frozen=True):
    # first in the document: the Python client knows an error in a stream by it
    error: _Error


class _Model(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str
    display_name: str
    supported_generation_methods: tuple[str, ...]
    input_token_limit: int = 0


class _ModelList(msgspec.Struct, frozen=True):
    models: list[_Model]


class _Count(msgspec.Struct, frozen=True):
    total: int = msgspec.field(name="totalTokens")


class _Contents(msgspec.Struct, frozen=True):
    contents: msgspec.Raw = msgspec.Raw(b"")


class _Counted(msgspec.Struct, frozen=True):
    contents: msgspec.Raw = msgspec.Raw(b"")
    whole: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="generateContentRequest")
    whole_snake: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="generate_content_request")


_contents = msgspec.json.Decoder(_Contents)
_counted = msgspec.json.Decoder(_Counted)


def model_and_method(path: str) -> tuple[str, str]:
    """`gemini-3:generateContent` in its parts; a model may have colons of its own. Raises Failure(NOT_FOUND)."""
    model, colon, method = path.removeprefix(PREFIX).rpartition(":")
    if not colon or not model:
        raise Failure(Code.NOT_FOUND, "there is no such path")
    return model, method


def check_contents(body: bytes, *, templated: bool) -> None:
    """Raises Failure(INVALID) unless there are contents: a list, or one of them by itself, which is taken as a list."""
    found = head.read(_contents, body)
    if not found.contents and not templated:
        raise Failure(Code.INVALID, "Object missing required field `contents`", param="contents")


def check_count(body: bytes) -> None:
    """Raises Failure(INVALID) unless there is something to count."""
    found = head.read(_counted, body)
    if not (found.contents or found.whole or found.whole_snake):
        raise Failure(Code.INVALID, "Object missing required field `contents`", param="contents")


def count(counted: TokenCount) -> bytes:
    """The answer of countTokens."""
    return msgspec.json.encode(_Count(counted.input_tokens))


class Gemini:
    """generateContent and what stands beside it."""

    surface = GEMINI_GENERATE

    def status(self, failure: Failure) -> int:
        return problems.STATUS[failure.code]

    def document(self, failure: Failure, request: str) -> bytes:
        message = failure.detail or failure.code.value
        error = _Error(self.status(failure), message, STATUS[failure.code], _details(failure, request))
        return msgspec.json.encode(_ErrorDocument(error))

    def headers(self, request: str) -> dict[str, str]:
        return {}

    def form(self, request: str) -> Form:
        # its Python client takes every line that is not `data: ` for JSON: no comments; and nothing before the first
        # event, so that what there is to say of the answer is in its head
        return Events(
            lambda failure: b"data: " + self.document(failure, request) + b"\n\n",
            keep_alive=EMPTY_LINES,
            early=False,
            comments=False,
        )

    def list_form(self, request: str) -> Form:
        """Of a stream that was asked for without `alt=sse`."""
        return JsonList(lambda failure: self.document(failure, request))

    def model_list(self, models: Models) -> bytes:
        return msgspec.json.encode(_ModelList([_model(model) for model in models.models]))

    def one_model(self, models: Models, id: str) -> bytes:
        return msgspec.json.encode(_model(find(models, id.removeprefix(PREFIX))))


def _details(failure: Failure, request: str) -> list[_Info | _Retry | _BadRequest | msgspec.Raw]:
    metadata = {"request": request}
    if failure.decision:
        metadata["decision"] = failure.decision
    if failure.reasons:
        metadata["reasons"] = "; ".join(failure.reasons)
    if waited := problems.awaited(failure):
        metadata |= {"approval": waited.id, "approval_url": waited.url}
    own: list[msgspec.Raw] = []
    if said := failure.upstream:
        own = _own(said)
        metadata |= {} if said.protocol.startswith(FAMILY) else _foreign(said)
    details: list[_Info | _Retry | _BadRequest | msgspec.Raw] = [
        _Info(DETAIL + "ErrorInfo", failure.code.value.upper(), "penstock", metadata),
        *own,
    ]
    if failure.param and not own:
        details.append(_BadRequest(DETAIL + "BadRequest", [_Violation(failure.param, failure.detail)]))
    if failure.retry_after_s > 0:
        details.append(_Retry(DETAIL + "RetryInfo", f"{math.ceil(failure.retry_after_s)}s"))
    return details


def _own(said: Upstream) -> list[msgspec.Raw]:
    """Gemini's details, which are a list like ours."""
    if not said.protocol.startswith(FAMILY) or said.details is NO_DETAILS:
        return []
    return msgspec.json.decode(said.details, type=list[msgspec.Raw])


def _foreign(said: Upstream) -> dict[str, str]:
    """What another protocol's provider said: google.rpc.ErrorInfo takes nothing but text."""
    told = {"protocol": said.protocol, "type": said.type, "code": said.code, "details": bytes(said.details).decode()}
    return {f"upstream_{name}": text for name, text in told.items() if text}


def _model(model: ModelInfo) -> _Model:
    methods = tuple(method for kind in model.kinds for method in METHODS.get(kind, ()))
    return _Model(PREFIX + model.id, model.id, methods, model.context_tokens)
