"""What differs between two bundles: policies by their @id, and the cases that they answer differently. Pure."""

import msgspec

from services.policy.publishing.explain import text_of
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import Case, answer_to
from services.policy.rules.decide import Verdict
from services.policy.rules.sources import SCHEMA_FILE, TOOLS_FILE


class Change(msgspec.Struct, frozen=True):
    """One policy, before and after; "" where it is not there."""

    id: str
    before: str
    after: str


class CaseChange(msgspec.Struct, frozen=True):
    """One case, and what it is answered, such as `deny by closed`."""

    name: str
    before: str
    after: str


class Difference(msgspec.Struct, frozen=True):
    """`files`: the schema and the tools, where they differ."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    cases: tuple[CaseChange, ...]
    files: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        return not (self.added or self.removed or self.changed or self.cases or self.files)


def difference(before: Bundle, after: Bundle, cases: list[Case], known: frozenset[str]) -> Difference:
    """`cases` are those of both, asked of both."""
    old, new = _texts(before), _texts(after)
    answers = [_asked(before, after, case, known) for case in _distinct(cases)]
    return Difference(
        added=tuple(Change(id, "", new[id]) for id in new if id not in old),
        removed=tuple(Change(id, old[id], "") for id in old if id not in new),
        changed=tuple(Change(id, old[id], new[id]) for id in old if id in new and old[id] != new[id]),
        cases=tuple(one for one in answers if one.before != one.after),
        files=tuple(name for name in (SCHEMA_FILE, TOOLS_FILE) if before.files.get(name) != after.files.get(name)),
    )


def _asked(before: Bundle, after: Bundle, case: Case, known: frozenset[str]) -> CaseChange:
    return CaseChange(case.name, _said(answer_to(before, case, known)), _said(answer_to(after, case, known)))


def _distinct(cases: list[Case]) -> list[Case]:
    """A case that stands in both bundles is asked once."""
    found: dict[bytes, Case] = {}
    for case in cases:
        found.setdefault(msgspec.json.encode((case.who, case.ask)), case)
    return list(found.values())


def _said(verdict: Verdict) -> str:
    policies = ", ".join(dict.fromkeys(reason.policy for reason in verdict.reasons))
    return f"{verdict.effect} by {policies}" if policies else verdict.effect


def _texts(bundle: Bundle) -> dict[str, str]:
    return {bundle.parsed.rules[id].id: text_of(node) for id, node in bundle.parsed.nodes.items()}
