"""Exit statuses: what a script can tell from `penstock` having ended."""

from enum import IntEnum

from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import JobView


class Exit(IntEnum):
    """The same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    BUDGET = 4
    UNAVAILABLE = 5
    UNVERIFIED = 6
    NOT_FOUND = 7
    CANCELLED = 8
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "it is done",
    Exit.FAILED: "the job failed, or the command could not do its work",
    Exit.USAGE: "the command was written wrongly, or a file or setting it needs is bad",
    Exit.DENIED: "refused: no good key, or a policy says no",
    Exit.BUDGET: "refused: a budget is spent or a rate limit is reached",
    Exit.UNAVAILABLE: "the plane or a part of it cannot be reached, or did not answer in time",
    Exit.UNVERIFIED: "the audit log is not whole",
    Exit.NOT_FOUND: "there is no such job, key, model, tool or agent",
    Exit.CANCELLED: "the job was cancelled",
    Exit.INTERRUPTED: "stopped by ^C",
}

_BY_CODE = {
    Code.INVALID: Exit.USAGE,
    Code.TOO_LARGE: Exit.USAGE,
    Code.UNAUTHENTICATED: Exit.DENIED,
    Code.DENIED: Exit.DENIED,
    Code.APPROVAL_REQUIRED: Exit.DENIED,
    Code.BUDGET_EXHAUSTED: Exit.BUDGET,
    Code.RATE_LIMITED: Exit.BUDGET,
    Code.NOT_FOUND: Exit.NOT_FOUND,
    Code.UNAVAILABLE: Exit.UNAVAILABLE,
    Code.OVERLOADED: Exit.UNAVAILABLE,
    Code.DEADLINE: Exit.UNAVAILABLE,
    Code.CANCELLED: Exit.CANCELLED,
}


def of_failure(failure: Failure) -> Exit:
    """The status for a command that this ended."""
    return _BY_CODE.get(failure.code, Exit.FAILED)


def of_job(job: JobView) -> Exit:
    """The status for a job that is over: a refusal and a spent budget are told apart from other failures."""
    if job.state == "completed":
        return Exit.OK
    if job.state == "cancelled":
        return Exit.CANCELLED
    if job.error is not None:
        code = Failure.of(job.error).code
        if code in (Code.DENIED, Code.UNAUTHENTICATED, Code.BUDGET_EXHAUSTED, Code.RATE_LIMITED):
            return _BY_CODE[code]
    return Exit.DENIED if job.state == "denied" else Exit.FAILED


def epilog() -> str:
    """For --help."""
    lines = [f"  {status.value:>3}  {meaning}" for status, meaning in MEANINGS.items()]
    return "exit status:\n" + "\n".join(lines)
