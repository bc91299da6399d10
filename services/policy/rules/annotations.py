"""What a policy's annotations say. Pure.

@id (every policy has one) · @reason · @obligation("redact:EMAIL,SSN; cap:100") · @shadow · @fail_open
· @approval("finance") or @approval("finance; expires:2h"): the group that must approve, and within how long
"""

import re
from collections.abc import Mapping

from penstock.kit.obligations import BadObligation, check, split
from services.policy.rules.decide import Rule

KNOWN = frozenset({"id", "reason", "obligation", "approval", "shadow", "fail_open"})
TEXT_MAX = 300
_APPROVAL = re.compile(
    r"(?P<group>[a-z0-9_.-]{1,56})(?:\s*;\s*expires:\s*(?P<number>[1-9][0-9]{0,5})(?P<unit>[smhd]))?\Z"
)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def rule(annotations: Mapping[str, str], permits: bool, problems: list[str]) -> Rule:
    """The rule, and in `problems` a sentence for each thing that is wrong with it."""
    name = annotations.get("id", "")
    where = f"policy {name!r}" if name else "a policy"
    if not name:
        problems.append('a policy has no @id. Write @id("a-name") before it')
    for unknown in sorted(annotations.keys() - KNOWN):
        problems.append(
            f"{where} has @{unknown}, which nobody honours. Use {', '.join('@' + k for k in sorted(KNOWN))}"
        )
    if any(len(text) > TEXT_MAX for text in annotations.values()):
        problems.append(f"{where} has an annotation of more than {TEXT_MAX} characters")
    obligations = split(annotations.get("obligation", ""))
    problems.extend(f"{where}: {problem}" for problem in _unreadable(obligations))
    approval, approval_s = _approval(annotations.get("approval", "").strip(), where, problems)
    if not permits and (obligations or approval):
        problems.append(f"{where} is a forbid: obligations and approvals belong on a permit")
    if "obligation" in annotations and not obligations:
        problems.append(f"{where} has an empty @obligation")
    if "approval" in annotations and not approval:
        problems.append(f"{where} has an @approval that names nobody")
    return Rule(
        id=name,
        permits=permits,
        reason=annotations.get("reason", ""),
        obligations=obligations,
        approval=approval,
        approval_s=approval_s,
        shadow="shadow" in annotations,
        fail_open="fail_open" in annotations,
    )


def _approval(text: str, where: str, problems: list[str]) -> tuple[str, float]:
    """The group, and seconds (0: none named)."""
    if not text:
        return "", 0.0
    found = _APPROVAL.match(text)
    if found is None:
        example = '@approval("finance") or @approval("finance; expires:2h")'
        problems.append(f"{where} has an @approval that cannot be read. Write a group in small letters, as {example}")
        return text, 0.0
    return found["group"], float(int(found["number"]) * _UNIT_S[found["unit"]]) if found["number"] else 0.0


def _unreadable(obligations: tuple[str, ...]) -> list[str]:
    problems: list[str] = []
    for one in obligations:
        try:
            check(one)
        except BadObligation as bad:
            problems.append(str(bad))
    return problems
