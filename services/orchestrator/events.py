"""What a journal tells the job's submitter: a public event for each journal event that concerns them. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from penstock.contracts.errors import FailureBody
from penstock.contracts.jobs import JobEvent
from penstock.contracts.runs import (
    AnyRunEvent,
    Blocked,
    Cancelled,
    Claimed,
    Completed,
    Created,
    Failed,
    Held,
    StepDone,
    StepFailed,
    Waiting,
)
from services.orchestrator.fold import REFUSED_BY_POLICY, RunState, is_told


def job_event(run: RunState, event: AnyRunEvent) -> JobEvent | None:
    """The public event of `event`, the last that `run` took; None when it tells nothing.

    The numbers are the journal's own order, so that whoever tells it, and however often, it is the same event.
    """
    if run.created is None or not is_told(event):
        return None
    blank = JobEvent(job=run.created.job.id, n=run.told - 1, type="", time=event.time, epoch=run.epoch)
    return _fill(run, event, blank)


def job_events(events: Iterable[tuple[int, AnyRunEvent]]) -> Iterator[JobEvent]:
    """All public events of a journal, in order."""
    run = RunState()
    for sequence, event in events:
        run.apply(sequence, event)
        told = job_event(run, event)
        if told is not None:
            yield told


def _fill(run: RunState, event: AnyRunEvent, blank: JobEvent) -> JobEvent:
    change = msgspec.structs.replace
    match event:
        case Created():
            return change(blank, type="accepted", detail=event.job.kind)
        case Claimed():
            again = run.claims > 1
            return change(blank, type="started", replayed=again, detail="taken over" if again else "")
        case Waiting():
            return change(blank, type="waiting", detail=event.why)
        case Held():
            held = change(blank, type="waiting", step=event.step, name=event.name, detail=event.why)
            return change(held, approval=event.approval, decision=event.decision)
        case Blocked():
            return change(blank, type="blocked", name=event.reason, detail=event.detail)
        case StepDone() | StepFailed():
            return _fill_step(event, blank)
        case Completed() | Failed() | Cancelled():
            return _fill_end(event, blank)
    return blank


def _fill_step(event: StepDone | StepFailed, blank: JobEvent) -> JobEvent:
    named = msgspec.structs.replace(blank, step=event.step, name=event.name, error=event.error)
    if isinstance(event, StepFailed):
        return msgspec.structs.replace(
            named, type="step_failed", detail=f"try {event.tries} failed, will be tried again"
        )
    return msgspec.structs.replace(
        named,
        type="step",
        usage=event.usage,
        cost_nano=event.cost_nano,
        attempt=event.attempt,
        decision=event.decision or (event.error.decision if event.error else ""),
    )


def _fill_end(event: Completed | Failed | Cancelled, blank: JobEvent) -> JobEvent:
    counted = msgspec.structs.replace(blank, usage=event.usage, cost_nano=event.cost_nano)
    match event:
        case Completed(output_blob=blob) if blob:
            return msgspec.structs.replace(counted, type="completed", detail="the output is large: ask for the job")
        case Completed(output=output):
            return msgspec.structs.replace(counted, type="completed", output=output)
        case Failed(error=error):
            type = "denied" if error.code in REFUSED_BY_POLICY else "failed"
            return msgspec.structs.replace(counted, type=type, error=error, decision=error.decision)
        case Cancelled(by=by):
            return msgspec.structs.replace(counted, type="cancelled", detail=f"by {by}" if by else "")


def refusal(job: str, error: FailureBody, now: float) -> JobEvent:
    """The one event of a job that was never accepted."""
    type = "denied" if error.code in REFUSED_BY_POLICY else "refused"
    return JobEvent(job=job, n=0, type=type, time=now, error=error, detail=error.detail, decision=error.decision)
