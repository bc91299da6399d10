"""What a held question gets: a new approval, the one that it has already, or leave to be done once."""

import asyncio
from contextlib import suppress

from msgspec.structs import replace

from penstock.bus import Fenced
from penstock.contracts.approvals import Approval, KeptApproval
from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Reason
from penstock.kit.clock import Clock
from penstock.kit.facts import resource_name
from penstock.kit.metrics import Metrics
from services.policy.approvals.life import Bond, Standing, approval_id, denial, given_back, standing, used
from services.policy.approvals.register import Kept, Register
from services.policy.approvals.shown import shown_facts, shown_input
from services.policy.approvals.text import plain
from services.policy.config import Config
from services.policy.recorded import Asked
from services.policy.rules.decide import Verdict, refuse

TRIES_MAX = 5
REASON_MAX = 300
APPROVAL = "approval"
"""The policy's name in reasons that come from approvals."""


class Holding:
    """Asked after the policies: they decide first, every time, and a forbid that came meanwhile wins."""

    def __init__(self, register: Register, clock: Clock, metrics: Metrics, config: Config) -> None:
        self._register = register
        self._clock = clock
        self._metrics = metrics
        self._config = config

    async def settle(self, asked: Asked, verdict: Verdict) -> tuple[Verdict, Kept | None]:
        """What becomes of a verdict that holds, and the approval whose one use is taken: `give_back` it if nothing
        comes of it. Raises Failure(UNAVAILABLE) when approvals cannot be read or kept."""
        bond = _bond(asked, verdict)
        try:
            async with asyncio.timeout(self._config.record_timeout_s):
                for _ in range(TRIES_MAX):
                    try:
                        return await self._settled(bond, asked, verdict)
                    except Failure as failure:
                        if failure.code is not Code.CONFLICT:
                            raise
        except (Failure, TimeoutError) as error:
            raise _unavailable() from error
        raise _unavailable()

    async def give_back(self, taken: Kept) -> None:
        """Nothing came of it: what was approved may still be done. Never raises."""
        approval = taken.value.approval
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(self._config.record_timeout_s):
                for _ in range(TRIES_MAX):
                    entry = await self._register.current(approval.tenant, approval.digest)
                    if entry is None or entry.value.approval.id != approval.id:
                        return
                    back = given_back(entry.value, taken.value)
                    if back is None:
                        return
                    with suppress(Fenced):
                        await self._register.change(entry, back)
                        return

    async def _settled(self, bond: Bond, asked: Asked, verdict: Verdict) -> tuple[Verdict, Kept | None]:
        """Raises Failure(CONFLICT) when somebody else was faster: look again."""
        digest = bond.digest()
        entry = await self._register.current(bond.tenant, digest)
        now, attempt, work = self._clock.now(), asked.question.attempt, _work(asked)
        match standing(entry.value, attempt, work, now) if entry is not None else Standing.NEW:
            case Standing.PENDING if entry is not None:
                return _held(verdict, entry.value.approval), None
            case Standing.DENIED if entry is not None:
                return _denied(entry.value.approval), None
            case Standing.OURS | Standing.USABLE if entry is not None:
                taken = await self._register.change(entry, used(entry.value, attempt, work))
                return _permitted(verdict, taken.value.approval), taken
        if self._register.waiting(bond.tenant) >= self._config.approvals_pending_max:
            most = self._config.approvals_pending_max
            self._metrics.approvals.add("refused")
            why = f"{most} approvals wait already: no more can be asked for until some are answered"
            return refuse(Code.RATE_LIMITED, Reason(APPROVAL, why)), None
        new = await self._register.begin(entry, self._new(bond, digest, entry, asked, verdict, now))
        return _held(verdict, new.value.approval), None

    def _new(
        self, bond: Bond, digest: str, before: Kept | None, asked: Asked, verdict: Verdict, now: float
    ) -> KeptApproval:
        round = before.value.round + 1 if before is not None else 0
        life_s = min(verdict.approval_s or self._config.approvals_expire_s, self._config.approvals_expire_max_s)
        # a run ends with its token: nobody could use the answer
        until = min(now + life_s, asked.claims.exp) if asked.claims.run else now + life_s
        return KeptApproval(
            Approval(
                id=approval_id(digest, round),
                tenant=bond.tenant,
                state="pending",
                action=bond.action,
                resource=plain(resource_name(asked.question), REASON_MAX),
                requester=bond.requester,
                groups=bond.groups,
                digest=digest,
                created=now,
                until=until,
                arguments_digest=bond.arguments_digest,
                chain=bond.chain,
                key=bond.key,
                run=bond.run,
                job=asked.meta.job,
                step=asked.meta.step,
                reasons=tuple(plain(why.text, REASON_MAX) for why in verdict.reasons),
                summary=shown_input(asked.question) if self._config.approvals_keep_arguments else "",
                facts=shown_facts(asked.question),
            ),
            round=round,
        )


def _bond(asked: Asked, verdict: Verdict) -> Bond:
    claims, question = asked.claims, asked.question
    return Bond(
        claims.tenant,
        claims.sub,
        claims.chain,
        claims.key,
        claims.run,
        question.action.name,
        question.resource.type,
        question.resource.id,
        question.arguments_digest,
        tuple(sorted(verdict.groups)),
    )


def _work(asked: Asked) -> str:
    """A run's step is done once, however often it is tried: its journal and the executors' ledgers see to it. What a
    direct caller sends twice is two calls, whatever they name them."""
    claims, meta = asked.claims, asked.meta
    return f"{claims.run}/{meta.step}" if claims.run and meta.step else ""


def _held(verdict: Verdict, approval: Approval) -> Verdict:
    return replace(verdict, approval=approval.id)


def _denied(approval: Approval) -> Verdict:
    return replace(refuse(Code.DENIED, Reason(APPROVAL, denial(approval))), approval=approval.id)


def _permitted(verdict: Verdict, approval: Approval) -> Verdict:
    by = tuple(one.by for one in approval.answers)
    reasons = tuple(why for why in verdict.reasons if why.policy != APPROVAL)
    return replace(
        verdict,
        effect="transform" if verdict.obligations else "allow",
        code="",
        reasons=(Reason(APPROVAL, f"approved by {' and '.join(by)}"), *reasons),
        approval=approval.id,
        approvers=by,
    )


def _unavailable() -> Failure:
    return Failure(Code.UNAVAILABLE, "approvals cannot be read or kept: nothing was permitted", retry_after_s=1.0)
