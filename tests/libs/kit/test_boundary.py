"""The enforcement: nothing without a decision, one outcome per attempt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_EVALUATE, POLICY_EVALUATIONS
from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.contracts.policy import (
    ActionName,
    Decision,
    DecisionContext,
    Decisions,
    Entity,
    Question,
    Questions,
    Reason,
)
from penstock.kit.boundary import Boundary, Settlement
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder
from tests.support.eventually import eventually

META = Meta(request="req_1", tenant="acme", job="job_1", step="s1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
ALLOW = Decision(True, DecisionContext("dec_1", "allow", tenant="acme"))


def question(attempt: str = "att_1", tool: str = "now") -> Question:
    return Question(ActionName("tool.call"), Entity("Tool", tool), attempt)


@dataclass
class Policy:
    """Answers every question with `decision`, or as `answer` says; keeps what it was asked."""

    decision: Decision = ALLOW
    answer: Callable[[Question], Decision] | None = None
    fails: Failure | None = None
    asked: list[tuple[Question, Meta]] = field(default_factory=list)

    async def evaluate(self, question: Question, meta: Meta) -> Decision:
        self.asked.append((question, meta))
        if self.fails is not None:
            raise self.fails
        return self.answer(question) if self.answer else self.decision

    async def evaluations(self, questions: Questions, meta: Meta) -> Decisions:
        return Decisions([await self.evaluate(each, meta) for each in questions.evaluations])


@pytest.fixture
async def policy(bus: Bus, nats_url: str) -> AsyncIterator[Policy]:
    policy = Policy()
    served = await Bus.connect(BusConfig(url=nats_url, principal="policy"))
    await served.serve_call(POLICY_EVALUATE, policy.evaluate, in_flight_max=100)
    await served.serve_call(POLICY_EVALUATIONS, policy.evaluations, in_flight_max=100)
    yield policy
    await served.close()


@pytest.fixture
def recorder(bus: Bus, metrics: Metrics, log: Log) -> Recorder:
    return Recorder(bus, "router", SystemClock(), metrics, log, queue_max=10, wait_s=0.05)


@pytest.fixture
def boundary(bus: Bus, recorder: Recorder, metrics: Metrics) -> Boundary:
    return Boundary(bus, recorder, SystemClock(), metrics, honours=frozenset({"redact"}))


async def outcomes(bus: Bus, recorder: Recorder) -> list[OutcomeRecord]:
    """All that were recorded, once nothing is on its way."""
    assert await recorder.close(10) == 0
    assert recorder.waiting == 0
    batches = await bus.read(AUDIT_BATCH, tenant="acme", service="router")
    records = [record for batch in batches for record in batch.body.records]
    return [msgspec.json.decode(record.data, type=OutcomeRecord) for record in records]


async def test_a_permitted_action_is_done_and_its_outcome_recorded(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary
) -> None:
    async with boundary.action(question(), META) as action:
        assert action.decision == ALLOW
        action.settle(Settlement(usage=Usage(uncached=7, output=3), cost_nano=42, price_version="p1", deployment="d1"))
    (outcome,) = await outcomes(bus, recorder)
    assert outcome.latency_ms >= 0
    assert msgspec.structs.replace(outcome, latency_ms=0.0) == OutcomeRecord(
        decision="dec_1",
        attempt="att_1",
        status="ok",
        action="tool.call",
        resource='Tool::"now"',
        usage=Usage(uncached=7, output=3),
        cost_nano=42,
        price_version="p1",
        deployment="d1",
        request="req_1",
        job="job_1",
        step="s1",
        traceparent=META.traceparent,
    )
    assert [(asked.attempt, meta.request) for asked, meta in policy.asked] == [("att_1", "req_1")]


@pytest.mark.parametrize(
    ("decision", "code", "detail"),
    [
        (
            Decision(False, DecisionContext("dec_2", "deny", reasons=(Reason("p7", "no tools at night"),))),
            Code.DENIED,
            "no tools at night",
        ),
        (Decision(False, DecisionContext("dec_2", "deny")), Code.DENIED, "policy does not allow it"),
        (
            Decision(False, DecisionContext("dec_2", "deny", code="budget_exhausted", retry_after_s=9.0)),
            Code.BUDGET_EXHAUSTED,
            "policy does not allow it",
        ),
        (Decision(False, DecisionContext("dec_2", "hold")), Code.APPROVAL_REQUIRED, "policy does not allow it"),
        (
            Decision(False, DecisionContext("dec_2", "deny", code="a_newer_code")),
            Code.DENIED,
            "policy does not allow it",
        ),
        (Decision(True, DecisionContext("dec_2", "deny")), Code.DENIED, "policy does not allow it"),
        (Decision(True, DecisionContext("dec_2", "hold")), Code.APPROVAL_REQUIRED, "policy does not allow it"),
        (Decision(False, DecisionContext("dec_2", "allow")), Code.DENIED, "policy does not allow it"),
    ],
)
async def test_a_refusal_is_raised_with_the_decisions_words(
    policy: Policy, boundary: Boundary, recorder: Recorder, decision: Decision, code: Code, detail: str
) -> None:
    policy.decision = decision
    with pytest.raises(Failure) as failure:
        async with boundary.action(question(), META):
            raise AssertionError("a refused action was done")
    assert (failure.value.code, failure.value.detail, failure.value.decision) == (code, detail, "dec_2")
    assert failure.value.retry_after_s == decision.context.retry_after_s
    assert decision.decision or recorder.waiting == 0


async def test_a_refused_action_has_no_outcome(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary
) -> None:
    policy.decision = Decision(False, DecisionContext("dec_2", "deny"))
    with pytest.raises(Failure):
        async with boundary.action(question(), META):
            pass
    assert await outcomes(bus, recorder) == []


async def test_an_obligation_that_cannot_be_honoured_is_a_refusal_and_releases_what_was_reserved(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary, metrics: Metrics
) -> None:
    policy.decision = Decision(True, DecisionContext("dec_3", "transform", obligations=("redact:EMAIL", "watermark:x")))
    with pytest.raises(Failure) as failure:
        async with boundary.action(question(), META):
            raise AssertionError("an action was done without its obligation")
    assert failure.value.code is Code.DENIED
    assert failure.value.detail == "the obligation 'watermark:x' cannot be honoured here"
    (outcome,) = await outcomes(bus, recorder)
    assert (outcome.decision, outcome.status, outcome.code, outcome.cost_nano) == ("dec_3", "error", "denied", 0)
    assert metrics.registry.get_sample_value("penstock_boundary_fail_closed_total", {"reason": "obligation"}) == 1
    assert not (await boundary.evaluate(question(), META)).decision


async def test_an_obligation_that_can_be_honoured_is_handed_to_the_action(policy: Policy, boundary: Boundary) -> None:
    policy.decision = Decision(True, DecisionContext("dec_3", "transform", obligations=("redact:EMAIL",)))
    async with boundary.action(question(), META) as action:
        assert action.decision.context.obligations == ("redact:EMAIL",)


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (Failure(Code.UPSTREAM, "it broke"), "error", "upstream"),
        (Failure(Code.CANCELLED), "cancelled", "cancelled"),
        (Failure(Code.UNKNOWN_OUTCOME), "unknown", "unknown_outcome"),
        (KeyError("a bug"), "error", "internal"),
        (GeneratorExit(), "cancelled", "cancelled"),
    ],
)
async def test_however_an_action_ends_it_has_one_outcome_with_what_was_used(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary, raised: BaseException, status: str, code: str
) -> None:
    with pytest.raises(type(raised)):
        async with boundary.action(question(), META) as action:
            action.settle(Settlement(cost_nano=5))
            raise raised
    (outcome,) = await outcomes(bus, recorder)
    assert (outcome.status, outcome.code, outcome.cost_nano) == (status, code, 5)


async def test_a_cancelled_action_has_an_outcome_with_what_was_settled_so_far(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary
) -> None:
    begun = asyncio.Event()

    async def act() -> None:
        async with boundary.action(question(), META) as action:
            action.settle(Settlement(usage=Usage(output=11), cost_nano=7))
            begun.set()
            await asyncio.Event().wait()

    acting = asyncio.create_task(act())
    await begun.wait()
    acting.cancel()
    await asyncio.wait({acting})
    (outcome,) = await outcomes(bus, recorder)
    assert (outcome.status, outcome.code, outcome.usage.output, outcome.cost_nano) == ("cancelled", "cancelled", 11, 7)


async def test_a_status_that_the_action_settled_stands(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary
) -> None:
    async with boundary.action(question(), META) as action:
        action.settle(Settlement(status="unknown", code="unknown_outcome"))
    (outcome,) = await outcomes(bus, recorder)
    assert (outcome.status, outcome.code) == ("unknown", "unknown_outcome")


async def test_an_outcome_with_a_text_without_end_is_recorded_cut(
    policy: Policy, bus: Bus, boundary: Boundary, recorder: Recorder
) -> None:
    async with boundary.action(question(), META) as action:
        action.settle(Settlement(deployment="d" * 70_000, price_version="p" * 70_000, result_digest="r" * 70_000))
    (outcome,) = await outcomes(bus, recorder)
    assert (outcome.deployment, outcome.price_version) == ("d" * 256, "p" * 256)
    assert recorder.waiting == 0


async def test_without_a_policy_service_nothing_is_done(bus: Bus, nats_url: str, metrics: Metrics, log: Log) -> None:
    lonely = await Bus.connect(BusConfig(url=nats_url, principal="router", no_responders_s=0.1))
    recorder = Recorder(lonely, "router", SystemClock(), metrics, log)
    boundary = Boundary(lonely, recorder, SystemClock(), metrics)
    with pytest.raises(Failure) as failure:
        async with boundary.action(question(), META):
            raise AssertionError("an action was done without a decision")
    await lonely.close()
    assert (failure.value.code, failure.value.retryable) == (Code.UNAVAILABLE, True)
    assert recorder.waiting == 0
    assert metrics.registry.get_sample_value("penstock_boundary_fail_closed_total", {"reason": "policy"}) == 1


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.OVERLOADED, Code.UNAVAILABLE, Code.UPSTREAM])
async def test_a_policy_service_that_fails_is_no_permission(policy: Policy, boundary: Boundary, code: Code) -> None:
    policy.fails = Failure(code, "its own trouble")
    with pytest.raises(Failure) as failure:
        async with boundary.action(question(), META):
            raise AssertionError("an action was done without a decision")
    assert (failure.value.code, failure.value.detail) == (
        Code.UNAVAILABLE,
        "no decision could be had: nothing was done",
    )


async def test_a_token_that_policy_refuses_is_told_as_such(policy: Policy, boundary: Boundary) -> None:
    policy.fails = Failure(Code.UNAUTHENTICATED, "the token is refused: it has expired")
    with pytest.raises(Failure) as failure:
        await boundary.evaluate(question(), META)
    assert failure.value.code is Code.UNAUTHENTICATED


async def test_a_decision_that_could_not_be_recorded_under_its_tenant_is_none(
    policy: Policy, boundary: Boundary, recorder: Recorder
) -> None:
    policy.decision = Decision(True, DecisionContext("dec_1", "allow", tenant="a.b"))
    with pytest.raises(Failure, match="no decision could be had"):
        async with boundary.action(question(), META):
            raise AssertionError("an action was done that nobody can record")
    assert recorder.waiting == 0


async def test_without_room_for_the_outcome_nothing_is_asked_and_nothing_done(
    policy: Policy, boundary: Boundary, recorder: Recorder, metrics: Metrics
) -> None:
    places = [await recorder.place() for _ in range(10)]
    with pytest.raises(Failure, match="the audit log cannot be written"):
        async with boundary.action(question(), META):
            raise AssertionError("an action was done whose outcome has no room")
    assert policy.asked == []
    assert metrics.registry.get_sample_value("penstock_boundary_fail_closed_total", {"reason": "audit"}) == 1
    for place in places:
        place.give_back()


@pytest.mark.parametrize("decided", [True, False])
async def test_an_action_cancelled_while_it_asks_settles_what_was_decided_and_leaves_no_place_taken(
    policy: Policy, boundary: Boundary, recorder: Recorder, bus: Bus, decided: bool
) -> None:
    policy.decision = Decision(decided, ALLOW.context)

    async def act() -> None:
        async with boundary.action(question(), META):
            raise AssertionError("it was cancelled before")

    acting = asyncio.create_task(act())

    async def asks() -> None:
        assert recorder.waiting == 1

    await eventually(asks, every_s=0)
    acting.cancel()
    await asyncio.wait({acting})

    async def done() -> None:
        assert recorder.waiting == 0
        assert {asked.attempt for asked, _ in policy.asked} == {"att_1"}

    await eventually(done)
    recorded = [(each.attempt, each.status, each.usage.total) for each in await outcomes(bus, recorder)]
    assert recorded == ([("att_1", "cancelled", 0)] if decided else [])


async def test_a_batch_is_answered_in_order(policy: Policy, boundary: Boundary) -> None:
    policy.answer = lambda asked: Decision(
        asked.resource.id == "now",
        DecisionContext(f"dec_{asked.attempt}", "allow" if asked.resource.id == "now" else "deny"),
    )
    questions = [question("att_1", "now"), question("att_2", "shell")]
    decisions = await boundary.evaluate_many(questions, META)
    assert [(each.decision, each.context.id) for each in decisions] == [(True, "dec_att_1"), (False, "dec_att_2")]
    assert await boundary.evaluate_many([], META) == []
    assert len(policy.asked) == 2


async def test_a_long_name_is_cut_in_the_record(
    bus: Bus, policy: Policy, recorder: Recorder, boundary: Boundary
) -> None:
    async with boundary.action(question(tool="x" * 5000), META):
        pass
    (outcome,) = await outcomes(bus, recorder)
    assert outcome.resource == 'Tool::"' + "x" * 256 + '"'
