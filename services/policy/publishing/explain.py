"""Why a recorded decision fell so: its rules, what they compared, and what would have turned it. Pure."""

import cedarpy
from cedarpy import pst

from penstock.contracts.bundles import Compared, Explanation, PastDecision, RuleSaid
from services.policy.publishing.again import asking
from services.policy.rules.bundle import Bundle
from services.policy.rules.conditions import Condition, condition
from services.policy.rules.policies import concerns, with_groups
from services.policy.rules.question import CedarQuestion, Unfit

RULES_MAX = 20
_HOLDS = {True: "yes", False: "no", None: "unknown"}


def explain(past: PastDecision, bundle: Bundle, known: frozenset[str]) -> Explanation:
    """`bundle`: the version of then."""
    record = past.record
    asked = asking(record, past.tenant)
    if asked is None:
        return Explanation(
            past, record.bundle, notes=("an older version recorded it, which did not keep the question",)
        )
    notes = [f"the record does not hold all of {name}" for name in record.withheld]
    try:
        question = bundle.in_cedar(asked)
    except Unfit as unfit:
        return Explanation(past, record.bundle, notes=(*notes, str(unfit)))
    again = bundle.judge_each([asked], known)[0]
    if again.effect != record.effect:
        notes.append("that bundle answers otherwise now: money, an approval or what is withheld made the difference")
    named = [reason.policy for reason in record.reasons]
    rules = [_said(bundle, id, question) for id in _concerned(bundle, question, named)]
    return Explanation(past, record.bundle, tuple(rules), again.effect, tuple(notes))


def _concerned(bundle: Bundle, question: CedarQuestion, named: list[str]) -> list[str]:
    """Cedar's ids: of the rules that decided; for a refusal by default, of every permit for the action."""
    parsed = bundle.parsed
    found = [id for id, rule in parsed.rules.items() if rule.id in named]
    if "default" in named:
        names = with_groups(question.action, bundle.shape)
        found += [id for id, node in parsed.nodes.items() if node.effect == "permit" and concerns(node, names)]
    return found[:RULES_MAX]


def _said(bundle: Bundle, id: str, question: CedarQuestion) -> RuleSaid:
    rule, node = bundle.parsed.rules[id], bundle.parsed.nodes[id]
    found: Condition = condition(node, question)
    turned = found.needed if (node.effect == "forbid") == (found.applies is not False) else ()
    compared = tuple(Compared(one.text, _HOLDS[one.holds], one.found) for one in found.comparisons)
    return RuleSaid(rule.id, rule.permits, found.applies is not False, text_of(node), rule.reason, compared, turned)


def text_of(node: pst.Template) -> str:
    """In Cedar's words."""
    return str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {node.id: node}, ())))
