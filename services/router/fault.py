"""What went wrong at a provider, told apart by what may be done about it. Pure."""

from enum import StrEnum

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.said import said

SHOWN_MAX_CHARS = 500


class FaultKind(StrEnum):
    """The classes of retry. See ELSEWHERE and AGAIN."""

    CALLER = "caller"
    CONTEXT = "context"
    MISSING = "missing"
    KEY = "key"
    RATE = "rate"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    GARBAGE = "garbage"
    UNFIT = "unfit"
    """The request cannot be said in the provider's protocol without a loss that the caller does not want."""
    PINNED = "pinned"
    """Policy wants another deployment to answer: `pin`."""


ELSEWHERE = frozenset(FaultKind) - {FaultKind.CALLER}
"""Another deployment may do better; after CONTEXT only one with a larger window."""
AGAIN = frozenset({FaultKind.RATE, FaultKind.TRANSIENT})
"""The same deployment may do better after a pause."""

_CODES = {
    FaultKind.CALLER: Code.INVALID,
    FaultKind.CONTEXT: Code.INVALID,
    FaultKind.UNFIT: Code.INVALID,
    FaultKind.RATE: Code.RATE_LIMITED,
    FaultKind.TIMEOUT: Code.DEADLINE,
    FaultKind.PINNED: Code.DENIED,
}
_CONTEXT_WORDS = (
    "context length",
    "context_length",
    "maximum context",
    "context size",
    "prompt is too long",
    "input token count",
)
_CALLERS_WORDS = ("invalid_request", "invalid_prompt", "invalid_image", "invalid_base64_image", "image_content_policy")
_KEY_STATUSES = frozenset({401, 402, 403})
_KEY_WORDS = ("insufficient_quota", "invalid_api_key", "api key not valid")
_STATUSES = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
}
"""What Anthropic's errors inside a 200 would have been outside of it, where that says more than the words."""


class Fault(Failure):
    """A try that failed at the provider: a Failure whose `kind` says what may be done. `sent`: the provider may have
    worked (and may bill). `window`: the context window it failed in, 0 when unknown. `pin`: who must answer."""

    def __init__(
        self,
        kind: FaultKind,
        detail: str,
        *,
        retry_after_s: float = 0.0,
        param: str = "",
        sent: bool = False,
    ) -> None:
        code = _CODES.get(kind, Code.UPSTREAM)
        super().__init__(code, detail, retry_after_s=retry_after_s, param=param)
        self.kind = kind
        self.sent = sent
        self.window = 0
        self.pin = ""


NOTHING = msgspec.Raw(b"null")
"""For a raw field that may be missing: a union of Raw and None does not decode."""


NO_ERROR = msgspec.Raw(b"{}")


class ProviderError(msgspec.Struct):
    """`error` of an OpenAI-wire body. Providers put strings, numbers and null in its fields."""

    message: msgspec.Raw = NOTHING
    type: msgspec.Raw = NOTHING
    code: msgspec.Raw = NOTHING
    param: msgspec.Raw = NOTHING


def exhausted(faults: list[Fault]) -> Failure:
    """The failure when every try failed: the first that says more than that a key of ours is dead."""
    telling = [fault for fault in faults if fault.kind is not FaultKind.KEY]
    if not telling:
        return Failure(Code.UPSTREAM, "upstream credentials exhausted")
    return telling[0]


class _ErrorBody(msgspec.Struct):
    error: msgspec.Raw


def refused(status: int, body: bytes, retry_after_s: float, protocol: str = "") -> Fault:
    """The fault for an HTTP status that is not 200. `body` is what the provider said, at most a few KiB of it; in
    `protocol`, where its caller may want to know more than the message."""
    raw = _error_in(body)
    fault = told(read_error(raw), status, retry_after_s)
    if protocol and fault.kind in (FaultKind.CALLER, FaultKind.CONTEXT):
        fault.upstream, param = said(protocol, raw)
        fault.param = fault.param or param[:100]
    return fault


def told(error: ProviderError, status: int = 0, retry_after_s: float = 0.0) -> Fault:
    """The fault for an error object; `status` is 0 where it came inside a 200."""
    message, code, kind_text = _text(error.message), _text(error.code), _text(error.type)
    if code.isdigit() and status == 0:
        status = int(code[:3])
    status = status or _STATUSES.get(kind_text, 0)
    words = f"{message} {code} {kind_text}".lower()
    shown = message[:SHOWN_MAX_CHARS]
    if any(word in words for word in _CONTEXT_WORDS) and status in (0, 400, 413, 422):
        return Fault(FaultKind.CONTEXT, f"the prompt is too long for the model: {shown}", param="messages")
    if (
        status in _KEY_STATUSES
        or "insufficient_quota" in words
        or "invalid_api_key" in words
        or "api key not valid" in words
    ):
        return Fault(FaultKind.KEY, "the provider refused our key")
    if status == 429 or "rate_limit" in words:
        return Fault(FaultKind.RATE, "the provider limits our rate", retry_after_s=retry_after_s)
    if status == 404:
        return Fault(FaultKind.MISSING, "the provider does not know the model or the path")
    if status == 408 or status >= 500 or 300 <= status < 400:
        kind = FaultKind.GARBAGE if status < 400 else FaultKind.TRANSIENT
        return Fault(kind, f"the provider answered with status {status}", retry_after_s=retry_after_s)
    if status >= 400:
        return _callers(shown, _text(error.param))
    if any(word in words for word in _CALLERS_WORDS):
        return _callers(shown, _text(error.param))
    return Fault(FaultKind.TRANSIENT, "the provider reported an error in its answer", sent=True)


def _callers(shown: str, param: str) -> Fault:
    detail = f"the provider refused the request: {shown}" if shown else "the provider refused the request"
    return Fault(FaultKind.CALLER, detail, param=param[:100])


def read_error(raw: msgspec.Raw | bytes) -> ProviderError:
    """An `error` value: an object, or just a text."""
    try:
        return msgspec.json.decode(raw, type=ProviderError)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError(message=msgspec.Raw(bytes(raw)[: SHOWN_MAX_CHARS * 4]))


def _error_in(body: bytes) -> msgspec.Raw:
    try:
        found = msgspec.json.decode(body, type=_ErrorBody | list[_ErrorBody])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_ERROR
    if isinstance(found, list):  # some Gemini endpoints wrap the error in a list
        return found[0].error if found else NO_ERROR
    return found.error


def is_nothing(raw: msgspec.Raw) -> bool:
    """Missing, or null."""
    return raw is NOTHING or bytes(raw) == b"null"


def _text(raw: msgspec.Raw) -> str:
    try:
        value = msgspec.json.decode(raw, type=str | int | float | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "" if value is None else str(value)
