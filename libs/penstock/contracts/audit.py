"""The two linked records of every action, in a CloudEvents 1.0 envelope, and the queries over them."""

import msgspec

from penstock.contracts.llm import Usage
from penstock.contracts.policy import EffectName, Fact, Reason

DECISION = "penstock.decision.v1"
OUTCOME = "penstock.outcome.v1"


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    """`origin`: human or workload at the start; `chain`: agents acting for it, last is outermost; `key`: a key's id."""

    origin: str
    chain: tuple[str, ...] = ()
    key: str = ""


class DecisionRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Written before the action may start. From `at` on: what the policies could look at, so that it can be explained
    and asked again; never content, and bounded.

    `at`: when it was asked, Unix seconds (0: by an older version, which kept none of this). `properties`: the
    resource's; `facts`: the question's; `cost_nano`, `tokens`: the worst case that was told. `withheld`: names of
    facts that are cut or left out here. `approval`: what it waits for, was refused by or is permitted by; `approvers`:
    who approved it. `txn`: the transaction at the origin; `lineage`: the runs from the outermost to `run`.
    """

    decision: str
    attempt: str
    effect: EffectName
    who: Who
    action: str
    resource: str
    bundle: str
    code: str = ""
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[str, ...] = ()
    arguments_digest: str = ""
    accounts: tuple[str, ...] = ()
    reserved_nano: int = 0
    reserved_tokens: int = 0
    reserved_requests: int = 0
    reserved_slots: int = 0
    outcome_due: float = 0.0
    request: str = ""
    job: str = ""
    step: str = ""
    traceparent: str = ""
    at: float = 0.0
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    team: str = ""
    run: str = ""
    properties: dict[str, Fact] = {}
    facts: dict[str, Fact] = {}
    cost_nano: int = 0
    tokens: int = 0
    withheld: tuple[str, ...] = ()
    approval: str = ""
    approvers: tuple[str, ...] = ()
    txn: str = ""
    lineage: tuple[str, ...] = ()


class OutcomeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Written when the action is over. `status`: ok, error, cancelled, unknown. Never a prompt, a result or a key.

    Of a model call: `surface` and `wire` are the caller's protocol and the provider's, `losses` the fields that a
    translation between them did not carry, `reason` why this deployment was chosen, `cached` "exact", "semantic" or
    "shared" for an answer that no provider gave, `saved_nano` what it would have cost, `template` the prompt template
    as name@version. `applied`: what was done for the permit's obligations, and how often; never a value. `who`, `run`,
    `txn`: as in the decision (None: by an older version, which did not say it twice).
    """

    decision: str
    attempt: str
    status: str
    action: str = ""
    resource: str = ""
    code: str = ""
    usage: Usage = Usage()
    cost_nano: int = 0
    price_version: str = ""
    result_digest: str = ""
    latency_ms: float = 0.0
    deployment: str = ""
    request: str = ""
    job: str = ""
    step: str = ""
    traceparent: str = ""
    surface: str = ""
    wire: str = ""
    losses: tuple[str, ...] = ()
    reason: str = ""
    cached: str = ""
    saved_nano: int = 0
    template: str = ""
    applied: dict[str, int] = {}
    who: Who | None = None
    run: str = ""
    txn: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """CloudEvents envelope. `source` is the service, `subject` the attempt, `time` RFC 3339 UTC, `data` a
    DecisionRecord or an OutcomeRecord by `type`. `tenant` is an extension attribute."""

    id: str
    source: str
    type: str
    time: str
    tenant: str
    data: msgspec.Raw
    subject: str = ""
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One append to the audit stream: the records that gathered while the append before it was on its way."""

    records: list[Record]


class TrailRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything recorded for one job or one request, in the log's order."""

    job: str = ""
    request: str = ""
    limit: int = 1000


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record and its place: `index` in the log, the stream's `sequence`, and the leaf's `hash` (hex)."""

    index: int
    sequence: int
    hash: str
    record: Record


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    """`orphans`: decisions (ids) whose outcome is overdue."""

    entries: list[Entry]
    orphans: tuple[str, ...] = ()
    truncated: bool = False


class VerifyRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Checks the log that the service keeps."""


class Verified(msgspec.Struct, frozen=True, omit_defaults=True):
    """`problems` is empty when the log is whole; each names what is wrong and where."""

    records: int
    root: str
    signed_by: str
    problems: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
