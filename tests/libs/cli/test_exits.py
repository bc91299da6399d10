"""Exit statuses."""

import pytest

from penstock.cli.exits import Exit, of_failure, of_job
from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.jobs import JobView, State


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        ("completed", "", 0),
        ("failed", "upstream", 1),
        ("failed", "not_found", 1),
        ("failed", "budget_exhausted", 4),
        ("failed", "rate_limited", 4),
        ("denied", "denied", 3),
        ("denied", "", 3),
        ("failed", "a_code_of_a_later_release", 1),
        ("cancelled", "", 8),
    ],
)
def test_a_job_ends_the_command_as_it_ended(state: State, code: str, status: int) -> None:
    error = FailureBody(code) if code else None
    assert of_job(JobView("job_1", "chat", state, 0.0, 0.0, error=error)) == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.INVALID, 2),
        (Code.UNAUTHENTICATED, 3),
        (Code.DENIED, 3),
        (Code.BUDGET_EXHAUSTED, 4),
        (Code.UNAVAILABLE, 5),
        (Code.DEADLINE, 5),
        (Code.NOT_FOUND, 7),
        (Code.INTERNAL, 1),
    ],
)
def test_a_failure_ends_the_command_by_its_code(code: Code, status: int) -> None:
    assert of_failure(Failure(code)) == status


def test_no_two_statuses_are_the_same() -> None:
    assert len({status.value for status in Exit}) == len(Exit)
