"""The calls about approvals: who may read which, who may answer, and that nobody answers for themselves."""

import hashlib

from msgspec.structs import replace

from penstock.contracts.approvals import (
    REASON_MAX_CHARACTERS,
    Answered,
    Approval,
    ApprovalAnswer,
    ApprovalListRequest,
    ApprovalPage,
    ApprovalRef,
)
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Entity, Reason
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims, Identities
from services.policy.admin import Admin
from services.policy.approvals.approver import MUST_BE_A_PERSON, NOT_A_MEMBER, OWN, groups_of, is_admin, is_own
from services.policy.approvals.life import answered
from services.policy.approvals.register import Kept, Register
from services.policy.approvals.text import reason
from services.policy.config import Config
from services.policy.rulebook import Rulebook

READ, ANSWER = "approval.read", "approval.answer"
PAGE_MAX = 200
TRIES_MAX = 8


class ApprovalHandlers:
    """Each is what an endpoint of main.py calls."""

    def __init__(
        self, register: Register, admin: Admin, rules: Rulebook, identities: Identities, clock: Clock, config: Config
    ) -> None:
        self._register = register
        self._admin = admin
        self._rules = rules
        self._identities = identities
        self._clock = clock
        self._config = config

    async def many(self, request: ApprovalListRequest, meta: Meta) -> ApprovalPage:
        """The newest first, of those that the caller asked for, may answer, or may see as an administrator."""
        async with self._admin.action(READ, Entity("Approval", "list"), meta) as claims:
            team = self._team(claims)
            found = [one for one in await self._register.all(claims.tenant) if _is_seen(one, claims, team)]
        return page(found, request)

    async def one(self, request: ApprovalRef, meta: Meta) -> Approval:
        """One as it stands. Another tenant's is not found."""
        approval = (await self._found(request.id, meta)).value.approval
        async with self._admin.action(READ, self._entity(approval, meta), _about(meta, approval)):
            return approval

    async def answer(self, request: ApprovalAnswer, meta: Meta) -> Approval:
        """The approval with the caller's answer in it. Raises CONFLICT when it was answered otherwise or is over."""
        why = reason(request.reason, REASON_MAX_CHARACTERS)
        entry = await self._found(request.id, meta)
        approval = entry.value.approval
        digest = hashlib.sha256(f"{request.answer}\n{why}".encode()).hexdigest()
        claims = self._identities.claims(meta)
        groups = groups_of(claims, self._team(claims), approval.groups)
        refusal = _refusal(approval, claims, groups)
        action = self._admin.action(
            ANSWER, self._entity(approval, meta), _about(meta, approval), digest=digest, refusal=refusal
        )
        async with action:
            said = Answered(claims.sub, request.answer == "approve", self._clock.now(), why, groups, claims.key)
            return await self._answered(entry, said, meta)

    async def _answered(self, entry: Kept, said: Answered, meta: Meta) -> Approval:
        for _ in range(TRIES_MAX):
            kept = answered(entry.value, said, self._config.approvals_usable_s)
            if kept is entry.value:
                return kept.approval
            try:
                return (await self._register.change(entry, kept)).value.approval
            except Failure as failure:
                if failure.code is not Code.CONFLICT:
                    raise
                # somebody was faster: what they made of it says whether this answer still counts
                entry = await self._found(entry.value.approval.id, meta)
        raise Failure(Code.OVERLOADED, "too many answers at once", retry_after_s=1.0)

    async def _found(self, id: str, meta: Meta) -> Kept:
        entry = await self._register.find(self._identities.claims(meta).tenant, id)
        if entry is None:
            raise Failure(Code.NOT_FOUND, "there is no such approval", param="id")
        return entry

    def _team(self, claims: Claims) -> str:
        key = self._rules.key_of(claims, self._clock.now())
        return key.team if key is not None else claims.team

    def _entity(self, approval: Approval, meta: Meta) -> Entity:
        claims = self._identities.claims(meta)
        return Entity(
            "Approval",
            approval.id,
            {
                "tenant": approval.tenant,
                "groups": list(approval.groups),
                "requester": approval.requester,
                "action": approval.action,
                "approver": bool(groups_of(claims, self._team(claims), approval.groups)),
                "own": is_own(claims, approval),
            },
        )


def page(approvals: list[Approval], request: ApprovalListRequest) -> ApprovalPage:
    """One page. A `before` that is not there (any more) begins at the newest."""
    limit = min(max(request.limit, 1), PAGE_MAX)
    ordered = sorted(approvals, key=lambda one: (one.created, one.id), reverse=True)
    start = next((place + 1 for place, one in enumerate(ordered) if one.id == request.before), 0)
    fitting = [one for one in ordered[start:] if request.state in ("", one.state)]
    return ApprovalPage(fitting[:limit], fitting[limit - 1].id if len(fitting) > limit else "")


def _is_seen(approval: Approval, claims: Claims, team: str) -> bool:
    return is_admin(claims) or is_own(claims, approval) or bool(groups_of(claims, team, approval.groups))


def _refusal(approval: Approval, claims: Claims, groups: tuple[str, ...]) -> Reason | None:
    """What no bundle can permit."""
    if claims.chain or claims.run:
        return MUST_BE_A_PERSON
    if is_own(claims, approval):
        return OWN
    return None if groups else NOT_A_MEMBER


def _about(meta: Meta, approval: Approval) -> Meta:
    """So that the answer stands in the trail of the job that it was given for."""
    return replace(meta, job=approval.job, step=approval.step)
