"""Which attributes a policy looks at. Pure.

What no policy looks at cannot change its answer: such facts are left out of the key under which it is remembered.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from cedarpy import pst

EVERYTHING = None
"""The policy handles a whole record (such as `context == {…}`): anything in it may matter."""


def attributes_of(node: pst.Template) -> frozenset[str] | None:
    """Names of all attributes that are read or asked for anywhere in the policy, or EVERYTHING."""
    names: set[str] = set()
    for clause in node.clauses:
        if not _look(clause, names):
            return EVERYTHING
    return frozenset(names)


def looks_at_input(node: pst.Template) -> bool:
    """Whether the policy looks at a tool's arguments."""
    return any(_at_input(clause) for clause in node.clauses)


def _at_input(node: object) -> bool:
    match node:
        case pst.GetAttr(pst.Var("context"), "input"):
            return True
        case pst.HasAttr(pst.Var("context"), attrs) if attrs[0] == "input":
            return True
        case Mapping():
            return any(_at_input(value) for value in node.values())
        case tuple():
            return any(_at_input(value) for value in node)
        case _ if is_dataclass(node):
            return any(_at_input(getattr(node, one.name)) for one in fields(node))
        case _:
            return False


def _look(node: object, names: set[str]) -> bool:
    """Whether only single attributes of `context` are used below this node; collects their names."""
    match node:
        case pst.GetAttr(base, attr):
            names.add(attr)
            return _is_context(base) or _look(base, names)
        case pst.HasAttr(base, attrs):
            names.update(attrs)
            return _is_context(base) or _look(base, names)
        case pst.Var(name):
            return name != "context"
        case Mapping():
            return all(_look(value, names) for value in node.values())
        case tuple():
            return all(_look(value, names) for value in node)
        case _ if is_dataclass(node):
            return all(_look(getattr(node, one.name), names) for one in fields(node))
        case _:
            return True


def _is_context(node: object) -> bool:
    return isinstance(node, pst.Var) and node.name == "context"
