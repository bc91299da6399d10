"""From a question to an answer: judge, reserve, record, answer. Fails closed at every step.

An answer is given only when the audit stream has the decision. When that cannot be had in time, the reservation is
closed, an outcome gives it back, and nothing was permitted. Where even that cannot be done, because the store or this
process is gone, the reservation stays pending in the store, and is given back as one without a decision (settle.py).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress

import msgspec

from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Decision, DecisionContext, Question, Reason
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Place, Recorder
from services.policy.approvals.hold import Holding
from services.policy.config import Config
from services.policy.identity.keys import ApiKey
from services.policy.money.accounts import Accounts
from services.policy.money.holds import Hold, Reserved
from services.policy.money.limits import Pot
from services.policy.money.refusal import shortage
from services.policy.money.rule_pots import rule_pots
from services.policy.recorded import Asked, cancelled, record
from services.policy.remembered import Remembered, over
from services.policy.rulebook import Rulebook
from services.policy.rules.decide import UNPRICED, Verdict, price, refuse
from services.policy.rules.fail_open import usable_s
from services.policy.rules.pace import Pace
from services.policy.rules.question import check


class Evaluator:
    """Answers questions. Raises Failure: INVALID, UNAUTHENTICATED, CONFLICT, and UNAVAILABLE for fail closed."""

    def __init__(
        self,
        rules: Rulebook,
        accounts: Accounts,
        holding: Holding,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        config: Config,
    ) -> None:
        self._rules = rules
        self._holding = holding
        self._accounts = accounts
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._config = config
        self._remembered = Remembered(config.decisions_remembered_max)
        self._pace = Pace()
        self._owed: deque[tuple[OutcomeRecord, str]] = deque(maxlen=config.undone_max)
        self._undoing: set[asyncio.Task[None]] = set()

    async def evaluate(self, question: Question, claims: Claims, meta: Meta, refusal: Reason | None = None) -> Decision:
        """One decision for one attempt, however often asked. `refusal`: why it is denied, whatever policies say."""
        check(question)
        now = self._clock.now()
        key = self._rules.key_of(claims, now)
        digest = digest_of(question, claims)
        given = self._remembered.get(claims.tenant, question.attempt, digest)
        if given is not None:
            return given
        told = self._pace.told(question, claims, now)
        asked, verdict = self._judged(told, claims, meta, digest, key, now)
        if refusal is not None:
            verdict = refuse(Code.DENIED, refusal)
        pots = self._rules.pots(claims, key, now)
        if verdict.limits:
            pots = (*pots, *rule_pots(verdict.limits, claims.sub, now))
        if verdict.effect == "hold":
            decision = await self._held(asked, verdict, pots)
        else:
            decision = await self._decided(asked, verdict, pots)
        if decision.context.effect != "hold":  # which people may change
            self._remembered.put(claims.tenant, question.attempt, digest, closed(decision))
        self._pace.seen(claims, decision)
        self._metrics.decisions.add(question.action.name, decision.context.effect)
        return decision

    async def evaluate_many(
        self, questions: list[Question], claims: Claims, meta: Meta, *, listing: bool = True
    ) -> list[Decision]:
        """Each by itself, in order; nothing is reserved, and no outcome will come. For lists of what may be done."""
        if len(questions) > self._config.questions_max:
            raise Failure(Code.TOO_LARGE, f"at most {self._config.questions_max} questions at once")
        for question in questions:
            check(question)
        now = self._clock.now()
        key = self._rules.key_of(claims, now)
        bundle = self._rules.bundle
        team = key.team if key else claims.team
        verdicts = bundle.judge(claims, questions, self._rules.obligations, team, now, listing=listing)
        decisions: list[Decision] = []
        waiting: list[asyncio.Future[int]] = []
        for question, verdict in zip(questions, verdicts, strict=True):
            digest = digest_of(question, claims)
            asked = Asked(question, claims, meta, f"list:{digest}", bundle.version, 0, 0, 0.0, at=now, team=team)
            decision = answer(asked, verdict)
            decisions.append(decision)
            waiting.append(self._put(await self._recorder.place(), asked, decision, ()))
        if not await self._stored(waiting, asyncio.get_running_loop().time() + self._config.record_timeout_s):
            raise _unrecorded()
        return decisions

    def _judged(
        self, question: Question, claims: Claims, meta: Meta, digest: str, key: ApiKey | None, now: float
    ) -> tuple[Asked, Verdict]:
        bundle = self._rules.bundle
        verdict = bundle.judge(claims, [question], self._rules.obligations, key.team if key else claims.team, now)[0]
        nano = price(question.reserve, self._config.unknown_price, self._config.estimate_nano_per_token)
        if nano is None and (verdict.permits or verdict.effect == "hold"):
            verdict = UNPRICED
        due_s = min(question.outcome_due_s, self._config.lease_max_s)
        return (
            Asked(
                question=question,
                claims=claims,
                meta=meta,
                digest=digest,
                bundle=bundle.version,
                nano=nano or 0,
                tokens=question.reserve.tokens if question.reserve else 0,
                due=now + due_s if due_s else 0.0,
                lease=now + (due_s or self._config.lease_max_s),
                at=now,
                team=key.team if key else claims.team,
            ),
            verdict,
        )

    async def _held(self, asked: Asked, verdict: Verdict, pots: tuple[Pot, ...]) -> Decision:
        """The answer to what people must approve: that they are asked, or what they said."""
        settled, taken = await self._holding.settle(asked, verdict)
        permitted = False
        try:
            decision = await self._decided(asked, settled, pots)
            permitted = decision.decision
        finally:
            if taken is not None and not permitted:
                self._behind(self._holding.give_back(taken))
        return decision

    async def _decided(self, asked: Asked, verdict: Verdict, pots: tuple[Pot, ...]) -> Decision:
        """The answer, once it is in the audit stream."""
        place = await self._recorder.place()
        # the accounts count on it: a decision that is stored later than this permits nothing, whatever kept us
        latest = asyncio.get_running_loop().time() + self._config.patience_s
        try:
            decision = answer(asked, verdict)
            held: tuple[Pot, ...] = ()
            if verdict.permits and pots and _counts(asked, pots):
                decision = await self._reserved(asked, verdict, decision, pots)
                held = pots if decision.decision else ()
            elif verdict.open:
                decision = self._opened(asked, decision)
            stored = self._put(place, asked, decision, held)
        finally:
            place.give_back()
        in_time = asyncio.get_running_loop().time() + self._config.record_timeout_s
        try:
            done = await self._stored([stored], min(in_time, latest))
        except asyncio.CancelledError:
            self._behind(self._undo(asked, decision, bool(held)))
            raise
        if not done:
            await self._undo(asked, decision, bool(held))
            raise _unrecorded()
        if held:
            self._metrics.reserved_nano.add(by=asked.nano)
        return decision

    async def _reserved(self, asked: Asked, verdict: Verdict, decision: Decision, pots: tuple[Pot, ...]) -> Decision:
        hold = Hold(
            attempt=asked.question.attempt,
            digest=asked.digest,
            nano=asked.nano,
            tokens=asked.tokens,
            due=asked.lease,
            pots=pots,
            answer=msgspec.json.encode(decision),
            asked=self._clock.now(),
            requests=asked.requests,
            slots=asked.slots,
        )
        reserved = await self._accounts.reserve(asked.claims.tenant, hold)
        match reserved.state:
            case "held":
                return msgspec.json.decode(reserved.answer, type=Decision)
            case "short":
                return _short(asked, reserved, pots, self._clock.now())
            case "over":
                raise over()
            case "conflict":
                raise Failure(Code.CONFLICT, "this attempt stands for another question: ask with a new attempt id")
            case "reserved":
                context = msgspec.structs.replace(decision.context, remaining_nano=reserved.left)
                return msgspec.structs.replace(decision, context=context)

    def _opened(self, asked: Asked, decision: Decision) -> Decision:
        """What costs nothing and counts nowhere may be done again for a while, though we cannot be asked."""
        if asked.nano or asked.tokens or not decision.decision:
            return decision
        open_s = usable_s(self._rules.bundle, asked.question, self._config.fail_open_s, asked.at)
        return msgspec.structs.replace(decision, context=msgspec.structs.replace(decision.context, open_s=open_s))

    def _put(self, place: Place, asked: Asked, decision: Decision, held: tuple[Pot, ...]) -> asyncio.Future[int]:
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        tenant = asked.claims.tenant
        place.put(self._recorder.envelope(record(asked, decision, held), tenant), tenant, stored)
        return stored

    async def _stored(self, waiting: list[asyncio.Future[int]], until: float) -> bool:
        """Whether the stream has them all before `until`, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await asyncio.gather(*waiting)
        except (Failure, TimeoutError):
            for future in waiting:
                if not future.cancel() and not future.cancelled():
                    future.exception()
            return False
        return asyncio.get_running_loop().time() <= until

    async def _undo(self, asked: Asked, decision: Decision, held: bool) -> None:
        """The record will still be written one day: an outcome says that nothing came of it, and the attempt is over.

        Unless it was asked about twice at once: then the other asker may have been permitted, and has its fate. What
        cannot be given back now is told by the outcome; where there is no room for the outcome, `pay` tells it later.
        """
        tenant, attempt = asked.claims.tenant, asked.question.attempt
        self._remembered.put(tenant, attempt, asked.digest, None)
        if not decision.decision:
            return
        with suppress(Failure):  # the outcome tells the store when it is back
            if held and not await self._accounts.undo(tenant, attempt):
                return
        self._owed.append((cancelled(asked, decision), tenant))
        with suppress(Failure):
            await self.pay()

    async def pay(self) -> None:
        """Writes the outcomes of attempts that were undone. Raises Failure when there is no room; call it again."""
        while self._owed:
            outcome, tenant = self._owed[0]
            place = await self._recorder.place()
            try:
                if self._owed and self._owed[0][0] is outcome:
                    place.put(self._recorder.envelope(outcome, tenant), tenant)
                    self._owed.popleft()
            finally:
                place.give_back()

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        """Behind the back of a caller who is gone."""
        task = asyncio.create_task(work)
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)


def digest_of(question: Question, claims: Claims) -> str:
    """Stands for what is asked and by whom: the same attempt may not be asked about something else."""
    digest = hashlib.sha256(msgspec.json.encode(question))
    digest.update(f"\n{claims.tenant}\n{claims.sub}\n{claims.run}\n{claims.key}".encode())
    return digest.hexdigest()


def answer(asked: Asked, verdict: Verdict) -> Decision:
    """The decision as it is given. Its id is derived, so that the same answer to the same attempt has one id."""
    claims = asked.claims
    seed = (
        f"{claims.tenant}\n{asked.question.attempt}\n{asked.digest}\n{asked.bundle}\n{verdict.effect}\n{verdict.code}"
    )
    if verdict.approval:
        seed += f"\n{verdict.approval}"
    return Decision(
        verdict.permits,
        DecisionContext(
            id=f"dec_{hashlib.sha256(seed.encode()).hexdigest()[:32]}",
            effect=verdict.effect,
            code=verdict.code,
            reasons=verdict.reasons,
            bundle=asked.bundle,
            obligations=verdict.obligations if verdict.permits else (),
            tenant=claims.tenant,
            subject=claims.sub,
            approval=verdict.approval,
            approvers=verdict.approvers,
        ),
    )


def closed(decision: Decision) -> Decision:
    """For who asks again later: how long the answer may be used by itself is counted from when it was given."""
    if not decision.context.open_s:
        return decision
    return msgspec.structs.replace(decision, context=msgspec.structs.replace(decision.context, open_s=0.0))


def _counts(asked: Asked, pots: tuple[Pot, ...]) -> bool:
    """Whether there is anything to reserve."""
    return bool(asked.nano or asked.tokens or (asked.requests and any(pot.counts_actions for pot in pots)))


def _short(asked: Asked, reserved: Reserved, pots: tuple[Pot, ...], now: float) -> Decision:
    pot = next(pot for pot in pots if pot.name == reserved.pot)
    wanted = {"nano": asked.nano, "tokens": asked.tokens}.get(reserved.what, 1)
    short = shortage(pot, reserved.what, reserved.left, wanted, now)
    decision = answer(asked, refuse(short.code, Reason("budget", short.text)))
    context = msgspec.structs.replace(decision.context, retry_after_s=short.retry_after_s)
    return msgspec.structs.replace(decision, context=context)


def _unrecorded() -> Failure:
    return Failure(Code.UNAVAILABLE, "the decision could not be recorded: nothing was permitted", retry_after_s=1.0)
