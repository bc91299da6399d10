import json

from services.audit.orphans import Facts, Opened, Pairs, facts
from tests.support.audit_log import decision, outcome


def of(record: dict[str, object], tenant: str = "acme") -> Facts:
    return facts(json.dumps(record).encode(), tenant)


def fold(*records: dict[str, object]) -> Pairs:
    pairs = Pairs()
    for record in records:
        pairs.add(of(record), "acme")
    return pairs


def test_a_decision_without_an_outcome_is_an_orphan_once_it_is_due() -> None:
    pairs = fold(decision("dec_1", due=100.0))
    assert pairs.overdue(100.0) == []
    assert pairs.overdue(100.1) == [Opened("dec_1", "acme", 100.0)]


def test_an_outcome_settles_its_decision() -> None:
    assert fold(decision("dec_1", due=100.0), outcome("dec_1")).overdue(1e12) == []


def test_an_outcome_that_came_first_settles_its_decision_too() -> None:
    assert fold(outcome("dec_1"), decision("dec_1", due=100.0)).overdue(1e12) == []


def test_a_refusal_waits_for_nothing() -> None:
    assert (
        fold(decision("dec_1", due=100.0, effect="deny"), decision("dec_2", due=1.0, effect="hold")).overdue(1e12) == []
    )


def test_the_outcome_of_another_tenant_settles_nothing() -> None:
    pairs = fold(decision("dec_1", due=100.0))
    pairs.add(of(outcome("dec_1"), "other"), "other")
    assert [orphan.decision for orphan in pairs.overdue(1e12)] == ["dec_1"]


def test_a_record_is_found_by_its_job_request_and_decision() -> None:
    found = of(decision("dec_1", job="job_1"))
    assert (found.job, found.request, found.decision) == ("job_1", "", "dec_1")


def test_what_cannot_be_read_has_no_facts() -> None:
    for text in (b"{}", b"[]", b"\xff", b'{"id":1}', b"[" * 5000):
        assert facts(text, "acme") == Facts()
    assert of(decision("d") | {"data": {"decision": 5}}) == Facts()
