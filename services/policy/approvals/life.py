"""The life of one approval: pending, then approved, denied or expired; what is approved is used once. Pure.

Time is Unix seconds and an argument. A state that is final stays: a clock that jumps can end an approval too early, and
never bring one back.
"""

import hashlib
from enum import Enum, auto

import msgspec
from msgspec.structs import replace

from penstock.contracts.approvals import Answered, Approval, ApprovalEvent, ApprovalEventType, KeptApproval
from penstock.contracts.errors import Code, Failure

LATE_SHARE = 0.9
"""Of an approval's time: then its approvers are reminded for the second time, after the first at half of it."""
OPEN = frozenset({"pending", "approved"})


class Standing(Enum):
    """What an approval means for whoever asks again: `NEW` none does, ask anew."""

    PENDING = auto()
    DENIED = auto()
    USABLE = auto()
    OURS = auto()
    NEW = auto()


class Bond(msgspec.Struct, frozen=True):
    """Exactly what is approved. Anything else is another approval."""

    tenant: str
    requester: str
    chain: tuple[str, ...]
    key: str
    run: str
    action: str
    kind: str
    resource: str
    arguments_digest: str
    groups: tuple[str, ...]

    def digest(self) -> str:
        """32 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]


def approval_id(digest: str, round: int) -> str:
    """Each time the same is asked for anew, it is another approval."""
    return f"apr_{digest}_{round}"


def digest_in(id: str) -> str:
    """The digest that an id was made of; "" for what is no id of an approval."""
    parts = id.split("_")
    fits = len(parts) == 3 and parts[0] == "apr" and len(parts[1]) == 32 and parts[1].isalnum() and parts[2].isdigit()
    return parts[1] if fits and id.isascii() else ""


def standing(kept: KeptApproval, attempt: str, work: str, now: float) -> Standing:
    """`attempt` and `work` are those of who asks: what was used for them is still theirs, should the answer be lost."""
    approval = kept.approval
    match approval.state:
        case "pending" if now < approval.until:
            return Standing.PENDING
        case "denied" if now < approval.until:
            return Standing.DENIED
        case "approved" if now < approval.usable_until:
            return Standing.USABLE
        case "used" if kept.attempt == attempt or (work and kept.work == work):
            return Standing.OURS
    return Standing.NEW


def due(kept: KeptApproval, now: float) -> KeptApproval | None:
    """As it is once its time is over; None while it is not."""
    approval = kept.approval
    ends = {"pending": approval.until, "approved": approval.usable_until}.get(approval.state)
    if ends is None or now < ends:
        return None
    return replace(kept, approval=replace(approval, state="expired"))


def reminders_due(approval: Approval, now: float) -> int:
    """How many reminders should have been sent by now."""
    if approval.state != "pending":
        return 0
    share = (now - approval.created) / max(approval.until - approval.created, 1e-9)
    return (share >= 0.5) + (share >= LATE_SHARE)


def answered(kept: KeptApproval, answer: Answered, usable_s: float) -> KeptApproval:
    """With one more answer. The same again changes nothing. Raises Failure(CONFLICT) when it is not to be answered."""
    approval = kept.approval
    before = next((one for one in approval.answers if one.by == answer.by), None)
    if before is not None and before.approved == answer.approved and approval.state != "expired":
        return kept
    if approval.state != "pending" or answer.time >= approval.until:
        raise Failure(Code.CONFLICT, _over(approval), param="id")
    if before is not None:
        raise Failure(Code.CONFLICT, "you have answered this already, and said something else", param="answer")
    answers = (*approval.answers, answer)
    if not answer.approved:
        return replace(kept, approval=replace(approval, answers=answers, state="denied"))
    if set(approval.groups) - {group for one in answers for group in one.groups}:
        return replace(kept, approval=replace(approval, answers=answers))
    done = replace(approval, answers=answers, state="approved", usable_until=answer.time + usable_s)
    return replace(kept, approval=done)


def used(kept: KeptApproval, attempt: str, work: str) -> KeptApproval:
    """Its one use is taken, by this attempt."""
    return replace(kept, approval=replace(kept.approval, state="used"), attempt=attempt, work=work, uses=kept.uses + 1)


def given_back(kept: KeptApproval, taken: KeptApproval) -> KeptApproval | None:
    """Not used after all. None when it was taken again since, for the same attempt or step: then it is used."""
    if kept.approval.state != "used" or kept.uses != taken.uses:
        return None
    return replace(kept, approval=replace(kept.approval, state="approved"), attempt="", work="", told="approved")


def untold(kept: KeptApproval) -> list[ApprovalEventType]:
    """What is still to be told of it, in order."""
    state = kept.approval.state
    if kept.told == state:
        return []
    events: list[ApprovalEventType] = [] if kept.told else ["asked"]
    if state == "used" and kept.told in ("", "pending"):
        events.append("approved")
    return events if state == "pending" else [*events, state]


def event(approval: Approval, type: ApprovalEventType, time: float) -> ApprovalEvent:
    """What its tenant is told."""
    last = approval.answers[-1] if approval.answers else None
    return ApprovalEvent(
        approval=approval.id,
        type=type,
        time=time,
        action=approval.action,
        resource=approval.resource,
        requester=approval.requester,
        groups=approval.groups,
        until=approval.until,
        chain=approval.chain,
        run=approval.run,
        job=approval.job,
        step=approval.step,
        by=tuple(one.by for one in approval.answers),
        reason=last.reason if last is not None else "",
    )


def denial(approval: Approval) -> str:
    """Why, in a sentence for whoever asked."""
    last = approval.answers[-1]
    return f"{last.by} said no{f': {last.reason}' if last.reason else ''}"


def _over(approval: Approval) -> str:
    match approval.state:
        case "expired" | "pending":
            return "this approval has expired"
        case "denied":
            return f"this is answered: {denial(approval)}"
        case _:
            return f"this is answered: approved by {' and '.join(one.by for one in approval.answers)}"
