"""Journal events to state, view and public events."""

import msgspec
import pytest

from penstock.contracts.errors import FailureBody
from penstock.contracts.jobs import Job
from penstock.contracts.llm import Usage
from penstock.contracts.runs import (
    AnyRunEvent,
    Blocked,
    Cancelled,
    Claimed,
    Completed,
    Created,
    Failed,
    InputTaken,
    StepDone,
    StepFailed,
    StepStarted,
    Waiting,
)
from services.orchestrator.events import job_events
from services.orchestrator.fold import JournalDamaged, fold, view

CREATED = Created(
    n=0,
    time=10.0,
    run="run_1",
    tenant="acme",
    subject="user:alice",
    job=Job(kind="agent", input=msgspec.Raw(b'"x"'), id="job_1", agent="helper", labels={"a": "b"}),
    token="t",
    revision="r",
    deadline=100.0,
)
RAW = msgspec.Raw(b"1")


def claimed(n: int, worker: str = "w1") -> Claimed:
    return Claimed(n=n, time=10.0 + n, worker=worker, revision="r")


def done(n: int, step: str, **fields: object) -> StepDone:
    given = {"n": n, "time": 10.0 + n, "step": step, "name": "act", "arguments_hash": "h", "result": RAW, **fields}
    return msgspec.convert(given, StepDone)


def journal(*events: AnyRunEvent) -> list[tuple[int, AnyRunEvent]]:
    return [(100 + 7 * event.n, event) for event in events]


def test_a_journal_is_its_steps_its_owner_and_its_epoch() -> None:
    run = fold(
        journal(
            CREATED,
            claimed(1),
            done(2, "a", usage=Usage(output=3), cost_nano=5),
            StepFailed(n=3, time=13.0, step="b", name="act", error=FailureBody("unavailable"), tries=2, next_at=14.0),
            claimed(4, "w2"),
            StepStarted(n=5, time=15.0, step="c", key="k", effect="once"),
        )
    )
    assert (run.worker, run.epoch, run.sequence, run.n) == ("w2", 128, 135, 6)
    assert (run.claims, run.claims_in_vain) == (2, 1)
    assert set(run.done) == {"a"} and run.tries == {"b": 2} and set(run.open) == {"c"}
    assert (run.usage, run.cost_nano, run.updated) == (Usage(output=3), 5, 15.0)


def test_a_run_that_was_handed_over_has_no_owner_and_its_claim_was_not_in_vain() -> None:
    run = fold(journal(CREATED, claimed(1), claimed(2), Waiting(n=3, time=13.0, inputs=[], why="handed over")))
    assert (run.worker, run.claims, run.claims_in_vain) == ("", 2, 1)


def test_an_unknown_price_adds_nothing() -> None:
    run = fold(journal(CREATED, claimed(1), done(2, "a", cost_nano=-1), done(3, "b", cost_nano=7)))
    assert run.cost_nano == 7


@pytest.mark.parametrize(
    "events",
    [
        [claimed(0)],
        [CREATED, claimed(2)],
        [CREATED, claimed(1), claimed(1)],
        [CREATED, msgspec.structs.replace(CREATED, n=1)],
        [CREATED, Cancelled(n=1, time=11.0), claimed(2)],
    ],
    ids=["no beginning", "a gap", "a repeat", "two beginnings", "after the end"],
)
def test_a_journal_that_cannot_be_is_damaged(events: list[AnyRunEvent]) -> None:
    with pytest.raises(JournalDamaged):
        fold(journal(*events))


@pytest.mark.parametrize(
    ("events", "state", "error"),
    [
        ([], "accepted", None),
        ([claimed(1)], "running", None),
        ([claimed(1), Waiting(n=2, time=12.0, inputs=["timer.a"])], "waiting", None),
        (
            [claimed(1), Blocked(n=2, time=12.0, reason="unknown_outcome", detail="step a")],
            "blocked",
            FailureBody("unknown_outcome", "unknown_outcome: step a"),
        ),
        (
            [claimed(1), Blocked(n=2, time=12.0, reason="poison", detail="5 times")],
            "blocked",
            FailureBody("internal", "poison: 5 times"),
        ),
        ([claimed(1), Blocked(n=2, time=12.0, reason="poison"), claimed(3)], "running", None),
        ([claimed(1), Completed(n=2, time=12.0, output=RAW)], "completed", None),
        (
            [claimed(1), Failed(n=2, time=12.0, error=FailureBody("budget_exhausted"))],
            "failed",
            FailureBody("budget_exhausted"),
        ),
        ([claimed(1), Failed(n=2, time=12.0, error=FailureBody("denied"))], "denied", FailureBody("denied")),
        ([claimed(1), Cancelled(n=2, time=12.0, by="user:bob")], "cancelled", None),
    ],
)
def test_the_view_says_how_the_job_stands(events: list[AnyRunEvent], state: str, error: FailureBody | None) -> None:
    seen = view(fold(journal(CREATED, *events)))
    assert (seen.state, seen.error) == (state, error)
    assert (seen.id, seen.kind, seen.agent, seen.subject, seen.labels) == (
        "job_1",
        "agent",
        "helper",
        "user:alice",
        {"a": "b"},
    )


def test_the_public_events_count_on_over_what_is_not_told() -> None:
    told = job_events(
        journal(
            CREATED,
            claimed(1),
            StepStarted(n=2, time=12.0, step="a", key="k", effect="once"),
            done(3, "a", attempt="att_1", decision="dec_1"),
            InputTaken(n=4, time=14.0, kind="signal", id="x"),
            claimed(5, "w2"),
            done(6, "b", error=FailureBody("denied", "no", decision="dec_2")),
            Completed(n=7, time=17.0, output=RAW),
        )
    )
    assert [(e.n, e.type, e.step, e.decision, e.replayed, e.epoch) for e in told] == [
        (0, "accepted", "", "", False, 0),
        (1, "started", "", "", False, 107),
        (2, "step", "a", "dec_1", False, 107),
        (3, "started", "", "", True, 135),
        (4, "step", "b", "dec_2", False, 135),
        (5, "completed", "", "", False, 135),
    ]


def test_a_journal_survives_its_encoding() -> None:
    for _, event in journal(CREATED, claimed(1), done(2, "a"), Completed(n=3, time=13.0, output=RAW)):
        decoded: AnyRunEvent = msgspec.json.decode(msgspec.json.encode(event), type=AnyRunEvent)
        assert msgspec.json.encode(decoded) == msgspec.json.encode(event)
