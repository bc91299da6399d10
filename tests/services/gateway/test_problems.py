"""Every failure code has a status; what must not be tried again says so."""

import pytest

from penstock.contracts.errors import Code, Failure
from services.gateway import problems


def test_every_code_has_a_status() -> None:
    assert set(problems.STATUS) == set(Code)


@pytest.mark.parametrize("code", [Code.BUDGET_EXHAUSTED, Code.DENIED, Code.CONFLICT, Code.UNKNOWN_OUTCOME])
def test_what_may_have_had_an_effect_or_never_helps_is_not_retried_by_clients(code: Code) -> None:
    assert problems.headers(Failure(code, retry_after_s=5.0)) == {"x-should-retry": "false"}


def test_a_rate_limit_says_when_to_come_back() -> None:
    fields = problems.headers(Failure(Code.RATE_LIMITED, retry_after_s=1.2))
    assert fields == {"retry-after": "2", "retry-after-ms": "1200"}
