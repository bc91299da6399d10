"""Statements: a fold of audit records for one account."""

from collections.abc import Sequence

import pytest

from penstock.contracts.audit import DecisionRecord, OutcomeRecord, Record, Who
from penstock.contracts.llm import Usage
from penstock.contracts.money import Statement, StatementLine, StatementPart, StatementRequest, Sum
from penstock.kit.recorder import envelope
from services.policy.money.ledger import rebuild
from services.policy.money.statement import PARTS_MAX, StatementFold, accounts_of, place_of

DAY = 24 * 3600
MONDAY = 1_795_392_000.0
NOW = MONDAY + 10 * DAY
BY_ALICE = Who("user:alice", (), "k1")


def decided(
    attempt: str,
    nano: int = 40,
    *,
    who: Who = BY_ALICE,
    resource: str = 'Model::"default"',
    due: float = NOW - 1,
    accounts: tuple[str, ...] = ("user:alice@2026-W48",),
    effect: str = "allow",
) -> Record:
    record = DecisionRecord(
        decision=f"dec_{attempt}",
        attempt=attempt,
        effect="deny" if effect == "deny" else "allow",
        who=who,
        action="model.complete" if resource.startswith("Model") else "tool.call",
        resource=resource,
        bundle="b",
        accounts=accounts,
        reserved_nano=nano,
        reserved_tokens=nano * 2,
        reserved_requests=1,
        outcome_due=due,
        job="job_1",
    )
    return envelope(record, service="policy", tenant="acme", now=MONDAY)


def ended(attempt: str, nano: int, status: str = "ok", tokens: int = 3, code: str = "") -> Record:
    record = OutcomeRecord(
        decision="d", attempt=attempt, status=status, cost_nano=nano, usage=Usage(output=tokens), code=code
    )
    return envelope(record, service="router", tenant="acme", now=MONDAY)


def stated(records: Sequence[tuple[float, Record]], request: StatementRequest) -> Statement:
    folding = StatementFold("acme", request, NOW)
    for sequence, (stored, record) in enumerate(records, start=1):
        folding.fold(record, stored, (sequence, 0))
    return folding.statement()


ALICE = StatementRequest("user:alice", MONDAY + DAY, MONDAY + 3 * DAY)
RECORDS = [
    (MONDAY, decided("a")),
    (MONDAY + 1, ended("a", 15)),
    (MONDAY + DAY, decided("b")),
    (MONDAY + DAY + 1, decided("c", 0, resource='Tool::"search"', due=NOW + 60)),
    (MONDAY + DAY + 2, decided("x", who=Who("user:bob"), accounts=())),
    (MONDAY + 2 * DAY, decided("d", 30, due=MONDAY + 4 * DAY)),
    (MONDAY + 2 * DAY, decided("e", effect="deny")),
    (MONDAY + 3 * DAY, decided("f")),
    (MONDAY + 5 * DAY, ended("b", 25, tokens=7)),
    (MONDAY + 5 * DAY, ended("b", 99)),
]


def test_a_statement_has_what_was_before_what_was_used_and_what_is_reserved() -> None:
    found = stated(RECORDS, ALICE)

    assert (found.opening, found.committed, found.reserved) == (Sum(15, 3, 1), Sum(55, 67, 2), Sum(0, 0, 1))
    assert [(line.attempt, line.state, line.nano, line.tokens) for line in found.lines] == [
        ("b", "settled", 25, 7),
        ("c", "reserved", 0, 0),
        ("d", "expired", 30, 60),
    ]
    assert found.heard == 10


def test_what_was_used_is_told_by_model_or_tool_action_and_day() -> None:
    found = stated(RECORDS, ALICE)

    assert found.by_resource == [StatementPart('Model::"default"', Sum(55, 67, 2))]
    assert found.by_action == [StatementPart("model.complete", Sum(55, 67, 2))]
    assert found.by_day == [StatementPart("2026-11-24", Sum(25, 7, 1)), StatementPart("2026-11-25", Sum(30, 60, 1))]


def test_a_line_names_who_what_and_why() -> None:
    assert stated(RECORDS, ALICE).lines[0] == StatementLine(
        time=MONDAY + DAY,
        attempt="b",
        subject="user:alice",
        action="model.complete",
        resource='Model::"default"',
        state="settled",
        nano=25,
        tokens=7,
        status="ok",
        job="job_1",
        decision="dec_b",
    )


def test_pages_have_every_line_once_and_sums_stand_on_the_first() -> None:
    one = StatementRequest("user:alice", MONDAY + DAY, MONDAY + 3 * DAY, limit=2)
    first = stated(RECORDS, one)
    second = stated(RECORDS, StatementRequest("user:alice", MONDAY + DAY, MONDAY + 3 * DAY, 2, first.next))

    assert [line.attempt for line in first.lines] == ["b", "c"]
    assert [line.attempt for line in second.lines] == ["d"]
    assert (first.next, second.next) == ("4.0", "")
    assert first.committed == Sum(55, 67, 2) and second.committed == Sum()


def test_without_bounds_it_is_all_that_there_is() -> None:
    found = stated(RECORDS, StatementRequest("user:alice"))

    assert (found.opening, found.committed) == (Sum(), Sum(110, 150, 4))
    assert found.until == NOW


def test_the_sums_are_the_balances() -> None:
    ledger = rebuild([record for _, record in RECORDS], NOW)
    found = stated(RECORDS, StatementRequest("user:alice"))

    pot = ledger.pots["user:alice@2026-W48"]
    assert (found.committed.nano, found.committed.tokens) == (pot.nano, pot.tokens)
    assert found.reserved.nano == pot.held_nano


def test_what_policy_undid_is_no_action() -> None:
    records = [(MONDAY, decided("a")), (MONDAY, ended("a", 0, "cancelled", 0, "unavailable"))]

    assert stated(records, StatementRequest("user:alice")).committed == Sum(0, 0, 0)


def test_an_account_without_a_limit_has_a_statement_too() -> None:
    record = DecisionRecord(
        decision="d",
        attempt="a",
        effect="allow",
        who=Who("user:alice", ("agent:bot",), "k1"),
        action="a",
        resource="r",
        bundle="b",
        accounts=("project:x@2026-11",),
        team="blue",
        run="r1",
    )

    assert accounts_of(record, "acme") == {
        "tenant:acme",
        "team:blue",
        "user:alice",
        "agent:bot",
        "key:k1",
        "run:r1",
        "project:x",
    }


def test_many_models_are_told_apart_up_to_a_bound() -> None:
    records: list[tuple[float, Record]] = []
    for number in range(PARTS_MAX + 5):
        records.append((MONDAY, decided(f"a{number}", resource=f'Model::"m{number}"')))
        records.append((MONDAY, ended(f"a{number}", 1)))

    found = stated(records, StatementRequest("user:alice"))

    assert len(found.by_resource) == PARTS_MAX + 1
    assert [part.sum.requests for part in found.by_resource if part.name == "others"] == [5]


def test_a_record_that_cannot_be_read_says_nothing() -> None:
    broken = Record("x", "router", "penstock.outcome.v1", "", "acme", data=decided("a").data)

    assert stated([(MONDAY, broken)], StatementRequest("user:alice")).lines == []


@pytest.mark.parametrize("text", ["x", "1.y", "1.2.3"])
def test_a_page_that_nobody_gave_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        place_of(text)
