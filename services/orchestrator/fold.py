"""What a run is, as a fold of its journal. Pure: the same events give the same state, wherever they are read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from penstock.contracts.errors import Code, FailureBody
from penstock.contracts.jobs import NO_JSON, JobView, State
from penstock.contracts.llm import Usage
from penstock.contracts.runs import (
    AnyRunEvent,
    Blocked,
    Cancelled,
    Claimed,
    Completed,
    Created,
    Failed,
    Held,
    InputTaken,
    StepDone,
    StepFailed,
    StepStarted,
    Waiting,
)

REFUSED_BY_POLICY = frozenset({"denied", "approval_required"})
"""Codes with which a run that ends is `denied` and not `failed`."""

APPROVAL = "approval"
"""The kind of input that says what people answered."""

End = Completed | Failed | Cancelled


class JournalDamaged(Exception):
    """An event that cannot follow what stands before it: a gap, or something after the end."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"journal event at sequence {sequence}: {why}")


@dataclass(slots=True)
class RunState:
    """A run as its journal tells it.

    `worker` carries it out now, as far as the journal knows, "" for nobody; `epoch` is the sequence of the last claim;
    `claims_in_vain` counts claims since a step was last done, but for those that were handed over; `tries` the failed
    tries of each step; `open` the steps of effect `once` that began and have no result; `held` what each step waits for
    that people must approve; `answers` the inputs that say what they answered, by approval; `told` how many of the
    events were events of the job too; `taint` the labels of what others wrote and it has read.
    """

    created: Created | None = None
    sequence: int = 0
    n: int = 0
    told: int = 0
    epoch: int = 0
    worker: str = ""
    claims: int = 0
    claims_in_vain: int = 0
    done: dict[str, StepDone] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    open: dict[str, StepStarted] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    answers: dict[str, InputTaken] = field(default_factory=dict)
    waiting: Waiting | None = None
    blocked: Blocked | None = None
    end: End | None = None
    usage: Usage = field(default_factory=Usage)
    cost_nano: int = 0
    taint: frozenset[str] = frozenset()
    updated: float = 0.0

    @property
    def awaited(self) -> tuple[str, ...]:
        """The approvals that nobody has answered yet, as far as the journal knows."""
        return tuple(one.approval for one in self.held.values() if one.approval not in self.answers)

    def apply(self, sequence: int, event: AnyRunEvent) -> None:
        """The state after this event, which stands at `sequence` in the stream. Raises JournalDamaged."""
        if event.n != self.n:
            raise JournalDamaged(sequence, f"number {event.n} where {self.n} was due")
        if self.end is not None:
            raise JournalDamaged(sequence, "the run had ended")
        if (self.created is None) != isinstance(event, Created):
            raise JournalDamaged(sequence, "a journal begins with `created`, once")
        self._take(sequence, event)
        self.sequence = sequence
        self.n += 1
        self.told += is_told(event)
        self.updated = event.time

    def _take(self, sequence: int, event: AnyRunEvent) -> None:
        match event:
            case Created():
                self.created = event
            case Claimed():
                self.epoch, self.worker = sequence, event.worker
                self.claims += 1
                self.claims_in_vain += 1
                self.waiting = self.blocked = None
            case StepStarted():
                self.open[event.step] = event
            case StepDone():
                self._step_done(event)
            case StepFailed():
                self.open.pop(event.step, None)
                self.tries[event.step] = event.tries
            case Waiting() | Held() | InputTaken():
                self._take_wait(event)
            case Blocked():
                self.blocked = event
            case Completed() | Failed() | Cancelled():
                self.end = event

    def _take_wait(self, event: Waiting | Held | InputTaken) -> None:
        match event:
            case Waiting():
                self.waiting, self.worker = event, ""
                self.claims_in_vain = max(self.claims_in_vain - 1, 0)
            case Held():
                self.held[event.step] = event
                self.open.pop(event.step, None)
                self.claims_in_vain = 0
            case InputTaken():
                self.claims_in_vain = 0
                if event.kind == APPROVAL:
                    self.answers[event.id] = event

    def _step_done(self, event: StepDone) -> None:
        self.done[event.step] = event
        self.open.pop(event.step, None)
        self.held.pop(event.step, None)
        self.claims_in_vain = 0
        self.taint |= frozenset(event.taint)
        self.usage = self.usage.plus(event.usage)
        self.cost_nano += max(event.cost_nano, 0)  # -1: the price is not known


def fold(events: Iterable[tuple[int, AnyRunEvent]]) -> RunState:
    """The state after all these events, each with its sequence. Raises JournalDamaged."""
    state = RunState()
    for sequence, event in events:
        state.apply(sequence, event)
    return state


def is_told(event: AnyRunEvent) -> bool:
    """Whether this event is one of the job's public events too. Never change it: it numbers the job's events."""
    return not isinstance(event, StepStarted | InputTaken)


def state_name(run: RunState) -> State:
    """The job's state in one word."""
    match run.end:
        case Completed():
            return "completed"
        case Cancelled():
            return "cancelled"
        case Failed(error=error):
            return "denied" if error.code in REFUSED_BY_POLICY else "failed"
    if run.blocked is not None:
        return "blocked"
    if run.waiting is not None or run.awaited:
        return "waiting"
    return "running" if run.claims else "accepted"


def blocked_error(blocked: Blocked) -> FailureBody:
    """Why the run waits for a person, as a failure."""
    unknown = blocked.reason == "unknown_outcome"
    return FailureBody(Code.UNKNOWN_OUTCOME if unknown else Code.INTERNAL, f"{blocked.reason}: {blocked.detail}")


def view(run: RunState) -> JobView:
    """The job as its submitter sees it. Only of a run that was created."""
    created = run.created
    if created is None:
        raise JournalDamaged(run.sequence, "there is no run")
    error: FailureBody | None = None
    if isinstance(run.end, Failed):
        error = run.end.error
    elif run.blocked is not None and run.end is None:
        error = blocked_error(run.blocked)
    return JobView(
        id=created.job.id,
        kind=created.job.kind,
        state=state_name(run),
        created=created.time,
        updated=run.updated,
        agent=created.job.agent,
        steps=len(run.done),
        usage=run.usage,
        cost_nano=run.cost_nano,
        output=run.end.output if isinstance(run.end, Completed) and not run.end.output_blob else NO_JSON,
        error=error,
        labels=created.job.labels,
        epoch=run.epoch,
        subject=created.subject,
        approvals=run.awaited if run.end is None else (),
    )
