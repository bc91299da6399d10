"""What a policy's conditions came to for one question: each comparison, what it saw, and what would turn it. Pure.

Follows Cedar's meaning for what rules are mostly made of; the rest (dates, addresses, tags) is said to be unknown.
"""

from collections.abc import Callable, Iterator, Mapping

import cedarpy
import msgspec
from cedarpy import pst

from services.policy.rules.question import CedarEntity, CedarQuestion

SHOWN_MAX = 120
COMPARISONS_MAX = 40


class _Unknown:
    """A value that cannot be told here."""


UNKNOWN = _Unknown()


class Comparison(msgspec.Struct, frozen=True):
    """One condition without `and`, `or` and `not` around it. `holds`: None when it cannot be told."""

    text: str
    holds: bool | None
    found: dict[str, str]


class Condition(msgspec.Struct, frozen=True):
    """Of a whole policy. `needed`: the comparisons that stand in the way; any one of a forbid's, all of a permit's."""

    applies: bool | None
    comparisons: tuple[Comparison, ...]
    needed: tuple[str, ...]


def condition(node: pst.Template, asked: CedarQuestion) -> Condition:
    """Of a policy whose head names the question's action."""
    reader = _Reader(asked)
    held: bool | None = reader.scope(node)
    comparisons: list[Comparison] = []
    needed: list[str] = []
    if held is False:
        needed.append(f"it is about another principal or resource: {_head(node)}")
    for clause in node.clauses:
        wanted = isinstance(clause, pst.When)
        met = reader.truth(clause.expr)
        clause_met = None if met is None else met is wanted
        comparisons.extend(reader.compare(atom) for atom in atoms(clause.expr))
        if node.effect == "permit" and clause_met is False:
            needed.extend(_turning(reader, clause.expr, wanted))
        if node.effect == "forbid":
            needed.extend(_turning(reader, clause.expr, not wanted))
        held = _and(held, clause_met)
    return Condition(held, tuple(comparisons[:COMPARISONS_MAX]), tuple(dict.fromkeys(needed)))


def atoms(node: pst.Expr) -> Iterator[pst.Expr]:
    """The comparisons between `and`, `or` and `not`."""
    match node:
        case pst.BinaryOp("and" | "or", left, right):
            yield from atoms(left)
            yield from atoms(right)
        case pst.UnaryOp("not", arg):
            yield from atoms(arg)
        case _:
            yield node


def in_words(node: pst.Expr) -> str:
    """In Cedar's words, without the brackets that nobody needs."""
    template = pst.Template("p", "permit", pst.ScopeAny(), pst.ScopeAny(), pst.ScopeAny(), (pst.When(node),), {})
    text = str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {"p": template}, ())))
    inner = text.partition("when {")[2].rpartition("}")[0].strip()
    return _short(
        inner.replace("(context)", "context").replace("(principal)", "principal").replace("(resource)", "resource")
    )


class _Reader:
    """The values of one question."""

    def __init__(self, asked: CedarQuestion) -> None:
        self._asked = asked

    def scope(self, node: pst.Template) -> bool | None:
        return _and(_in_scope(node.principal, self._asked.principal), _in_scope(node.resource, self._asked.resource))

    def compare(self, node: pst.Expr) -> Comparison:
        found = {in_words(term): _shown(self.value(term)) for term in _terms(node)}
        return Comparison(in_words(node), self.truth(node), found)

    def truth(self, node: pst.Expr) -> bool | None:
        value = self.value(node)
        return value if isinstance(value, bool) else None

    def value(self, node: pst.Expr) -> object:
        match node:
            case pst.BoolLit(value) | pst.LongLit(value) | pst.StringLit(value):
                return value
            case pst.EntityLit(uid):
                return {"type": str(uid.type), "id": uid.id}
            case pst.Set(elements):
                return [self.value(one) for one in elements]
            case pst.Var(name):
                return self._var(name)
            case pst.GetAttr(base, attr):
                return self._attribute(self.value(base), attr)
            case pst.HasAttr(base, attrs):
                return self._has(self.value(base), attrs)
            case _:
                return self._computed(node)

    def _computed(self, node: pst.Expr) -> object:
        match node:
            case pst.UnaryOp("not", arg):
                met = self.truth(arg)
                return UNKNOWN if met is None else not met
            case pst.BinaryOp("and", left, right):
                return _told(_and(self.truth(left), self.truth(right)))
            case pst.BinaryOp("or", left, right):
                return _told(_or(self.truth(left), self.truth(right)))
            case pst.BinaryOp(op, left, right) if op in _BINARY:
                return _binary(op, self.value(left), self.value(right))
            case pst.IfThenElse(cond, then_expr, else_expr):
                met = self.truth(cond)
                return UNKNOWN if met is None else self.value(then_expr if met else else_expr)
            case pst.Like(base, pattern):
                return _like(self.value(base), pattern)
            case pst.Is(base, entity_type, None):
                uid = _uid(self.value(base))
                return uid["type"] == str(entity_type) if isinstance(uid, dict) and "type" in uid else UNKNOWN
            case _:
                return UNKNOWN

    def _var(self, name: str) -> object:
        match name:
            case "principal":
                return self._asked.principal
            case "resource":
                return self._asked.resource
            case "context":
                return self._asked.context
            case _:
                return {"type": "Action", "id": self._asked.action}

    def _attribute(self, base: object, attr: str) -> object:
        record = base.attrs if isinstance(base, CedarEntity) else base
        if not isinstance(record, Mapping) or attr not in record:
            return UNKNOWN
        value = record[attr]
        return value["__entity"] if isinstance(value, Mapping) and "__entity" in value else value

    def _has(self, base: object, attrs: tuple[str, ...]) -> object:
        for attr in attrs:
            record = base.attrs if isinstance(base, CedarEntity) else base
            if not isinstance(record, Mapping):
                return UNKNOWN
            if attr not in record:
                return False
            base = record[attr]
        return True


def _terms(node: pst.Expr) -> list[pst.Expr]:
    """What a comparison looks at: attributes and variables, not constants."""
    match node:
        case pst.GetAttr() | pst.Var():
            return [node]
        case pst.BinaryOp(_, left, right):
            return [*_terms(left), *_terms(right)]
        case pst.Like(base, _) | pst.UnaryOp(_, base) | pst.Is(base, _, _):
            return _terms(base)
        case pst.Set(elements):
            return [term for one in elements for term in _terms(one)]
        case pst.IfThenElse(cond, then_expr, else_expr):
            return [*_terms(cond), *_terms(then_expr), *_terms(else_expr)]
        case _:
            return []


def _turning(reader: _Reader, node: pst.Expr, wanted: bool) -> list[str]:
    """Comparisons of which a turn would bring the whole nearer to `wanted`."""
    match node:
        case pst.UnaryOp("not", arg):
            return _turning(reader, arg, not wanted)
        case pst.BinaryOp("and" | "or", left, right):
            return [*_turning(reader, left, wanted), *_turning(reader, right, wanted)]
        case _:
            if reader.truth(node) is wanted:
                return []
            text = in_words(node)
            return [text if wanted else f"not ({text})"]


def _in_scope(scope: pst.PrincipalOrResourceConstraint, entity: CedarEntity) -> bool | None:
    match scope:
        case pst.ScopeAny():
            return True
        case pst.ScopeEq(pst.EntityUid(type, id)):
            return _is(entity, {"type": str(type), "id": id})
        case pst.ScopeIn(pst.EntityUid(type, id)):
            uid = {"type": str(type), "id": id}
            return _is(entity, uid) or uid in entity.parents
        case pst.ScopeIs(type):
            return entity.uid["type"] == str(type)
        case _:
            return None


def _is(entity: CedarEntity, uid: object) -> bool:
    return entity.uid == uid


def _like(value: object, pattern: tuple[pst.PatternElem, ...]) -> object:
    """Wildcards without backtracking: every piece at its first place, the last one at the end."""
    if not isinstance(value, str):
        return UNKNOWN
    pieces = [""]
    for one in pattern:
        if isinstance(one, pst.Char):
            pieces[-1] += one.value
        else:
            pieces.append("")
    if len(pieces) == 1:
        return value == pieces[0]
    first, last = pieces[0], pieces[-1]
    if not value.startswith(first) or not value.endswith(last) or len(value) < len(first) + len(last):
        return False
    place, end = len(first), len(value) - len(last)
    for piece in pieces[1:-1]:
        place = value.find(piece, place, end)
        if place < 0:
            return False
        place += len(piece)
    return True


def _uid(value: object) -> object:
    return value.uid if isinstance(value, CedarEntity) else value


def _binary(op: str, left: object, right: object) -> object:
    if isinstance(left, _Unknown) or isinstance(right, _Unknown):
        return UNKNOWN
    return _BINARY[op](_uid(left), _uid(right))


def _numbers(compare: Callable[[int, int], bool]) -> Callable[[object, object], object]:
    return lambda a, b: compare(a, b) if isinstance(a, int) and isinstance(b, int) else UNKNOWN


def _sets(compare: Callable[[list[object], list[object]], bool]) -> Callable[[object, object], object]:
    return lambda a, b: compare(a, b) if isinstance(a, list) and isinstance(b, list) else UNKNOWN


def _contains(a: object, b: object) -> object:
    return b in a if isinstance(a, list) else UNKNOWN


_BINARY: Mapping[str, Callable[[object, object], object]] = {
    "eq": lambda a, b: a == b,
    "not_eq": lambda a, b: a != b,
    "less": _numbers(lambda a, b: a < b),
    "less_eq": _numbers(lambda a, b: a <= b),
    "greater": _numbers(lambda a, b: a > b),
    "greater_eq": _numbers(lambda a, b: a >= b),
    "contains": _contains,
    "contains_all": _sets(lambda a, b: all(one in a for one in b)),
    "contains_any": _sets(lambda a, b: any(one in a for one in b)),
}


def _and(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def _told(value: bool | None) -> object:
    return UNKNOWN if value is None else value


def _shown(value: object) -> str:
    if isinstance(value, _Unknown):
        return "not there"
    if isinstance(value, CedarEntity):
        value = value.uid
    if isinstance(value, Mapping) and set(value) == {"type", "id"}:
        return _short(f'{value["type"]}::"{value["id"]}"')
    return _short(msgspec.json.encode(value).decode())


def _head(node: pst.Template) -> str:
    text = str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {node.id: node}, ())))
    return _short(text.partition(f"{node.effect}(")[2].partition(")")[0])


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
