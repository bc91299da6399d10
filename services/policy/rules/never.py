"""Policies that can never apply: conditions that are false whatever is asked. Pure.

Finds plain cases: `when { false }`, `unless { true }`, and comparisons with constants that contradict one another.
"""

from cedarpy import pst

Bounds = dict[object, "_Range"]


class _Range:
    """What one term may still be, by the comparisons so far."""

    def __init__(self) -> None:
        self.least: float = float("-inf")
        self.most: float = float("inf")
        self.equal: list[object] = []
        self.unequal: list[object] = []

    @property
    def empty(self) -> bool:
        if self.least > self.most or len(set(map(repr, self.equal))) > 1:
            return True
        if any(one in self.unequal for one in self.equal):
            return True
        return any(isinstance(one, pst.LongLit) and not self.least <= one.value <= self.most for one in self.equal)


def never_applies(name: str, node: pst.Template) -> str:
    """A sentence for a policy that can never apply, "" for any other."""
    ranges: Bounds = {}
    for clause in node.clauses:
        wanted = isinstance(clause, pst.When)
        if _constant(clause.expr) is (not wanted):
            return f"policy {name!r} can never apply: a condition of it is always {'false' if wanted else 'true'}"
        if wanted:
            _narrow(clause.expr, ranges)
    if any(one.empty for one in ranges.values()):
        return f"policy {name!r} can never apply: its conditions contradict one another"
    return ""


def _constant(node: pst.Expr) -> bool | None:
    """True or False when it is that whatever is asked, None when it may be either."""
    match node:
        case pst.BoolLit(value):
            return value
        case pst.UnaryOp("not", arg):
            inner = _constant(arg)
            return None if inner is None else not inner
        case pst.BinaryOp("and", left, right):
            return _both(_constant(left), _constant(right), False)
        case pst.BinaryOp("or", left, right):
            return _both(_constant(left), _constant(right), True)
        case pst.BinaryOp("eq", pst.LongLit(a) | pst.StringLit(a), pst.LongLit(b) | pst.StringLit(b)):
            return a == b
        case pst.BinaryOp("less" | "less_eq" | "greater" | "greater_eq" as op, pst.LongLit(a), pst.LongLit(b)):
            return {"less": a < b, "less_eq": a <= b, "greater": a > b, "greater_eq": a >= b}[op]
        case _:
            return None


def _both(left: bool | None, right: bool | None, decisive: bool) -> bool | None:
    """`and` is decided by a False, `or` by a True."""
    if decisive in (left, right):
        return decisive
    return None if left is None or right is None else not decisive


def _narrow(node: pst.Expr, ranges: Bounds) -> None:
    match node:
        case pst.BinaryOp("and", left, right):
            _narrow(left, ranges)
            _narrow(right, ranges)
        case pst.BinaryOp("eq", term, pst.LongLit() | pst.StringLit() | pst.BoolLit() | pst.EntityLit() as value):
            ranges.setdefault(term, _Range()).equal.append(value)
        case pst.BinaryOp("not_eq", term, pst.LongLit() | pst.StringLit() | pst.BoolLit() | pst.EntityLit() as value):
            ranges.setdefault(term, _Range()).unequal.append(value)
        case pst.BinaryOp("less" | "less_eq" | "greater" | "greater_eq" as op, term, pst.LongLit(value)):
            _bound(ranges.setdefault(term, _Range()), op, value)
        case _:
            return


def _bound(one: _Range, op: str, value: int) -> None:
    match op:
        case "less":
            one.most = min(one.most, value - 1)
        case "less_eq":
            one.most = min(one.most, value)
        case "greater":
            one.least = max(one.least, value + 1)
        case _:
            one.least = max(one.least, value)
