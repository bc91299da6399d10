"""What a policy's annotations say. Pure.

@id (every policy has one) · @reason · @obligation("redact:EMAIL,SSN; cap:100") · @approval("finance") · @shadow
"""

from collections.abc import Mapping

from services.policy.rules.decide import Rule

KNOWN = frozenset({"id", "reason", "obligation", "approval", "shadow"})
TEXT_MAX = 300


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
    obligations = _several(annotations.get("obligation", ""))
    approval = annotations.get("approval", "").strip()
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
        shadow="shadow" in annotations,
    )


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())
