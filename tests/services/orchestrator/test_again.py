"""Which failures of a step are followed by another try."""

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.tools import Effect
from penstock.kit.retry import Backoff
from services.orchestrator.again import Patience, again_after_s

PATIENCE = Patience(tries_max=5, unsure_tries_max=2, backoff=Backoff(first_s=1.0, most_s=4.0))


def after(
    code: Code, effect: Effect = "read", tries: int = 1, deadline: float = 1000.0, asked_s: float = 0.0
) -> float | None:
    return again_after_s(Failure(code, retry_after_s=asked_s), effect, tries, 0.0, deadline, 1.0, PATIENCE)


@pytest.mark.parametrize("effect", ["read", "idempotent", "once"])
@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.OVERLOADED, Code.RATE_LIMITED])
def test_a_failure_without_effect_is_tried_again_whatever_the_step_does(code: Code, effect: Effect) -> None:
    assert [after(code, effect, tries) for tries in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 4.0, None]


@pytest.mark.parametrize("code", [Code.UNKNOWN_OUTCOME, Code.UPSTREAM])
def test_a_failure_that_may_have_had_an_effect_is_tried_again_only_where_that_is_harmless(code: Code) -> None:
    assert after(code, "read") == 1.0
    assert after(code, "idempotent") == 1.0
    assert after(code, "read", tries=2) is None
    assert after(code, "once") is None


@pytest.mark.parametrize(
    "code",
    [Code.DENIED, Code.BUDGET_EXHAUSTED, Code.INVALID, Code.NOT_FOUND, Code.INTERNAL, Code.DEADLINE, Code.TOO_LARGE],
)
def test_a_refusal_is_final(code: Code) -> None:
    assert after(code) is None


def test_no_try_begins_after_the_runs_deadline() -> None:
    assert after(Code.UNAVAILABLE, deadline=1.0) is None
    assert after(Code.UNAVAILABLE, deadline=1.1) == 1.0


def test_the_failures_own_wish_to_wait_is_heard() -> None:
    assert after(Code.RATE_LIMITED, asked_s=7.5) == 7.5
