"""What the audit stream keeps of a question and its answer: enough to explain it and to ask it again. Pure.

Never content: the arguments of a tool stay out. Bounded: long texts and lists are cut, and what is cut is named.
"""

import msgspec

from penstock.contracts.audit import DecisionRecord, OutcomeRecord
from penstock.contracts.errors import Code
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Decision, Question
from penstock.kit.facts import kept, resource_name
from penstock.kit.identity import Claims, who
from services.policy.money.limits import Pot
from services.policy.rules.question import DELEGATE

TOOLS_MAX = 64


class Asked(msgspec.Struct, frozen=True):
    """One question, who asks it, and what it stands for. `due`: when an outcome is overdue, 0 when none will come;
    `lease`: when what it reserved counts as used; `at`: when it was asked."""

    question: Question
    claims: Claims
    meta: Meta
    digest: str
    bundle: str
    nano: int
    tokens: int
    due: float
    lease: float = 0.0
    at: float = 0.0
    team: str = ""

    @property
    def requests(self) -> int:
        """How many actions it counts as: to narrow a token is none."""
        return 0 if self.question.action.name == DELEGATE else 1

    @property
    def slots(self) -> int:
        """How many actions are under way until its outcome comes."""
        return 1 if self.requests and self.question.outcome_due_s else 0


def record(asked: Asked, decision: Decision, held: tuple[Pot, ...]) -> DecisionRecord:
    """What the audit stream keeps of it."""
    context, claims, meta = decision.context, asked.claims, asked.meta
    properties, facts, withheld = kept(asked.question)
    return DecisionRecord(
        decision=context.id,
        attempt=asked.question.attempt,
        effect=context.effect,
        who=who(claims),
        action=asked.question.action.name,
        resource=resource_name(asked.question),
        bundle=context.bundle,
        code=context.code,
        reasons=context.reasons,
        obligations=context.obligations,
        arguments_digest=asked.question.arguments_digest,
        accounts=tuple(pot.name for pot in held),
        reserved_nano=asked.nano if held else 0,
        reserved_tokens=asked.tokens if held else 0,
        reserved_requests=asked.requests if held else 0,
        reserved_slots=asked.slots if held else 0,
        outcome_due=(asked.lease if held else asked.due) if decision.decision else 0.0,
        request=meta.request,
        job=meta.job,
        step=meta.step,
        traceparent=meta.traceparent,
        at=asked.at,
        scopes=claims.scopes,
        tools=claims.tools[:TOOLS_MAX],
        team=asked.team,
        run=claims.run,
        properties=properties,
        facts=facts,
        cost_nano=asked.question.reserve.cost_nano if asked.question.reserve else 0,
        tokens=asked.question.reserve.tokens if asked.question.reserve else 0,
        withheld=(*withheld, *(["tools"] if len(claims.tools) > TOOLS_MAX else [])),
        approval=context.approval,
        approvers=context.approvers,
        txn=claims.txn,
        lineage=claims.lineage,
    )


def cancelled(asked: Asked, decision: Decision) -> OutcomeRecord:
    """What the audit stream keeps of an attempt that was undone."""
    return OutcomeRecord(
        decision=decision.context.id,
        attempt=asked.question.attempt,
        status="cancelled",
        action=asked.question.action.name,
        resource=resource_name(asked.question),
        code=Code.UNAVAILABLE,
        request=asked.meta.request,
        job=asked.meta.job,
        step=asked.meta.step,
        traceparent=asked.meta.traceparent,
        who=who(asked.claims),
        run=asked.claims.run,
        txn=asked.claims.txn,
    )
