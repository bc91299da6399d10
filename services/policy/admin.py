"""Administration is an action like any other: decided, recorded, and its outcome recorded too."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Decision, Entity, Question, Reason
from penstock.kit.clock import Clock
from penstock.kit.facts import resource_name
from penstock.kit.identity import Claims, Identities, who
from penstock.kit.recorder import Recorder
from services.policy.evaluate import Evaluator

OPERATORS_ONLY = Reason("operators", "this concerns the whole plane: only tenants in `operator_tenants` may do it")
OUTCOME_DUE_S = 60.0


class Admin:
    """`operators`: the tenants who may do what concerns every tenant."""

    def __init__(
        self, evaluator: Evaluator, recorder: Recorder, identities: Identities, clock: Clock, operators: frozenset[str]
    ) -> None:
        self._evaluator = evaluator
        self._recorder = recorder
        self._identities = identities
        self._clock = clock
        self._operators = operators

    def is_operator(self, tenant: str) -> bool:
        """Whether this tenant may do what concerns every tenant."""
        return tenant in self._operators

    @asynccontextmanager
    async def action(
        self,
        name: str,
        resource: Entity,
        meta: Meta,
        *,
        plane_wide: bool = False,
        digest: str = "",
        refusal: Reason | None = None,
    ) -> AsyncIterator[Claims]:
        """Does inside what the caller of `meta` may do; exactly one outcome is recorded. `digest` stands for the
        arguments; `refusal` is why it is denied whatever policies say. Raises Failure as policy refuses; the same
        request asked twice is one attempt.
        """
        claims = self._identities.claims(meta)
        if plane_wide and not self.is_operator(claims.tenant):
            refusal = OPERATORS_ONLY
        question = Question(
            ActionName(name),
            resource,
            attempt=_attempt(claims, meta, name, resource, digest),
            arguments_digest=digest,
            outcome_due_s=OUTCOME_DUE_S,
        )
        place = await self._recorder.place()
        try:
            decision = await self._evaluator.evaluate(question, claims, meta, refusal)
            if not decision.decision or decision.context.obligations:
                raise _refused(decision)
            began = self._clock.monotonic()
            ended = ("error", str(Code.INTERNAL))
            try:
                yield claims
                ended = ("ok", "")
            except Failure as failure:
                ended = ("error", str(failure.code))
                raise
            except asyncio.CancelledError:
                ended = ("cancelled", str(Code.CANCELLED))
                raise
            finally:
                outcome = _outcome(question, decision, claims, meta, ended, self._clock.monotonic() - began)
                place.put(self._recorder.envelope(outcome, claims.tenant), claims.tenant)
        finally:
            place.give_back()


def _outcome(
    question: Question, decision: Decision, claims: Claims, meta: Meta, ended: tuple[str, str], took_s: float
) -> OutcomeRecord:
    status, code = ended
    return OutcomeRecord(
        decision=decision.context.id,
        attempt=question.attempt,
        status=status,
        action=question.action.name,
        resource=resource_name(question),
        code=code,
        latency_ms=round(took_s * 1000, 3),
        request=meta.request,
        job=meta.job,
        step=meta.step,
        traceparent=meta.traceparent,
        who=who(claims),
        run=claims.run,
        txn=claims.txn,
    )


def _attempt(claims: Claims, meta: Meta, name: str, resource: Entity, digest: str) -> str:
    seed = (claims.tenant, claims.sub, meta.request or new_id("req"), name, resource.type, resource.id, digest)
    return f"att_{hashlib.sha256(chr(10).join(seed).encode()).hexdigest()[:32]}"


def _refused(decision: Decision) -> Failure:
    context = decision.context
    reasons = tuple(reason.text for reason in context.reasons)
    if decision.decision:
        reasons = tuple(f"the obligation {one!r} cannot be carried out here" for one in context.obligations)
    code = Code(context.code) if context.code in {code.value for code in Code} else Code.DENIED
    return Failure(code, "; ".join(reasons)[:500], decision=context.id, reasons=reasons)
