"""What travels beside every message, as NATS headers."""

import msgspec


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The caller's context. Services pass it on with `msgspec.structs.replace`, never invent it.

    request: id of the request at the edge (or of the job), the same through the whole chain.
    tenant: set by the server side only; what a tenant's client writes here is not believed.
    token: the transaction token (a signed JWT), minted by policy alone.
    deadline: Unix time in seconds after which nobody waits for the answer; 0 is none (a verb's own limit holds).
    traceparent: W3C trace context.
    idempotency_key: the same key twice has one effect.
    job, step: the job and its step that this action belongs to; empty for a direct call at the edge.
    epoch: the run's claim number; an executor refuses one lower than it has seen for that run.
    taint: labels of what the run has read that others wrote, sorted; set by who carries the run out.
    """

    request: str = ""
    tenant: str = ""
    token: str = ""
    deadline: float = 0.0
    traceparent: str = ""
    idempotency_key: str = ""
    job: str = ""
    step: str = ""
    epoch: int = 0
    taint: tuple[str, ...] = ()


REQUEST = "Penstock-Request"
TENANT = "Penstock-Tenant"
TOKEN = "Penstock-Token"
DEADLINE = "Penstock-Deadline"
TRACEPARENT = "traceparent"
IDEMPOTENCY_KEY = "Penstock-Idempotency-Key"
JOB = "Penstock-Job"
STEP = "Penstock-Step"
EPOCH = "Penstock-Epoch"
TAINT = "Penstock-Taint"

BLOB = "Penstock-Blob"
"""The body is elsewhere: `<blob id>:<bytes>`."""
PARTS = "Penstock-Parts"
"""The reply's body came in so many messages before this one, to the reply subject with `.p` after it, in order."""
EVENT_ID = "Penstock-Event"
"""Id of a journal event, fixed before its first try."""
ERROR_CODE = "Nats-Service-Error-Code"
ERROR = "Nats-Service-Error"
