"""Provider errors are told apart by what may be done about them."""

import msgspec
import pytest

from penstock.contracts.errors import Code
from services.router.fault import Fault, FaultKind, exhausted, read_error, refused, told


def body(message: str = "no", **more: object) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": "error", "param": None, "code": None} | more})


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, body(), FaultKind.CALLER),
        (422, body(), FaultKind.CALLER),
        (400, body(code="context_length_exceeded"), FaultKind.CONTEXT),
        (400, body("This model's maximum context length is 8192 tokens."), FaultKind.CONTEXT),
        (400, body("prompt is too long: 210000 tokens > 200000 maximum"), FaultKind.CONTEXT),
        (401, body(), FaultKind.KEY),
        (402, body(), FaultKind.KEY),
        (403, b"<html>forbidden</html>", FaultKind.KEY),
        (404, body(), FaultKind.MISSING),
        (429, body(), FaultKind.RATE),
        (429, body(code="insufficient_quota"), FaultKind.KEY),
        (500, b"", FaultKind.TRANSIENT),
        (503, b"\xff\xfe", FaultKind.TRANSIENT),
        (500, b'{"error":{"message":"caf\xe9"}}', FaultKind.TRANSIENT),
        (500, b'{"error":' + b"[" * 100_000, FaultKind.TRANSIENT),
        (529, body(type="overloaded_error"), FaultKind.TRANSIENT),
        (408, body(), FaultKind.TRANSIENT),
        (302, b"", FaultKind.GARBAGE),
    ],
)
def test_the_status_and_the_words_decide(status: int, said: bytes, kind: FaultKind) -> None:
    assert refused(status, said, 0.0).kind is kind


def test_what_the_caller_did_wrong_is_told_with_its_field() -> None:
    fault = refused(400, body("temperature must be below 2", param="temperature"), 0.0)
    assert fault.code is Code.INVALID
    assert fault.detail == "the provider refused the request: temperature must be below 2"
    assert fault.param == "temperature"


def test_a_long_message_is_cut() -> None:
    assert len(refused(400, body("x" * 10_000), 0.0).detail) < 600


def test_nothing_that_a_provider_says_of_our_key_is_shown() -> None:
    assert refused(401, body("Incorrect API key provided: sk-secret"), 0.0).detail == "the provider refused our key"


def test_retry_after_is_kept() -> None:
    fault = refused(429, body(), 12.0)
    assert (fault.code, fault.retry_after_s, fault.retryable) == (Code.RATE_LIMITED, 12.0, True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Overloaded", "type": "overloaded_error"}, FaultKind.TRANSIENT),
        ({"message": "Rate limit reached", "code": "rate_limit_exceeded"}, FaultKind.RATE),
        ({"message": "bad", "code": 502}, FaultKind.TRANSIENT),
        ({"message": "bad", "code": 429}, FaultKind.RATE),
        ({"message": "bad tools", "type": "invalid_request_error"}, FaultKind.CALLER),
        ({"message": "Invalid prompt: flagged", "code": "invalid_prompt"}, FaultKind.CALLER),
        ({"message": "The server had an error", "code": "server_error"}, FaultKind.TRANSIENT),
        ({"code": "context_length_exceeded"}, FaultKind.CONTEXT),
        ({"message": {"deep": 1}, "code": [1]}, FaultKind.TRANSIENT),
        ("just a text", FaultKind.TRANSIENT),
    ],
)
def test_an_error_inside_a_good_status_is_told_apart_too(error: object, kind: FaultKind) -> None:
    assert told(read_error(msgspec.json.encode(error))).kind is kind


def test_an_error_in_a_list_is_read() -> None:
    said = msgspec.json.encode([{"error": {"message": "bad", "status": "INVALID_ARGUMENT", "code": 400}}])
    assert refused(400, said, 0.0).detail == "the provider refused the request: bad"


def test_when_every_key_is_dead_the_caller_learns_that_its_own_is_not() -> None:
    failure = exhausted([Fault(FaultKind.KEY, "x"), Fault(FaultKind.KEY, "y")])
    assert (failure.code, failure.detail) == (Code.UPSTREAM, "upstream credentials exhausted")


def test_the_first_telling_failure_is_the_one_that_is_shown() -> None:
    first, second = Fault(FaultKind.TIMEOUT, "slow"), Fault(FaultKind.TRANSIENT, "broken")
    assert exhausted([Fault(FaultKind.KEY, "x"), first, second]) is first


@pytest.mark.parametrize(
    ("kind_text", "kind"),
    [
        ("authentication_error", FaultKind.KEY),
        ("billing_error", FaultKind.KEY),
        ("permission_error", FaultKind.KEY),
        ("not_found_error", FaultKind.MISSING),
        ("request_too_large", FaultKind.CALLER),
        ("overloaded_error", FaultKind.TRANSIENT),
        ("rate_limit_error", FaultKind.RATE),
    ],
)
def test_an_error_of_anthropic_s_inside_a_200_is_told_by_its_type(kind_text: str, kind: FaultKind) -> None:
    error = read_error(msgspec.json.encode({"type": kind_text, "message": "no"}))
    assert told(error).kind is kind
