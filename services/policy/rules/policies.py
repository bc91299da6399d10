"""Parsed policies, cut by action, so that a decision looks only at those that can matter to it."""

from collections.abc import Mapping

import cedarpy
from cedarpy import pst

from services.policy.rules.decide import Rule, Ruling
from services.policy.rules.question import TOOL_CALL, part
from services.policy.rules.references import attributes_of, looks_at_input
from services.policy.rules.schema_shape import Shape


class Policies:
    """The policies in force, in parts: one for each action, and for the calls of each tool of `tools`, whose arguments
    some policy looks at. The handles are parsed once."""

    def __init__(
        self, nodes: Mapping[str, pst.Template], rules: Mapping[str, Rule], shape: Shape, tools: frozenset[str]
    ) -> None:
        self._rules = rules
        self._places = {id: place for place, id in enumerate(rules)}
        self._slices: dict[str, cedarpy.PolicySet] = {}
        self._watched: dict[str, frozenset[str] | None] = {}
        for action in shape.actions:
            names = with_groups(action, shape)
            concerned = {id: node for id, node in nodes.items() if concerns(node, names)}
            if action != TOOL_CALL:
                self._cut(action, concerned)
                continue
            typed = {id for id, node in concerned.items() if looks_at_input(node)}
            self._cut(action, {id: node for id, node in concerned.items() if id not in typed})
            for tool in tools:
                others = {id for id in typed if not _is_about(concerned[id], tool)}
                self._cut(part(action, tool), {id: node for id, node in concerned.items() if id not in others})

    def _cut(self, part: str, nodes: dict[str, pst.Template]) -> None:
        self._slices[part] = cedarpy.PolicySet.from_pst(pst.PolicySet({}, nodes, ()))
        self._watched[part] = _all_of([attributes_of(node) for node in nodes.values()])

    def watches(self, part: str, name: str) -> bool:
        """Whether the answer for this part can depend on the fact of this name."""
        watched = self._watched[part]
        return watched is None or name in watched

    def ask(self, part: str, requests: list[dict[str, object]], entities: str, schema: cedarpy.Schema) -> list[Ruling]:
        answers = cedarpy.is_authorized_batch(requests, self._slices[part], entities, schema)
        return [self._ruling(answer) for answer in answers]

    def _ruling(self, answer: cedarpy.AuthzResult) -> Ruling:
        diagnostics = answer.diagnostics
        if answer.decision is cedarpy.Decision.NoDecision:
            return Ruling(False, unfit="the question does not fit the bundle's schema")
        # in the order of the files: Cedar gives them in none, and a record made twice must be the same
        rules = tuple(self._rules[id] for id in sorted(diagnostics.reasons, key=self._places.__getitem__))
        failed = tuple(_culprits(diagnostics.errors, self._rules))
        return Ruling(answer.allowed, rules, failed)


def _is_about(node: pst.Template, tool: str) -> bool:
    match node.resource:
        case pst.ScopeEq(pst.EntityUid(_, id)):
            return id == tool
        case _:
            return False


def concerns(node: pst.Template, names: frozenset[str]) -> bool:
    """Whether the policy's scope can match an action of these names."""
    match node.action:
        case pst.ActionEq(entity):
            return entity.id in names
        case pst.ActionIn(entities):
            return any(entity.id in names for entity in entities)
        case _:
            return True


def with_groups(action: str, shape: Shape) -> frozenset[str]:
    """The action's name and those of all groups above it."""
    names: set[str] = set()
    waiting = [action]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting.extend(shape.actions[name].groups if name in shape.actions else ())
    return frozenset(names)


def _all_of(watched: list[frozenset[str] | None]) -> frozenset[str] | None:
    names: set[str] = set()
    for one in watched:
        if one is None:
            return None
        names |= one
    return frozenset(names)


def _culprits(errors: list[str], rules: Mapping[str, Rule]) -> list[str]:
    """Ids of the policies that the errors name; Cedar's own text may hold what the question said, so it stays out."""
    return [next((one.id for id, one in rules.items() if f"`{id}`" in error), "policies") for error in errors]
