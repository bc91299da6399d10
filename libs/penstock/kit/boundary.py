"""The enforcement, written once: no action without a decision, one outcome per attempt; in doubt, nothing."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import msgspec
from msgspec.structs import replace

from penstock.bus import Bus
from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_EVALUATE, POLICY_EVALUATIONS
from penstock.contracts.ids import is_token
from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Decision, Question, Questions, Reason
from penstock.kit.clock import Clock
from penstock.kit.facts import resource_name
from penstock.kit.fail_open import UNREACHED, FailOpen
from penstock.kit.identity import Claims, Identities, who
from penstock.kit.metrics import Metrics
from penstock.kit.obligations import NONE, BadObligation, Obligations, merge
from penstock.kit.recorder import Place, Recorder

RESOURCE_MAX_CHARACTERS = 256
DETAIL_MAX_CHARACTERS = 500
LOSSES_MAX = 50
FORSAKEN_S = 10.0
"""How long policy may take to tell what it decided for a caller who has gone."""
PERMITTING = frozenset({"allow", "transform", "shadow"})
SAYS_NOTHING = frozenset(
    {Code.UNAVAILABLE, Code.OVERLOADED, Code.INTERNAL, Code.UPSTREAM, Code.UNKNOWN_OUTCOME, Code.DEADLINE}
)
"""What a question may fail with that is no answer: the action is refused as UNAVAILABLE."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt used so far, as its outcome record says it. `cost_nano` nano-dollars, -1: unknown. `status` (ok,
    error, cancelled, unknown) and `code` hold when the attempt ends without an exception. The rest: OutcomeRecord."""

    usage: Usage = Usage()
    cost_nano: int = 0
    price_version: str = ""
    deployment: str = ""
    result_digest: str = ""
    status: str = "ok"
    code: str = ""
    surface: str = ""
    wire: str = ""
    losses: tuple[str, ...] = ()
    reason: str = ""
    cached: str = ""
    saved_nano: int = 0
    template: str = ""


class Action:
    """One permitted attempt under way. What was settled last is what the outcome record says.

    `obligations`: what the permit obliges to, all of it within what this service honours.
    """

    __slots__ = ("_applied", "_claims", "_settled", "decision", "obligations")

    def __init__(self, decision: Decision, obligations: Obligations, claims: Claims | None = None) -> None:
        self.decision = decision
        self.obligations = obligations
        self._claims = claims
        self._settled = Settlement()
        self._applied: dict[str, int] = {}

    def settle(self, settlement: Settlement) -> None:
        """Call it again when more is known."""
        self._settled = settlement

    def applied(self, counts: Mapping[str, int]) -> None:
        """What was done for the obligations: names and how often, for the outcome record. Adds to what was said."""
        for name, count in counts.items():
            self._applied[name] = self._applied.get(name, 0) + count

    def _end(self, error: BaseException | None) -> tuple[str, str]:
        """Status and code by how the block ended."""
        if error is None:
            return self._settled.status, self._settled.code
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            return "cancelled", Code.CANCELLED
        if not isinstance(error, Failure):
            return "error", Code.INTERNAL
        if error.code is Code.CANCELLED:
            return "cancelled", error.code
        if error.code is Code.UNKNOWN_OUTCOME:
            return "unknown", error.code
        return "error", error.code

    def _outcome(self, question: Question, meta: Meta, error: BaseException | None, latency_ms: float) -> OutcomeRecord:
        status, code = self._end(error)
        settled, claims = self._settled, self._claims
        return OutcomeRecord(
            decision=self.decision.context.id,
            attempt=question.attempt,
            status=status,
            action=question.action.name,
            resource=resource_name(question),
            code=code,
            usage=settled.usage,
            cost_nano=settled.cost_nano,
            price_version=_short(settled.price_version),
            result_digest=_short(settled.result_digest),
            latency_ms=round(latency_ms, 3),
            deployment=_short(settled.deployment),
            request=meta.request,
            job=meta.job,
            step=meta.step,
            traceparent=meta.traceparent,
            surface=settled.surface,
            wire=settled.wire,
            losses=tuple(_short(loss) for loss in settled.losses[:LOSSES_MAX]),
            reason=_short(settled.reason),
            cached=settled.cached,
            saved_nano=settled.saved_nano,
            template=_short(settled.template),
            applied=dict(sorted(self._applied.items())),
            who=who(claims) if claims is not None else None,
            run=claims.run if claims is not None else "",
            txn=claims.txn if claims is not None else "",
        )


class Boundary:
    """Asks policy before, records after. `honours`: names of the obligations that this service can carry out;
    `identities`: who says in outcome records on whose behalf it was; `fail_open`: what may go on while policy cannot be
    asked, None for nothing."""

    def __init__(
        self,
        bus: Bus,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        *,
        honours: frozenset[str] = frozenset(),
        identities: Identities | None = None,
        fail_open: FailOpen | None = None,
    ) -> None:
        self._bus = bus
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._honours = honours
        self._identities = identities
        self._fail_open = fail_open
        self._forsaken: set[asyncio.Task[None]] = set()

    async def evaluate(self, question: Question, meta: Meta) -> Decision:
        """The decision, a refusal too; a permit whose obligations cannot be honoured here comes back as a refusal.

        Raises Failure(UNAVAILABLE) when there is no decision (fail closed), or what the token was refused for.
        """
        return self._effective(await self._ask(question, meta), self._honours)

    async def evaluate_many(
        self, questions: list[Question], meta: Meta, *, honours: frozenset[str] | None = None
    ) -> list[Decision]:
        """A decision for each question, in order. For filtering lists: nothing is reserved. Raises as `evaluate`."""
        if not questions:
            return []
        try:
            asked = Questions([with_taint(question, meta) for question in questions])
            answer = await self._bus.call(POLICY_EVALUATIONS, asked, meta)
        except Failure as failure:
            raise self._closed(failure, meta) from failure
        if len(answer.evaluations) != len(questions):
            raise self._closed(Failure(Code.INTERNAL), meta)
        if self._fail_open is not None:
            self._fail_open.heard(answer.evaluations[0].context.bundle)
        honours = self._honours if honours is None else honours
        return [self._effective(decision, honours) for decision in answer.evaluations]

    def action(
        self, question: Question, meta: Meta, *, honours: frozenset[str] | None = None
    ) -> AbstractAsyncContextManager[Action]:
        """`async with boundary.action(question, meta) as action:` does the action inside and settles it. `honours`: the
        obligations that can be carried out here, where that is not all that this service can.

        Raises Failure with the decision's code, reasons and id when policy refuses, UNAVAILABLE when there is no
        decision or no room to record the outcome. However the block ends, exactly one outcome is recorded.
        """
        return _Attempt(self, question, meta, self._honours if honours is None else honours)

    async def _ask(self, question: Question, meta: Meta) -> Decision:
        try:
            return await self._answer(with_taint(question, meta), meta)
        except Failure as failure:
            raise self._closed(failure, meta) from failure

    async def _answer(self, question: Question, meta: Meta, patience_s: float | None = None) -> Decision:
        """Raises Failure as it comes."""
        began, fail_open = self._clock.monotonic(), self._fail_open
        try:
            decision = await self._bus.call(POLICY_EVALUATE, question, meta, timeout_s=patience_s)
        except Failure as failure:
            if fail_open is not None and failure.code not in SAYS_NOTHING:
                fail_open.refused(meta)
            raise
        if not is_token(decision.context.id) or not is_token(decision.context.tenant or meta.tenant):
            # nothing could be recorded under it
            raise Failure(Code.INTERNAL)
        if fail_open is not None:
            fail_open.answered(question, meta, decision, began)
        name = question.action.name
        self._metrics.boundary_seconds.see(self._clock.monotonic() - began, name)
        self._metrics.decisions.add(name, decision.context.effect)
        return decision

    async def _decide(self, question: Question, meta: Meta) -> tuple[Decision, asyncio.Future[int] | None]:
        """Policy's decision; or the service's own, and its record on the way to the log, where it may fail open."""
        asked, fail_open = with_taint(question, meta), self._fail_open
        patience_s = fail_open.patience_s(asked, meta) if fail_open is not None else None
        try:
            return await self._answer(asked, meta, patience_s), None
        except Failure as failure:
            if fail_open is None or failure.code not in UNREACHED or self._too_late(failure, meta):
                raise self._closed(failure, meta) from failure
            found = fail_open.permit(asked, meta)
            if found is None:
                raise self._closed(failure, meta) from failure
        return await fail_open.decide(*found, asked, meta)

    def _forsake(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._forsaken.add(task)
        task.add_done_callback(self._forsaken.discard)

    def _claims(self, meta: Meta) -> Claims | None:
        """Who stands behind it, as it begins: when it ends the token may be good no more."""
        try:
            return self._identities.claims(meta) if self._identities is not None else None
        except Failure:
            return None  # policy refuses it in a moment

    def _effective(self, decision: Decision, honours: frozenset[str]) -> Decision:
        if decision.decision and (unmet := unmet_obligation(decision, honours)):
            self._metrics.fail_closed.add("obligation")
            return refused_for(decision, unmet)
        return decision

    def _closed(self, failure: Failure, meta: Meta) -> Failure:
        """The failure to raise when a question was not answered."""
        if failure.code not in SAYS_NOTHING:
            return failure
        if self._too_late(failure, meta):
            return failure
        self._metrics.fail_closed.add("policy")
        return Failure(Code.UNAVAILABLE, "no decision could be had: nothing was done", retry_after_s=1.0)

    def _too_late(self, failure: Failure, meta: Meta) -> bool:
        """Whether it was the caller's own deadline."""
        return failure.code is Code.DEADLINE and 0 < meta.deadline <= self._clock.now()


class _Attempt(AbstractAsyncContextManager[Action]):
    """From the question to the outcome."""

    __slots__ = ("_action", "_began", "_boundary", "_claims", "_honours", "_meta", "_place", "_question")

    def __init__(self, boundary: Boundary, question: Question, meta: Meta, honours: frozenset[str]) -> None:
        self._boundary = boundary
        self._honours = honours
        self._question = question
        self._meta = meta

    async def __aenter__(self) -> Action:
        boundary = self._boundary
        # Room for the outcome first: then recording it at the end can neither wait nor fail.
        self._place: Place = await boundary._recorder.place()
        self._began = boundary._clock.monotonic()
        self._claims = boundary._claims(self._meta)
        try:
            decision, record = await boundary._decide(self._question, self._meta)
        except asyncio.CancelledError:
            boundary._forsake(self._forsaken())
            raise
        except Failure:
            self._place.give_back()
            raise
        if record is not None:
            return await self._own(decision, record)
        self._began = boundary._clock.monotonic()
        effective = boundary._effective(decision, self._honours)
        refusal = refusal_of(effective)
        self._action = Action(decision, NONE if refusal else merge(decision.context.obligations), self._claims)
        if refusal is None:
            return self._action
        if decision.decision:
            # Policy permitted and reserved: the record says that nothing came of it.
            self._record(refusal)
        self._place.give_back()
        raise refusal

    async def _own(self, decision: Decision, record: asyncio.Future[int]) -> Action:
        """What goes on by the service's own decision. Whoever is cancelled meanwhile leaves an outcome all the same."""
        boundary = self._boundary
        self._action = Action(decision, NONE, self._claims)
        try:
            if boundary._fail_open is not None:
                await boundary._fail_open.written(record)
        except asyncio.CancelledError as cancelled:
            self._record(cancelled)
            raise
        self._began = boundary._clock.monotonic()
        return self._action

    async def _forsaken(self) -> None:
        """Cancelled while policy was asked, which may have decided and reserved all the same: it is asked again and
        answers the same, and that is settled. What cannot be asked any more is settled by its lease."""
        boundary = self._boundary
        meta = replace(self._meta, deadline=boundary._clock.now() + FORSAKEN_S)
        try:
            decision = await boundary._ask(self._question, meta)
            if decision.decision:
                self._action = Action(decision, NONE, self._claims)
                self._record(asyncio.CancelledError())
        except Failure:
            return
        finally:
            self._place.give_back()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._record(error)

    def _record(self, error: BaseException | None) -> None:
        boundary = self._boundary
        latency_ms = (boundary._clock.monotonic() - self._began) * 1000
        outcome = self._action._outcome(self._question, self._meta, error, latency_ms)
        boundary._metrics.outcomes.add(outcome.action, outcome.status)
        tenant = self._action.decision.context.tenant or self._meta.tenant
        try:
            self._place.put(boundary._recorder.envelope(outcome, tenant), tenant)
        finally:
            self._place.give_back()


def _short(text: str) -> str:
    """A record that is too large would be none."""
    return text[:RESOURCE_MAX_CHARACTERS]


def with_taint(question: Question, meta: Meta) -> Question:
    """The question with what the run has read, which every action of the run is judged by."""
    if not meta.taint:
        return question
    return replace(question, context={**question.context, "taint": list(meta.taint), "tainted": True})


def unmet_obligation(decision: Decision, honours: frozenset[str]) -> str:
    """The first obligation (`name` or `name:arguments`) that is not honoured here, or cannot be together with those
    before it; "" when all are."""
    for number, obligation in enumerate(decision.context.obligations, 1):
        if obligation.partition(":")[0] not in honours:
            return obligation
        try:
            merge(decision.context.obligations[:number])
        except BadObligation:
            return obligation
    return ""


def refused_for(decision: Decision, obligation: str) -> Decision:
    """The permit as a refusal: what it obliges to cannot be done here."""
    reason = Reason("", f"the obligation {obligation!r} cannot be honoured here")
    context = replace(
        decision.context, effect="deny", code=Code.DENIED.value, reasons=(*decision.context.reasons, reason)
    )
    return Decision(False, context)


def refusal_of(decision: Decision) -> Failure | None:
    """The failure that a decision stands for; None for a permit."""
    context = decision.context
    if decision.decision and context.effect in PERMITTING:
        return None
    known = {code.value for code in Code}
    fallback = Code.APPROVAL_REQUIRED if context.effect == "hold" else Code.DENIED
    reasons = tuple(reason.text or reason.policy for reason in context.reasons)
    return Failure(
        Code(context.code) if context.code in known else fallback,
        ("; ".join(reasons) or "policy does not allow it")[:DETAIL_MAX_CHARACTERS],
        retry_after_s=context.retry_after_s,
        decision=context.id,
        reasons=reasons,
        approval=context.approval,
    )
