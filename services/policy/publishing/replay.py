"""Recorded decisions asked again of another bundle: which would change, and by which rule. Pure, bounded memory."""

from collections.abc import Sequence

import msgspec

from penstock.contracts.audit import DecisionRecord
from penstock.contracts.bundles import PastDecision
from services.policy.publishing.again import asking, of_effect, said
from services.policy.rules.bundle import Asking, Bundle
from services.policy.rules.decide import Verdict

EXAMPLES_MAX = 5
GROUPS_MAX = 500
OTHERS = "others"


class Example(msgspec.Struct, frozen=True):
    """One decision that would change; `why`: what the new answer says."""

    decision: str
    time: str
    tenant: str
    who: str
    action: str
    resource: str
    why: str


class Group(msgspec.Struct):
    """Decisions that change in the same way by the same rule: the new one that decides, or the old one that does no
    more."""

    rule: str
    change: str
    count: int = 0
    examples: list[Example] = []


class Report(msgspec.Struct):
    """`same`: the answer stays (`reasons` of them by other rules). `unknown`: the record does not hold what the bundle
    looks at. `older`: recorded by a version that kept no questions."""

    decisions: int = 0
    same: int = 0
    reasons: int = 0
    changed: int = 0
    unknown: int = 0
    older: int = 0
    groups: dict[str, Group] = {}

    def add(self, other: "Report") -> None:
        """What was found in later decisions."""
        for name in ("decisions", "same", "reasons", "changed", "unknown", "older"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for group in other.groups.values():
            mine = self._group(group.rule, group.change)
            mine.count += group.count
            mine.examples = (mine.examples + group.examples)[:EXAMPLES_MAX]

    def change(self, rule: str, change: str, example: Example) -> None:
        """One more decision that changes."""
        self.changed += 1
        group = self._group(rule, change)
        group.count += 1
        if len(group.examples) < EXAMPLES_MAX:
            group.examples = [*group.examples, example]

    def _group(self, rule: str, change: str) -> Group:
        name = f"{change} by {rule}"
        if name not in self.groups and len(self.groups) >= GROUPS_MAX:
            rule, name = OTHERS, f"{change} by {OTHERS}"
        return self.groups.setdefault(name, Group(rule, change))


def replay(bundle: Bundle, past: Sequence[PastDecision], known: frozenset[str]) -> Report:
    """Asks them all at once: Cedar is quicker in batches."""
    report = Report(decisions=len(past))
    asked: list[tuple[PastDecision, Asking]] = []
    for one in past:
        again = asking(one.record, one.tenant)
        if again is None:
            report.older += 1
        elif _untold(bundle, one.record, again):
            report.unknown += 1
        else:
            asked.append((one, again))
    verdicts = bundle.judge_each([again for _, again in asked], known)
    for (one, _), verdict in zip(asked, verdicts, strict=True):
        _compare(report, one, verdict)
    return report


def _untold(bundle: Bundle, record: DecisionRecord, again: Asking) -> bool:
    """Whether the bundle looks at something that the record does not hold whole."""
    return any(bundle.looks_at(again.question, name) for name in record.withheld)


def _compare(report: Report, past: PastDecision, verdict: Verdict) -> None:
    record = past.record
    before, after = said(record), of_effect(verdict.effect)
    old = [reason.policy for reason in record.reasons]
    new = [reason.policy for reason in verdict.reasons]
    if (before, record.obligations) == (after, verdict.obligations) or before == after != "transform":
        report.same += 1
        report.reasons += before == after == "deny" and set(old) != set(new)
        return
    rule = next((name for name in new if name not in old), next((name for name in old if name not in new), ""))
    why = "; ".join(f"{reason.policy}: {reason.text}" for reason in verdict.reasons)[:300]
    example = Example(record.decision, past.time, past.tenant, record.who.origin, record.action, record.resource, why)
    report.change(rule or OTHERS, f"{before} -> {after}", example)
