"""Who may answer an approval, as far as that is not for policies to say. Pure."""

from penstock.contracts.approvals import Approval
from penstock.contracts.policy import Reason
from penstock.kit.identity import Claims

ADMIN = "approval:admin"
"""The scope with which all approvals of a tenant can be read; it does not make an approver."""
SCOPE = "approve:"
"""With a group's name behind it: the scope that makes an approver of that group."""
MUST_BE_A_PERSON = Reason("approval", "an agent or a run cannot answer an approval")
NOT_A_MEMBER = Reason("approval", "only members of the group may answer")
OWN = Reason("four-eyes", "nobody answers what they, or agents acting for them, have asked for")


def groups_of(claims: Claims, team: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the wanted groups that the caller belongs to: by the team of their key, or by scope."""
    return tuple(group for group in wanted if group == team or f"{SCOPE}{group}" in claims.scopes)


def is_own(claims: Claims, approval: Approval) -> bool:
    """Whether the caller, or their key, is behind what is asked."""
    same_key = bool(claims.key) and claims.key == approval.key
    return claims.sub == approval.requester or claims.sub in approval.chain or same_key


def is_admin(claims: Claims) -> bool:
    """Whether the caller may read every approval of their tenant."""
    return ADMIN in claims.scopes
