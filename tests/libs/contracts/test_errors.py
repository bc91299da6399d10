"""Failures: the closed set of codes, and that they cross the bus whole."""

import msgspec
import pytest

from penstock.contracts.errors import RETRYABLE, Code, Failure, FailureBody


def test_the_codes_are_these_and_their_names_are_on_the_wire() -> None:
    assert [code.value for code in Code] == [
        "invalid",
        "unauthenticated",
        "denied",
        "approval_required",
        "budget_exhausted",
        "rate_limited",
        "not_found",
        "conflict",
        "too_large",
        "unavailable",
        "overloaded",
        "deadline",
        "cancelled",
        "upstream",
        "unknown_outcome",
        "internal",
    ]


def test_only_what_surely_had_no_effect_may_be_sent_again() -> None:
    assert {code.value for code in RETRYABLE} == {"rate_limited", "unavailable", "overloaded"}
    assert [code.value for code in Code if Failure(code).retryable] == ["rate_limited", "unavailable", "overloaded"]


@pytest.mark.parametrize("code", list(Code))
def test_a_failure_comes_out_as_it_went_in(code: Code) -> None:
    failure = Failure(
        code, "no more money", retry_after_s=1.5, decision="dec_1", param="budget", reasons=("one", "two")
    )
    wire = msgspec.json.encode(failure.body())
    back = Failure.of(msgspec.json.decode(wire, type=FailureBody))
    assert (back.code, back.detail, back.retry_after_s, back.decision, back.param, back.reasons) == (
        code,
        "no more money",
        1.5,
        "dec_1",
        "budget",
        ("one", "two"),
    )


def test_a_bare_failure_is_only_its_code_on_the_wire() -> None:
    assert msgspec.json.encode(Failure(Code.DENIED).body()) == b'{"code":"denied"}'


@pytest.mark.parametrize("code", ["teapot", "", "Denied", "denied "])
def test_a_code_of_a_newer_peer_is_an_internal_failure_with_its_detail(code: str) -> None:
    failure = Failure.of(FailureBody(code, "from the future"))
    assert failure.code is Code.INTERNAL
    assert failure.detail == "from the future"
    assert not failure.retryable


def test_a_failure_says_its_code_and_detail() -> None:
    assert str(Failure(Code.TOO_LARGE, "300 bytes")) == "too_large: 300 bytes"
    assert str(Failure(Code.TOO_LARGE)) == "too_large"
