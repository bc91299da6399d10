"""What the policies' answers amount to."""

import pytest

from penstock.contracts.policy import Reason, Reserve
from services.policy.rules.decide import Rule, Ruling, UnknownPrice, decide, price

PERMIT = Rule("use", True)
FORBID = Rule("stop", False, "not on my watch")


def test_what_no_policy_permits_is_denied() -> None:
    verdict = decide(Ruling(False))

    assert (verdict.effect, verdict.code) == ("deny", "denied")
    assert verdict.reasons == (Reason("default", "no policy permits this"),)


def test_a_permit_allows_and_says_which() -> None:
    verdict = decide(Ruling(True, (PERMIT,)))

    assert (verdict.effect, verdict.permits, verdict.code) == ("allow", True, "")
    assert verdict.reasons == (Reason("use", "use"),)


def test_a_forbid_denies_with_its_reason() -> None:
    assert decide(Ruling(False, (FORBID,))).reasons == (Reason("stop", "not on my watch"),)


def test_a_policy_that_could_not_be_evaluated_denies_even_where_another_permits() -> None:
    verdict = decide(Ruling(True, (PERMIT,), failed=("stop",)))

    assert verdict.effect == "deny"
    assert verdict.reasons == (Reason("stop", "this policy could not be evaluated"),)


def test_an_obligation_that_somebody_can_carry_out_is_passed_on() -> None:
    rules = (Rule("a", True, obligations=("redact:EMAIL",)), Rule("b", True, obligations=("cap:9", "redact:EMAIL")))

    verdict = decide(Ruling(True, rules), known=frozenset({"redact", "cap"}))

    assert (verdict.effect, verdict.obligations) == ("transform", ("redact:EMAIL", "cap:9"))


def test_an_obligation_that_nobody_can_carry_out_denies() -> None:
    verdict = decide(Ruling(True, (Rule("a", True, obligations=("redact:EMAIL",)),)), known=frozenset({"cap"}))

    assert (verdict.effect, verdict.code) == ("deny", "denied")
    assert verdict.reasons == (Reason("obligation", "nobody here can carry out 'redact:EMAIL'"),)


def test_a_permit_that_wants_approval_holds() -> None:
    verdict = decide(Ruling(True, (PERMIT, Rule("big", True, "large sum", approval="finance"))))

    assert (verdict.effect, verdict.permits, verdict.code) == ("hold", False, "approval_required")
    assert verdict.reasons[0] == Reason("approval", "approval by finance is needed")


def test_a_shadow_policy_that_would_deny_changes_nothing_and_is_reported() -> None:
    verdict = decide(Ruling(True, (PERMIT,)), Ruling(False, (Rule("soon", False, "from May on", shadow=True),)))

    assert (verdict.effect, verdict.permits) == ("shadow", True)
    assert verdict.reasons == (Reason("soon", "from May on"), Reason("use", "use"))


def test_a_shadow_policy_cannot_permit_what_is_denied() -> None:
    assert decide(Ruling(False), Ruling(True, (PERMIT,))).effect == "deny"


@pytest.mark.parametrize(
    ("reserve", "rule", "nano"),
    [
        (None, "deny", 0),
        (Reserve(7, 100), "deny", 7),
        (Reserve(0, 100), "deny", 0),
        (Reserve(-1, 100), "deny", None),
        (Reserve(-1, 100), "free", 0),
        (Reserve(-1, 100), "estimate", 300),
        (Reserve(-1, 2**53), "estimate", 2**53 - 1),
    ],
)
def test_an_unknown_price_is_never_zero_by_accident(
    reserve: Reserve | None, rule: UnknownPrice, nano: int | None
) -> None:
    assert price(reserve, rule, 3) == nano
