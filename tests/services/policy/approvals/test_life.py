"""The life of one approval, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.contracts.approvals import Answered, Approval, KeptApproval
from penstock.contracts.errors import Code, Failure
from services.policy.approvals.life import (
    Bond,
    Standing,
    answered,
    approval_id,
    digest_in,
    due,
    given_back,
    reminders_due,
    standing,
    untold,
    used,
)

BOND = Bond("acme", "user:alice", ("agent:helper",), "k1", "run_1", "tool.call", "Tool", "pay", "ab" * 32, ("finance",))
DIGEST = BOND.digest()
ASKED = KeptApproval(
    Approval(
        id=approval_id(DIGEST, 0),
        tenant="acme",
        state="pending",
        action="tool.call",
        resource='Tool::"pay"',
        requester="user:alice",
        groups=("finance",),
        digest=DIGEST,
        created=1000.0,
        until=2000.0,
    )
)
YES = Answered("user:bob", True, 1100.0, "go ahead", ("finance",))
NO = Answered("user:bob", False, 1100.0, "too much", ("finance",))


def approved() -> KeptApproval:
    return answered(ASKED, YES, 600.0)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "globex"},
        {"requester": "user:eve"},
        {"chain": ()},
        {"key": "k2"},
        {"run": "run_2"},
        {"action": "tool.list"},
        {"kind": "Model"},
        {"resource": "pay2"},
        {"arguments_digest": "cd" * 32},
        {"groups": ("legal",)},
    ],
)
def test_anything_that_differs_is_another_approval(change: dict[str, object]) -> None:
    assert replace(BOND, **change).digest() != DIGEST


@given(st.text(max_size=80))
def test_what_is_no_id_has_no_digest(text: str) -> None:
    if digest_in(text):
        assert text.startswith("apr_") and text.isascii()


def test_an_id_leads_to_its_digest() -> None:
    assert digest_in(approval_id(DIGEST, 12)) == DIGEST


def test_one_approval_of_the_only_group_approves_for_a_while() -> None:
    kept = approved()
    assert (kept.approval.state, kept.approval.usable_until) == ("approved", 1700.0)
    assert standing(kept, "att_1", "", 1699.0) is Standing.USABLE
    assert standing(kept, "att_1", "", 1700.0) is Standing.NEW


def test_every_group_must_approve_and_one_denial_denies() -> None:
    both = replace(ASKED, approval=replace(ASKED.approval, groups=("finance", "legal")))
    first = answered(both, YES, 600.0)
    assert first.approval.state == "pending"
    counsel = Answered("user:carol", True, 1200.0, "", ("legal",))
    assert answered(first, counsel, 600.0).approval.state == "approved"
    assert answered(first, replace(counsel, approved=False), 600.0).approval.state == "denied"


def test_the_same_answer_again_changes_nothing_and_another_is_refused() -> None:
    kept = approved()
    assert answered(kept, replace(YES, time=1200.0), 600.0) is kept
    with pytest.raises(Failure, match="approved by user:bob") as raised:
        answered(kept, replace(NO, by="user:carol"), 600.0)
    assert raised.value.code is Code.CONFLICT
    with pytest.raises(Failure, match="approved by user:bob"):
        answered(kept, NO, 600.0)


def test_an_answer_that_comes_too_late_is_refused_though_nobody_ended_it_yet() -> None:
    with pytest.raises(Failure, match="has expired"):
        answered(ASKED, replace(YES, time=2000.0), 600.0)


def test_what_is_used_is_used_up_but_for_the_same_attempt_and_the_same_step() -> None:
    kept = used(approved(), "att_1", "run_1/tool-1-1")
    assert standing(kept, "att_1", "", 1200.0) is Standing.OURS
    assert standing(kept, "att_2", "run_1/tool-1-1", 1200.0) is Standing.OURS
    assert standing(kept, "att_2", "run_1/tool-2-1", 1200.0) is Standing.NEW
    assert standing(used(approved(), "att_1", ""), "att_2", "", 1200.0) is Standing.NEW


def test_what_came_to_nothing_may_still_be_done() -> None:
    taken = used(approved(), "att_1", "")
    kept = given_back(taken, taken)
    assert kept is not None
    assert standing(kept, "att_2", "", 1200.0) is Standing.USABLE


def test_what_was_taken_again_beside_us_is_not_given_back() -> None:
    first = used(approved(), "att_1", "")
    assert given_back(used(first, "att_1", ""), first) is None


def test_a_denial_stands_until_its_time_is_over() -> None:
    kept = answered(ASKED, NO, 600.0)
    assert standing(kept, "att_1", "", 1999.0) is Standing.DENIED
    assert standing(kept, "att_1", "", 2000.0) is Standing.NEW


def test_what_nobody_answers_ends_and_no_clock_brings_it_back() -> None:
    assert due(ASKED, 1999.0) is None
    ended = due(ASKED, 2000.0)
    assert ended is not None and ended.approval.state == "expired"
    assert standing(ended, "att_1", "", 1500.0) is Standing.NEW
    assert due(ended, 9999.0) is None
    with pytest.raises(Failure, match="has expired"):
        answered(ended, replace(YES, time=1500.0), 600.0)


def test_approvers_are_reminded_at_half_time_and_before_the_end() -> None:
    assert [reminders_due(ASKED.approval, now) for now in (1000.0, 1499.0, 1500.0, 1899.0, 1900.0)] == [0, 0, 1, 1, 2]
    assert reminders_due(approved().approval, 1900.0) == 0


def test_nothing_that_happened_is_left_untold() -> None:
    assert untold(ASKED) == ["asked"]
    assert untold(replace(ASKED, told="pending")) == []
    assert untold(replace(used(approved(), "att_1", ""), told="pending")) == ["approved", "used"]
    assert untold(approved()) == ["asked", "approved"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["yes", "no", "use", "back", "clock"]),
            st.sampled_from(["user:bob", "user:carol"]),
            st.floats(0, 3000),
        ),
        max_size=12,
    )
)
def test_one_approval_is_used_once_whatever_happens_in_whatever_order(
    steps: list[tuple[str, str, float]],
) -> None:
    kept, uses = ASKED, 0
    for number, (what, by, now) in enumerate(steps):
        if what in ("yes", "no"):
            try:
                kept = answered(kept, Answered(by, what == "yes", now, "", ("finance",)), 600.0)
            except Failure:
                continue
        elif what == "use" and standing(kept, f"att_{number}", "", now) is Standing.USABLE:
            kept = used(kept, f"att_{number}", "")
            uses += 1
        elif what == "back" and kept.approval.state == "used":
            kept = given_back(kept, kept) or kept
            uses -= 1
        else:
            kept = due(kept, now) or kept
    assert uses in (0, 1)
    assert uses == 0 or any(one.approved for one in kept.approval.answers)
