"""A recorded decision as the question that it was, so that it can be asked again. Pure."""

from typing import Literal

from penstock.contracts.audit import DecisionRecord
from penstock.contracts.policy import ActionName, Entity, Question, Reserve
from penstock.kit.identity import Claims
from services.policy.rules.bundle import Asking

MONEY = frozenset({"budget_exhausted", "rate_limited"})
"""Codes of refusals that came after the policies had permitted."""
AFTER_POLICIES = frozenset({"budget", "price", "operators"})
"""What is named as the reason then."""

Said = Literal["permit", "deny", "transform", "hold"]


def asking(record: DecisionRecord, tenant: str) -> Asking | None:
    """The question of then; None for a record of an older version, which does not hold it."""
    if not record.at:
        return None
    kind, _, rest = record.resource.partition('::"')
    claims = Claims(
        tenant,
        record.who.origin,
        0.0,
        chain=record.who.chain,
        scopes=record.scopes,
        tools=record.tools,
        run=record.run,
        key=record.who.key,
    )
    question = Question(
        ActionName(record.action),
        Entity(kind, rest.removesuffix('"'), record.properties),
        attempt=record.attempt,
        context=record.facts,
        reserve=Reserve(record.cost_nano, record.tokens) if record.cost_nano or record.tokens else None,
    )
    return Asking(claims, question, record.team, record.at)


def said(record: DecisionRecord) -> Said:
    """What the policies said then, before money was asked: `shadow` counts as what it permitted."""
    if record.code in MONEY or any(reason.policy in AFTER_POLICIES for reason in record.reasons):
        return "transform" if record.obligations else "permit"
    return of_effect(record.effect)


def of_effect(effect: str) -> Said:
    """An effect as policies mean it."""
    match effect:
        case "deny" | "transform" | "hold":
            return effect
        case _:
            return "permit"
