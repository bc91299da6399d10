"""The public contract: jobs, their events and their live tokens."""

from typing import Literal

import msgspec

from penstock.contracts.errors import FailureBody
from penstock.contracts.llm import Usage

Kind = Literal["agent", "chat", "tool", "retrieve", "ingest"]
State = Literal["accepted", "running", "waiting", "blocked", "completed", "failed", "denied", "cancelled"]
FINAL: frozenset[str] = frozenset({"completed", "failed", "denied", "cancelled"})
MAX_LABELS = 16
NO_JSON = msgspec.Raw()
"""Stands where there is no JSON value, and is false; never written. (`Raw | None` cannot be decoded.)"""


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the whole job may use: dollars and tokens; 0 is no limit of its own (the accounts above it still hold)."""

    usd: float = 0.0
    tokens: int = 0


class Job(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a user asks for. `input` by kind: chat: a string or {"messages": [...], and any other field of an OpenAI
    chat request}; agent: a string or {"messages": [...]}; tool: the arguments object; retrieve: a string or
    {"query", "limit"}; ingest: {"source", "text", "title"?}. Unknown fields are refused: a misspelt limit must not
    be ignored.
    """

    kind: Kind
    input: msgspec.Raw
    id: str = ""
    agent: str = ""
    model: str = ""
    tool: str = ""
    session: str = ""
    collection: str = ""
    budget: Budget = Budget()
    deadline_s: float = 0.0
    idempotency_key: str = ""
    labels: dict[str, str] = {}


class Submitted(msgspec.Struct, frozen=True, omit_defaults=True):
    """`duplicate`: this key was submitted before, and this is that job."""

    id: str
    duplicate: bool = False


class Queued(msgspec.Struct, frozen=True, omit_defaults=True):
    """A published job is on disk and waits to be admitted; nobody has read it yet. In the form of JetStream's own
    acknowledgement, which clients' publishing functions understand. `duplicate`: its message id was there before."""

    stream: str
    seq: int
    duplicate: bool = False


class JobRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job of the caller's tenant. Another tenant's id is simply not found."""

    id: str


class JobView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as it stands. Times in Unix seconds. `output`: {"text", ...} for chat and agent, else the result.
    `approvals`: those that it waits for."""

    id: str
    kind: str
    state: State
    created: float
    updated: float
    agent: str = ""
    steps: int = 0
    usage: Usage = Usage()
    cost_nano: int = 0
    output: msgspec.Raw = NO_JSON
    error: FailureBody | None = None
    labels: dict[str, str] = {}
    epoch: int = 0
    subject: str = ""
    approvals: tuple[str, ...] = ()


class JobListRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest first; `before` is the id that ended the page before."""

    limit: int = 20
    before: str = ""
    state: str = ""


class JobPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`next`: give it as `before` for the next page; empty at the end."""

    jobs: list[JobView]
    next: str = ""


class JobEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One moment of a job's life. `n` counts 0, 1, 2 … within the job: a gap or a repeat is visible.

    `type`: accepted, started, step, step_failed, waiting, blocked, completed, failed, denied, cancelled, refused.
    `refused`: the job was never accepted (`error` says why). `approval`: what a step waits for.
    """

    job: str
    n: int
    type: str
    time: float
    step: str = ""
    name: str = ""
    detail: str = ""
    output: msgspec.Raw = NO_JSON
    error: FailureBody | None = None
    usage: Usage = Usage()
    cost_nano: int = 0
    attempt: str = ""
    decision: str = ""
    epoch: int = 0
    replayed: bool = False
    approval: str = ""


class TokenFrame(msgspec.Struct, frozen=True, omit_defaults=True):
    """Model output as it comes. `seq` counts within the step from 0; a step that is tried again starts again at 0 with
    a higher `try_number`, and what the earlier try showed is void. `last` closes the step."""

    job: str
    step: str
    seq: int
    text: str = ""
    try_number: int = 0
    last: bool = False


class JobEventsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened in a job after event number `after` (-1: from the start). The live events come on its subject; this
    is how a reader who came late, or lost some, catches up: a tenant's client may not read the stream itself."""

    id: str
    after: int = -1
    limit: int = 500


class JobEvents(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events in order of `n`."""

    events: list[JobEvent]


class JobTokensRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The frames of one step of a job after `after_seq`, for as long as the short-lived stream keeps them. Without
    `step`: all that is kept."""

    id: str
    step: str = ""
    after_seq: int = -1
    limit: int = 2000


class JobTokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Frames in the order in which they were published."""

    frames: list[TokenFrame]


class TokenRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """An API key to exchange for a short-lived token that may stand in a stored job's `Authorization` header."""

    api_key: str


class TokenReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """`expires` in Unix seconds."""

    token: str
    tenant: str
    expires: float
