"""Which policies may be `@fail_open`, permits of what only reads, and for how long their answers may be used. Pure.

Whatever changes something, costs money or reaches outside stays closed when policy cannot be asked.
"""

from cedarpy import pst

from penstock.contracts.policy import READS, TOOL_CALL, Question
from services.policy.rules.bundle import Bundle
from services.policy.rules.decide import Rule

OWN_COUNTS = ("minute_rate", "budget_left_nano")
"""What only policy counts: who cannot ask it does not know them."""
HOUR_S = 3600.0


def fail_open_problem(rule: Rule, node: pst.Template) -> str:
    """Why the policy may not be @fail_open, "" when it may or is not."""
    if not rule.fail_open:
        return ""
    where = f"policy {rule.id!r} is @fail_open"
    if not rule.permits:
        return f"{where}: only a permit can be"
    if rule.obligations or rule.approval or rule.limits or rule.shadow:
        return f"{where}: it cannot have an obligation, an approval, a limit or @shadow beside it"
    actions = _actions(node)
    if not actions or not actions <= READS | {TOOL_CALL}:
        allowed = ", ".join([*sorted(READS), TOOL_CALL])
        return f"{where}: that is for what only reads. Name the actions in its head, out of {allowed}"
    if TOOL_CALL in actions and not any(isinstance(c, pst.When) and _reads(c.expr) for c in node.clauses):
        return (
            f'{where}: of tools only those that read. Add when {{ resource has effect && resource.effect == "read" }}'
        )
    return ""


def usable_s(bundle: Bundle, question: Question, most_s: float, now: float) -> float:
    """For how long a service may use the answer by itself: at most to the end of the hour, since rules look at hours,
    and not at all where they look at what only policy counts."""
    if any(bundle.looks_at(question, name) for name in OWN_COUNTS):
        return 0.0
    return min(most_s, HOUR_S - now % HOUR_S)


def _actions(node: pst.Template) -> frozenset[str]:
    """What stands in its head; none for every action, or a group's name, which is not in READS."""
    match node.action:
        case pst.ActionEq(entity):
            return frozenset({entity.id})
        case pst.ActionIn(entities):
            return frozenset(entity.id for entity in entities)
        case _:
            return frozenset()


def _reads(node: pst.Expr) -> bool:
    """Whether it holds only where `resource.effect == "read"` does."""
    match node:
        case pst.BinaryOp("and", left, right):
            return _reads(left) or _reads(right)
        case pst.BinaryOp("or", left, right):
            return _reads(left) and _reads(right)
        case pst.BinaryOp("eq", pst.GetAttr(pst.Var("resource"), "effect"), pst.StringLit("read")):
            return True
        case _:
            return False
