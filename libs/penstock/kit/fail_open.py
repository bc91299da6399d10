"""What goes on while policy cannot be asked: what a @fail_open rule permitted lately, to the same token for the same.

Policy says of a permit that it may be used again (`DecisionContext.open_s`); it never says so of what costs anything or
obliges. The decision that a service then makes by itself is recorded like any other, if need be when the log is back.
"""

import asyncio
import hashlib
from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from penstock.contracts.audit import DecisionRecord
from penstock.contracts.errors import Code
from penstock.contracts.meta import Meta
from penstock.contracts.policy import READS, TOOL_CALL, Decision, DecisionContext, Question, Reason, Reserve
from penstock.kit.clock import Clock
from penstock.kit.facts import kept, resource_name
from penstock.kit.identity import Claims, Identities, who
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder

OPEN_MAX_S = 300.0
"""However long policy says."""
TOOLS_MAX = 64
UNREACHED = frozenset({Code.UNAVAILABLE, Code.DEADLINE, Code.OVERLOADED})
"""What a question fails with that policy could not answer. Whatever else it fails with stays closed."""

_sorted = msgspec.json.Encoder(order="sorted")
Key = tuple[bytes, bytes]
"""Digests of the token, and of all that was asked."""


class Permit(msgspec.Struct, frozen=True):
    """What policy permitted, at and until which time of the monotonic clock."""

    context: DecisionContext
    at: float
    until: float


class FailOpen:
    """One service's memory of such permits: the ones used last, `remembered_max` at most.

    `ask_s`: how long policy may take where one is remembered; `record_s`: how long the log may take for the decision
    before the action goes on without waiting for it.
    """

    def __init__(
        self,
        identities: Identities,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        *,
        remembered_max: int = 1000,
        ask_s: float = 2.0,
        record_s: float = 1.0,
    ) -> None:
        self._identities = identities
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._remembered_max = remembered_max
        self._ask_s = ask_s
        self._record_s = record_s
        self._permits: OrderedDict[Key, Permit] = OrderedDict()
        self._actions: set[str] = set()
        self._bundle = ""
        self._opened = 0

    def said(self) -> str:
        """For readiness: that actions go on, "" while policy answers."""
        return f"policy could not be asked: {self._opened} actions went on by @fail_open" if self._opened else ""

    def patience_s(self, question: Question, meta: Meta) -> float | None:
        """How long policy may take for this question; None: as long as for any."""
        if question.action.name not in self._actions:
            return None
        return self._ask_s if self._standing(_key(question, meta)) is not None else None

    def answered(self, question: Question, meta: Meta, decision: Decision, asked_at: float) -> None:
        """Policy said this; `asked_at` by the monotonic clock."""
        context = decision.context
        if self._opened:
            self._log.info("policy answers again", went_on=self._opened)
            self._opened = 0
        self.heard(context.bundle)
        if context.open_s > 0 and _harmless(question, decision):
            self._actions.add(question.action.name)
            until = asked_at + min(context.open_s, OPEN_MAX_S)
            self._remember(_key(question, meta), Permit(context, asked_at, until))
        elif question.action.name in self._actions:
            self._permits.pop(_key(question, meta), None)

    def heard(self, bundle: str) -> None:
        """This bundle is in force: what another one permitted is over."""
        if bundle != self._bundle:
            self._permits.clear()
            self._actions.clear()
            self._bundle = bundle

    def refused(self, meta: Meta) -> None:
        """Policy would not answer this token: it has nothing any more."""
        token = _token(meta)
        for key in [key for key in self._permits if key[0] == token]:
            del self._permits[key]

    def permit(self, question: Question, meta: Meta) -> tuple[Permit, Claims] | None:
        """What still stands although policy cannot be asked, to whom. Raises Failure for a token that is good no more,
        and when nobody can say whether it is."""
        if question.action.name not in self._actions:
            return None
        key = _key(question, meta)
        permit = self._standing(key)
        if permit is None:
            return None
        claims = self._identities.claims(meta)
        if claims.tenant != permit.context.tenant or claims.sub != permit.context.subject:
            return None
        self._permits.move_to_end(key)
        return permit, claims

    async def decide(
        self, permit: Permit, claims: Claims, question: Question, meta: Meta
    ) -> tuple[Decision, asyncio.Future[int]]:
        """The decision, whose record waits for the log (`written`). Raises Failure where there is no room for it:
        nothing is done then."""
        decision = _decision(permit, claims, question, self._clock.monotonic())
        data = _record(decision, claims, question, meta, self._clock.now())
        record = self._recorder.envelope(data, claims.tenant)
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        (await self._recorder.place()).put(record, claims.tenant, stored)
        name = question.action.name
        self._metrics.fail_open.add(name)
        if not self._opened:
            self._log.warning("fail open: policy could not be asked", action=name, resource=data.resource)
        self._opened += 1
        return decision, stored

    async def written(self, stored: asyncio.Future[int]) -> None:
        """Waits for the log a moment, while it takes anything at all: the record is written when it is back."""
        if not self._recorder.failing_s:
            await asyncio.wait({stored}, timeout=self._record_s)
        if not stored.done():
            stored.cancel()
        elif not stored.cancelled():
            stored.exception()

    def _standing(self, key: Key) -> Permit | None:
        permit = self._permits.get(key)
        if permit is not None and permit.until <= self._clock.monotonic():
            del self._permits[key]
            return None
        return permit

    def _remember(self, key: Key, permit: Permit) -> None:
        self._permits[key] = permit
        self._permits.move_to_end(key)
        if len(self._permits) > self._remembered_max:
            self._permits.popitem(last=False)


def _harmless(question: Question, decision: Decision) -> bool:
    """Whether it only reads, costs nothing, obliges to nothing, and can be recorded."""
    context, name = decision.context, question.action.name
    return (
        decision.decision
        and (name in READS or (name == TOOL_CALL and question.resource.properties.get("effect") == "read"))
        and context.effect == "allow"
        and not context.obligations
        and not context.approval
        and bool(context.bundle and context.tenant)
        and (question.reserve is None or question.reserve == Reserve())
    )


def _token(meta: Meta) -> bytes:
    return hashlib.sha256(meta.token.encode(errors="surrogatepass")).digest()


def _key(question: Question, meta: Meta) -> Key:
    """Of everything that was asked, arguments and facts too; only the attempt is another each time."""
    asked = _sorted.encode(replace(question, attempt="", outcome_due_s=0.0))
    return _token(meta), hashlib.sha256(asked).digest()


def _decision(permit: Permit, claims: Claims, question: Question, now: float) -> Decision:
    """Its id is derived, and not the one of any decision of policy's."""
    context = permit.context
    seed = f"fail open\n{claims.tenant}\n{question.attempt}\n{context.id}"
    why = f"policy could not be asked; it permitted the same {now - permit.at:.0f} s ago in {context.id}"
    return Decision(
        True,
        DecisionContext(
            id=f"dec_{hashlib.sha256(seed.encode()).hexdigest()[:32]}",
            effect="allow",
            reasons=(Reason("fail_open", f"fail open: {why}"), *context.reasons),
            bundle=context.bundle,
            tenant=claims.tenant,
            subject=claims.sub,
        ),
    )


def _record(decision: Decision, claims: Claims, question: Question, meta: Meta, now: float) -> DecisionRecord:
    """As policy would have written it, without the team, which it alone knows."""
    properties, facts, withheld = kept(question)
    return DecisionRecord(
        decision=decision.context.id,
        attempt=question.attempt,
        effect="allow",
        who=who(claims),
        action=question.action.name,
        resource=resource_name(question),
        bundle=decision.context.bundle,
        reasons=decision.context.reasons,
        arguments_digest=question.arguments_digest,
        outcome_due=now + question.outcome_due_s,
        request=meta.request,
        job=meta.job,
        step=meta.step,
        traceparent=meta.traceparent,
        at=now,
        scopes=claims.scopes,
        tools=claims.tools[:TOOLS_MAX],
        team=claims.team,
        run=claims.run,
        properties=properties,
        facts=facts,
        withheld=(
            *withheld,
            *(["tools"] if len(claims.tools) > TOOLS_MAX else []),
            *(["team"] if claims.key else []),
        ),
        txn=claims.txn,
        lineage=claims.lineage,
    )
