"""The pots of a rule's own limits (`@limit`): one of each person, beside those of the accounts. Pure."""

from collections.abc import Sequence

from services.policy.money.limits import Limit, Pot, pots


def rule_pots(limits: Sequence[tuple[str, tuple[Limit, ...]]], subject: str, now: float) -> tuple[Pot, ...]:
    """`limits` by rule; `subject`: the person or workload at the origin, whichever agents act for them."""
    standing = {f"rule:{rule}:{subject}": own for rule, own in limits}
    return tuple(pots([(account, 0, 0) for account in standing], standing, now))
