"""What policy tells its policies of the asker's pace and purse."""

from penstock.contracts.policy import ActionName, Decision, DecisionContext, Entity, Question
from penstock.kit.identity import Claims
from services.policy.rules.pace import Pace

ALICE = Claims("acme", "user:alice", 0.0)
BOB = Claims("acme", "user:bob", 0.0)
NOON = 1_700_049_600.0


def asked(**facts: int) -> Question:
    return Question(ActionName("tool.call"), Entity("Tool", "x"), "att_1", context={**facts})


def test_each_person_has_a_rate_of_their_own_and_it_fades() -> None:
    pace = Pace()
    rates = [pace.told(asked(), ALICE, NOON + second).context["minute_rate"] for second in (0, 1, 2)]
    assert rates == [1, 2, 3]
    assert pace.told(asked(), BOB, NOON + 3).context["minute_rate"] == 1
    assert pace.told(asked(), ALICE, NOON + 90).context["minute_rate"] == 2  # itself, and half of three
    assert pace.told(asked(), ALICE, NOON + 600).context["minute_rate"] == 1


def test_what_is_left_is_what_the_last_reservation_said() -> None:
    pace = Pace()
    assert pace.told(asked(), ALICE, NOON).context["budget_left_nano"] == -1
    pace.seen(ALICE, Decision(True, DecisionContext("dec_1", "allow", remaining_nano=5_000)))
    pace.seen(ALICE, Decision(True, DecisionContext("dec_2", "allow")))
    assert pace.told(asked(), ALICE, NOON).context["budget_left_nano"] == 5_000
    assert pace.told(asked(), BOB, NOON).context["budget_left_nano"] == -1


def test_an_asker_cannot_write_these_facts_itself() -> None:
    facts = Pace().told(asked(minute_rate=0, budget_left_nano=10**15, depth=3), ALICE, NOON).context
    assert facts == {"minute_rate": 1, "budget_left_nano": -1, "depth": 3}


def test_only_so_many_are_known() -> None:
    pace = Pace(known_max=2)
    for name in ("a", "b", "c"):
        pace.told(asked(), Claims("acme", f"user:{name}", 0.0), NOON)
    assert pace.told(asked(), Claims("acme", "user:a", 0.0), NOON).context["minute_rate"] == 1
    assert pace.told(asked(), Claims("acme", "user:c", 0.0), NOON).context["minute_rate"] == 2
