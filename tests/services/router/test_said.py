"""What of a provider's refusal may reach the caller: of the request, bounded, nothing of the account."""

import msgspec
import pytest

from penstock.contracts.errors import DETAILS_MAX_BYTES, NO_DETAILS, Upstream
from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES
from services.router.fault import FaultKind, refused

BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def body(**error: object) -> bytes:
    return msgspec.json.encode({"error": {"message": "no", **error}})


def details(upstream: Upstream | None) -> object:
    assert upstream is not None
    return msgspec.json.decode(upstream.details)


def test_anthropics_details_are_kept() -> None:
    told = {"error_code": "tool_name_conflict", "names": ["search"]}
    fault = refused(400, body(type="invalid_request_error", details=told), 0.0, ANTHROPIC_MESSAGES)
    assert fault.upstream is not None
    assert (fault.upstream.protocol, fault.upstream.type) == (ANTHROPIC_MESSAGES, "invalid_request_error")
    assert details(fault.upstream) == told


def test_openais_code_is_kept_and_azures_filter_result() -> None:
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    error = body(type="invalid_request_error", code="content_filter", param="prompt", innererror=inner)
    fault = refused(400, error, 0.0, OPENAI_CHAT)
    assert fault.param == "prompt"
    assert fault.upstream is not None
    assert (fault.upstream.type, fault.upstream.code) == ("invalid_request_error", "content_filter")
    assert details(fault.upstream) == inner


def test_a_prompt_that_is_too_long_keeps_its_code() -> None:
    fault = refused(400, body(code="context_length_exceeded"), 0.0, OPENAI_RESPONSES)
    assert fault.kind is FaultKind.CONTEXT
    assert fault.upstream == Upstream(OPENAI_RESPONSES, "", "context_length_exceeded")


def test_of_geminis_details_only_the_fields_at_fault_are_kept() -> None:
    told = [
        {
            "@type": BAD_REQUEST,
            "fieldViolations": [{"field": "generation_config.top_k", "description": "too large", "extra": 1}],
        },
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SOMETHING",
            "metadata": {"consumer": "projects/1234567"},
        },
    ]
    fault = refused(400, body(code=400, status="INVALID_ARGUMENT", details=told), 0.0, GEMINI_GENERATE)
    assert fault.param == "generation_config.top_k"
    assert fault.upstream is not None
    assert fault.upstream.type == "INVALID_ARGUMENT"
    assert details(fault.upstream) == [
        {"@type": BAD_REQUEST, "fieldViolations": [{"field": "generation_config.top_k", "description": "too large"}]}
    ]


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 529])
def test_what_is_the_planes_own_affair_has_no_details(status: int) -> None:
    told = body(type="error", details={"organization": "org_1"}, innererror={"account": "a"}, code="x")
    for protocol in (ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT):
        assert refused(status, told, 0.0, protocol).upstream is None


@pytest.mark.parametrize(
    "told",
    [
        {"x": "y" * DETAILS_MAX_BYTES},
        {"x": [[[[[[]]]]]] * 40},
        {},
        "text",
        None,
        7,
    ],
)
def test_details_that_are_too_much_or_of_another_kind_are_left_out(told: object) -> None:
    fault = refused(400, body(details=told), 0.0, ANTHROPIC_MESSAGES)
    assert fault.upstream is not None
    assert fault.upstream.details is NO_DETAILS


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"error": 7}', b'{"error": {"details": ' + b"[" * 5000, b'{"error": {"type": "\xff"}}']
)
@pytest.mark.parametrize("protocol", [ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT])
def test_an_error_that_cannot_be_read_is_a_refusal_all_the_same(raw: bytes, protocol: str) -> None:
    fault = refused(400, raw, 0.0, protocol)
    assert fault.kind is FaultKind.CALLER
    assert fault.upstream == Upstream(protocol)


def test_a_number_for_a_code_is_none() -> None:
    assert refused(400, body(code=400), 0.0, OPENAI_CHAT).upstream == Upstream(OPENAI_CHAT)
    assert refused(400, body(code="400"), 0.0, OPENAI_CHAT).upstream == Upstream(OPENAI_CHAT)
