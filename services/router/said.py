"""What a provider said of a request that it refused for the request's own sake, as far as its caller may know it. Pure.

Only fields that speak of the request: what else stands in an error (accounts, projects, quotas, traces) may be the
plane's own.
"""

import msgspec

from penstock.contracts.errors import DETAILS_MAX_BYTES, NO_DETAILS, Upstream
from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE

WORD_MAX_CHARS = 100
OPENED_MAX = 200
"""Brackets in details: what is nested deeper than clients can read is left out."""
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


class _Anthropic(msgspec.Struct):
    """`details`: `error_code` and what belongs to it."""

    type: str | None = None
    details: dict[str, object] | None = None


class _Violation(msgspec.Struct, rename="camel", omit_defaults=True):
    field: str = ""
    description: str = ""
    reason: str = ""


class _Detail(msgspec.Struct, rename="camel", omit_defaults=True):
    """google.rpc.BadRequest among others, which speak of the account that asked (ErrorInfo, QuotaFailure, Help)."""

    type: str = msgspec.field(name="@type", default="")
    field_violations: list[_Violation] = []


class _Gemini(msgspec.Struct):
    status: str | None = None
    details: list[_Detail] = []


class _OpenAi(msgspec.Struct):
    """`innererror`: Azure's, what its filter found. Compatible servers put the status in `code`."""

    type: str | None = None
    code: str | int | None = None
    innererror: dict[str, object] | None = None


def said(protocol: str, error: msgspec.Raw) -> tuple[Upstream, str]:
    """Of the `error` object in an answer; and the field at fault, "" where that is not told beside the message."""
    family = protocol.partition(".")[0]
    try:
        if family == ANTHROPIC_MESSAGES.partition(".")[0]:
            told = msgspec.json.decode(error, type=_Anthropic)
            return Upstream(protocol, _word(told.type), details=_details(told.details)), ""
        if family == GEMINI_GENERATE.partition(".")[0]:
            return _of_gemini(protocol, msgspec.json.decode(error, type=_Gemini))
        given = msgspec.json.decode(error, type=_OpenAi)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Upstream(protocol), ""
    code = given.code if isinstance(given.code, str) and not given.code.isdigit() else ""
    return Upstream(protocol, _word(given.type), _word(code), _details(given.innererror)), ""


def _of_gemini(protocol: str, told: _Gemini) -> tuple[Upstream, str]:
    bad = [detail for detail in told.details if detail.type == BAD_REQUEST]
    fields = [violation.field for detail in bad for violation in detail.field_violations]
    return Upstream(protocol, _word(told.status), details=_details(bad)), next(iter(fields), "")


def _word(text: str | None) -> str:
    return (text or "")[:WORD_MAX_CHARS]


def _details(found: object) -> msgspec.Raw:
    """As JSON anew, so that it is sure to be some; nothing when it is empty or too much."""
    if not found:
        return NO_DETAILS
    raw = msgspec.json.encode(found)
    if len(raw) > DETAILS_MAX_BYTES or raw.count(b"{") + raw.count(b"[") > OPENED_MAX:
        return NO_DETAILS
    return msgspec.Raw(raw)
