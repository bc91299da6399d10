"""Approvals: actions that a policy holds until people have answered, and what is told of them."""

from typing import Literal

import msgspec

from penstock.contracts.policy import Fact

ApprovalState = Literal["pending", "approved", "denied", "expired", "used"]
ApprovalEventType = Literal["asked", "reminder", "approved", "denied", "expired", "used"]
ANSWERED: frozenset[str] = frozenset({"approved", "denied", "expired"})
"""Events after which a run that waits goes on."""
REASON_MAX_CHARACTERS = 1000


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one person said: `by` their identity, `key` the id of their API key, `groups` those they answered for.
    `time` in Unix seconds."""

    by: str
    approved: bool
    time: float
    reason: str = ""
    groups: tuple[str, ...] = ()
    key: str = ""


class Approval(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action of one caller that waits for people, or waited. Times in Unix seconds.

    `digest` binds it to exactly what is asked: tenant, requester, chain, run, action, resource, arguments and groups;
    `arguments_digest` is the question's. `resource` in Cedar's spelling. `groups` must each approve; one denial denies.
    `until`: when it expires without an answer; `usable_until`: until when an approved action may be done, once.
    `summary` and `facts` are what an approver may read of the arguments, cut and without personal data and secrets.
    """

    id: str
    tenant: str
    state: ApprovalState
    action: str
    resource: str
    requester: str
    groups: tuple[str, ...]
    digest: str
    created: float
    until: float
    arguments_digest: str = ""
    chain: tuple[str, ...] = ()
    key: str = ""
    run: str = ""
    job: str = ""
    step: str = ""
    reasons: tuple[str, ...] = ()
    summary: str = ""
    facts: dict[str, Fact] = {}
    answers: tuple[Answered, ...] = ()
    usable_until: float = 0.0


class KeptApproval(msgspec.Struct, frozen=True, omit_defaults=True):
    """As it stands in the bucket. `round`: how often this very thing was asked for; `told`: the state that was told
    last; `reminded`: reminders sent; `attempt`, `work`: what it was used for, and for which step of which run; `uses`:
    how often its use was taken, by them."""

    approval: Approval
    round: int = 0
    told: str = ""
    reminded: int = 0
    attempt: str = ""
    work: str = ""
    uses: int = 0


class ApprovalEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One moment of an approval's life, told to its tenant; it says nothing of the arguments. At least once."""

    approval: str
    type: ApprovalEventType
    time: float
    action: str
    resource: str
    requester: str
    groups: tuple[str, ...]
    until: float
    chain: tuple[str, ...] = ()
    run: str = ""
    job: str = ""
    step: str = ""
    by: tuple[str, ...] = ()
    reason: str = ""


class ApprovalListRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest first; `state` "" is all; `before` is the id that ended the page before."""

    state: str = ""
    limit: int = 50
    before: str = ""


class ApprovalPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the caller asked for, may answer, or may read as an administrator. `next`: give it as `before`."""

    approvals: list[Approval]
    next: str = ""


class ApprovalRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One approval of the caller's tenant. Another tenant's is simply not found."""

    id: str


class ApprovalAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same answer of the same person twice is one answer."""

    id: str
    answer: Literal["approve", "deny"]
    reason: str = ""
