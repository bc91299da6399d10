"""What a policy's annotations say. Pure.

@id (every policy has one) · @reason · @obligation("redact:EMAIL,SSN; cap:100") · @shadow · @fail_open
· @approval("finance") or @approval("finance; expires:2h"): the group that must approve, and within how long
· @limit("requests:10/minute; usd:5/day"): what each person may have of it
"""

import re
from collections.abc import Mapping

import msgspec

from penstock.kit.obligations import BadObligation, check, split
from services.policy.money.limits import Limit, LimitsRefused, check_limit
from services.policy.rules.decide import Rule

KNOWN = frozenset({"id", "reason", "obligation", "approval", "shadow", "fail_open", "limit"})
TEXT_MAX = 300
_APPROVAL = re.compile(
    r"(?P<group>[a-z0-9_.-]{1,56})(?:\s*;\s*expires:\s*(?P<number>[1-9][0-9]{0,5})(?P<unit>[smhd]))?\Z"
)
_LIMIT = re.compile(
    r"(?P<measure>requests|tokens|usd|concurrency):(?P<amount>[0-9]{1,15}(?:\.[0-9]{1,9})?)"
    r"(?:/(?P<period>minute|hour|day|week|month))?\Z"
)
_LIMITED_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
"""An account of the store is named after it."""
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
    limits = _limits(annotations["limit"], name, where, problems) if "limit" in annotations else ()
    if not permits and (obligations or approval or limits):
        problems.append(f"{where} is a forbid: obligations, approvals and limits belong on a permit")
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
        limits=limits,
    )


def _limits(text: str, name: str, where: str, problems: list[str]) -> tuple[Limit, ...]:
    """One of each period, as accounts.yaml has them."""
    example = 'write such as @limit("requests:10/minute; usd:5/day; concurrency:2")'
    if _LIMITED_NAME.match(name) is None:
        problems.append(f"{where} has a @limit: its @id must be 1 to 64 of A-Z a-z 0-9 _ . and -")
    found: dict[str, dict[str, str]] = {}
    for one in text.split(";"):
        part = _LIMIT.match(one.strip())
        period = (part["period"] or "total") if part is not None else ""
        known = found.setdefault(period, {})
        if part is None or part["measure"] in known or (part["measure"] == "concurrency" and period != "total"):
            problems.append(f"{where} has a @limit that cannot be read: {example}")
            return ()
        known[part["measure"]] = part["amount"]
    limits: list[Limit] = []
    for period, amounts in found.items():
        try:
            limits.append(msgspec.convert({**amounts, "period": period}, Limit, strict=False))
            check_limit(f"the @limit of {where}", limits[-1])
        except msgspec.ValidationError:
            problems.append(f"{where} has a @limit with a broken number: {example}")
        except LimitsRefused as refused:
            problems.append(refused.detail)
    return tuple(limits)


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
