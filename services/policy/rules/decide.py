"""The decision: what the policies say, and what that means. Pure.

Default deny; a forbid wins; an error in a policy denies; an obligation that nobody can carry out denies; a policy
that wants approval holds. A shadow policy changes nothing and is reported.
"""

from typing import Literal

import msgspec

from penstock.contracts.errors import Code
from penstock.contracts.policy import EffectName, Reason, Reserve
from penstock.kit.obligations import BadObligation, merge
from services.policy.money.limits import AMOUNT_MAX, Limit

UnknownPrice = Literal["deny", "estimate", "free"]
RuleLimits = tuple[str, tuple[Limit, ...]]
"""A rule's id and its limits."""


class Rule(msgspec.Struct, frozen=True):
    """One policy, by its annotations. `permits` is False for a forbid. `approval`: the group that must approve,
    within `approval_s` (0: as is set for all). `limits`: of each person, for what it permits."""

    id: str
    permits: bool
    reason: str = ""
    obligations: tuple[str, ...] = ()
    approval: str = ""
    approval_s: float = 0.0
    shadow: bool = False
    fail_open: bool = False
    limits: tuple[Limit, ...] = ()

    def why(self) -> Reason:
        return Reason(self.id, self.reason or self.id)


class Ruling(msgspec.Struct, frozen=True):
    """Cedar's answer: the rules that determined it, those that could not be evaluated, and whether the question
    did not fit the schema at all (`unfit` says how)."""

    allowed: bool
    rules: tuple[Rule, ...] = ()
    failed: tuple[str, ...] = ()
    unfit: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What policy says of an action, before any budget is asked. `groups` must all approve what is held, within
    `approval_s`; `approval` is the one that this stands on, `approvers` who gave it."""

    effect: EffectName
    code: str = ""
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    approval_s: float = 0.0
    approval: str = ""
    approvers: tuple[str, ...] = ()
    limits: tuple[RuleLimits, ...] = ()
    open: bool = False

    @property
    def permits(self) -> bool:
        return self.effect in ("allow", "transform", "shadow")


def refuse(code: Code, *reasons: Reason) -> Verdict:
    """A deny."""
    return Verdict("deny", str(code), reasons)


def decide(live: Ruling, shadowed: Ruling | None = None, known: frozenset[str] = frozenset()) -> Verdict:
    """`shadowed` is the ruling with the shadow policies in force too; `known` the names of obligations that can be
    carried out (the part before the colon)."""
    verdict = _decide(live, known)
    if not verdict.permits or shadowed is None:
        return verdict
    would = _decide(shadowed, known)
    if would.permits:
        return verdict
    return msgspec.structs.replace(verdict, effect="shadow", reasons=(*would.reasons, *verdict.reasons), open=False)


def _decide(ruling: Ruling, known: frozenset[str]) -> Verdict:
    if ruling.unfit:
        return refuse(Code.DENIED, Reason("schema", ruling.unfit))
    if ruling.failed:
        return refuse(Code.DENIED, *(Reason(name, "this policy could not be evaluated") for name in ruling.failed))
    reasons = tuple(rule.why() for rule in ruling.rules)
    if not ruling.allowed:
        return refuse(Code.DENIED, *(reasons or (Reason("default", "no policy permits this"),)))
    return _permitted(ruling, reasons, known)


def _permitted(ruling: Ruling, reasons: tuple[Reason, ...], known: frozenset[str]) -> Verdict:
    obligations = tuple(dict.fromkeys(one for rule in ruling.rules for one in rule.obligations))
    unknown = [one for one in obligations if one.partition(":")[0] not in known]
    if unknown:
        return refuse(
            Code.DENIED, *(Reason("obligation", f"nobody here can carry out {one[:80]!r}") for one in unknown)
        )
    try:
        merge(obligations)
    except BadObligation as bad:
        return refuse(Code.DENIED, Reason("obligation", str(bad)))
    limits = tuple((rule.id, rule.limits) for rule in ruling.rules if rule.limits)
    wanted = tuple(dict.fromkeys(rule.approval for rule in ruling.rules if rule.approval))
    if wanted:
        approvals = tuple(Reason("approval", f"approval by {who} is needed") for who in wanted)
        within_s = min((rule.approval_s for rule in ruling.rules if rule.approval and rule.approval_s), default=0.0)
        held = Verdict("hold", str(Code.APPROVAL_REQUIRED), (*approvals, *reasons), obligations, wanted, within_s)
        return msgspec.structs.replace(held, limits=limits)
    if obligations:
        return Verdict("transform", "", reasons, obligations, limits=limits)
    is_open = not limits and any(rule.fail_open for rule in ruling.rules)
    return Verdict("allow", "", reasons, limits=limits, open=is_open)


def price(reserve: Reserve | None, rule: UnknownPrice, estimate_nano_per_token: int) -> int | None:
    """Nano-dollars to reserve; None when the price is unknown and that is a reason to refuse."""
    if reserve is None:
        return 0
    if reserve.cost_nano >= 0:
        return reserve.cost_nano
    match rule:
        case "free":
            return 0
        case "estimate":
            return min(reserve.tokens * estimate_nano_per_token, AMOUNT_MAX)
        case "deny":
            return None


UNPRICED = refuse(Code.DENIED, Reason("price", "the price of this is not known: add it to the price table"))
