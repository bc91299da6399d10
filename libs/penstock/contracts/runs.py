"""The run journal's events, and the inputs that wake a run (design: journaled coroutine)."""

import msgspec

from penstock.contracts.errors import FailureBody
from penstock.contracts.jobs import NO_JSON, Job
from penstock.contracts.llm import Usage
from penstock.contracts.tools import Effect


class RunEvent(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", kw_only=True):
    """`n` counts 0, 1, 2 … in the journal, `time` is Unix seconds."""

    n: int
    time: float


class Created(RunEvent, frozen=True, tag="created"):
    """The run exists. `token` is its own transaction token, narrowed by policy. `job.input` is null and stands under
    `input_blob` when it is too large for the journal. `digest` stands for the whole job: the same id with another job
    is a conflict."""

    run: str
    tenant: str
    subject: str
    job: Job
    token: str
    revision: str
    deadline: float
    traceparent: str = ""
    input_blob: str = ""
    digest: str = ""


class Claimed(RunEvent, frozen=True, tag="claimed"):
    """A worker took the run; this event's stream sequence is the epoch."""

    worker: str
    revision: str


class StepStarted(RunEvent, frozen=True, tag="step_started"):
    """Written first for a step whose effect is `once`."""

    step: str
    key: str
    effect: Effect


class StepDone(RunEvent, frozen=True, tag="step_done"):
    """`result` is what the function sees on replay, in line up to 200 KiB, otherwise under `blob`. `taint`: labels that
    the run bears from here on, since others wrote what it has read."""

    step: str
    name: str
    arguments_hash: str
    result: msgspec.Raw = NO_JSON
    blob: str = ""
    error: FailureBody | None = None
    usage: Usage = Usage()
    cost_nano: int = 0
    attempt: str = ""
    decision: str = ""
    taint: tuple[str, ...] = ()


class StepFailed(RunEvent, frozen=True, tag="step_failed"):
    """One try that will be made again at `next_at` (Unix seconds)."""

    step: str
    name: str
    error: FailureBody
    tries: int
    next_at: float


class Waiting(RunEvent, frozen=True, tag="waiting"):
    """The run sleeps until one of `inputs` (kind.id) comes."""

    inputs: list[str]
    why: str = ""


class Held(RunEvent, frozen=True, tag="held"):
    """A step waits for people: `approval` is what they answer, `why` what policy says of it."""

    step: str
    name: str
    approval: str
    why: str = ""
    decision: str = ""


class InputTaken(RunEvent, frozen=True, tag="input_taken"):
    """An input was used."""

    kind: str
    id: str
    body: msgspec.Raw = NO_JSON


class Blocked(RunEvent, frozen=True, tag="blocked"):
    """The run cannot go on without a person: unknown_outcome, poison, nondeterminism."""

    reason: str
    detail: str = ""


class Completed(RunEvent, frozen=True, tag="completed"):
    """The end, with the run's output: null, and under `output_blob`, when it is too large for the journal."""

    output: msgspec.Raw
    usage: Usage = Usage()
    cost_nano: int = 0
    output_blob: str = ""


class Failed(RunEvent, frozen=True, tag="failed"):
    """The end, with its reason; `denied` and `budget_exhausted` among them."""

    error: FailureBody
    usage: Usage = Usage()
    cost_nano: int = 0


class Cancelled(RunEvent, frozen=True, tag="cancelled"):
    """The end, as asked by `by`."""

    by: str = ""
    usage: Usage = Usage()
    cost_nano: int = 0


AnyRunEvent = (
    Created
    | Claimed
    | StepStarted
    | StepDone
    | StepFailed
    | Waiting
    | Held
    | InputTaken
    | Blocked
    | Completed
    | Failed
    | Cancelled
)


class RunInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What wakes a run: its subject says the kind (start, cancel, signal, timer, child, tool, approval) and its id."""

    run: str
    kind: str
    id: str
    by: str = ""
    body: msgspec.Raw = NO_JSON


class InputTakenReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The owner of the run has the input in hand."""

    taken: bool
