"""What goes on while policy cannot be asked, and what never does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec.structs import replace

from penstock.bus import Bus, BusConfig
from penstock.contracts.audit import DECISION, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH, POLICY_EVALUATE, REVOCATIONS
from penstock.contracts.keys import Revocation
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Decision, DecisionContext, Entity, Question, Reason, Reserve
from penstock.kit.boundary import Boundary
from penstock.kit.clock import SystemClock
from penstock.kit.fail_open import FailOpen
from penstock.kit.identity import Identities
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder
from tests.support.clock import HandClock
from tests.support.eventually import eventually
from tests.support.tokens import TestSigner

RULE = Reason("reading-goes-on", "reading is harmless")
OPEN = Decision(
    True,
    DecisionContext("dec_1", "allow", reasons=(RULE,), bundle="b1", tenant="acme", subject="user:alice", open_s=60.0),
)
NOTHING = "no decision could be had: nothing was done"


def asks(attempt: str = "att_1", tool: str = "clock", effect: str = "read", **changed: object) -> Question:
    question = Question(
        ActionName("tool.call"), Entity("Tool", tool, {"effect": effect}), attempt, arguments_digest="d1"
    )
    return replace(question, **changed)


def read(record: Record) -> DecisionRecord | OutcomeRecord:
    if record.type == DECISION:
        return msgspec.json.decode(record.data, type=DecisionRecord)
    return msgspec.json.decode(record.data, type=OutcomeRecord)


class Deleted(msgspec.Struct):
    success: bool


class Scene:
    """A service's boundary, and a policy that can be told what to say, to fail, to say nothing, and to go."""

    def __init__(self, bus: Bus, served: Bus, metrics: Metrics, lines: list[str]) -> None:
        self.bus = bus
        self.served = served
        self.metrics = metrics
        self.lines = lines
        self.clock = HandClock(time.time())
        log = Log(lines.append, level="debug")
        self.recorder = Recorder(bus, "router", SystemClock(), metrics, log, queue_max=6, wait_s=0.05)
        self.identities = Identities(bus, self.clock, metrics)
        self.fail_open, self.boundary = self.made(0.3)
        self.signer = TestSigner()
        self.decision = OPEN
        self.fails: Failure | None = None
        self.silent = asyncio.Event()
        self.silent.set()
        self.meta = Meta()

    def made(self, record_s: float) -> tuple[FailOpen, Boundary]:
        parts = (self.recorder, self.clock, self.metrics)
        log, identities = Log(self.lines.append, level="debug"), self.identities
        fail_open = FailOpen(identities, *parts, log, remembered_max=2, ask_s=0.3, record_s=record_s)
        honours = frozenset({"redact"})
        return fail_open, Boundary(self.bus, *parts, honours=honours, identities=identities, fail_open=fail_open)

    async def start(self) -> None:
        await self.signer.publish(self.bus)
        await self.served.serve_call(POLICY_EVALUATE, self._evaluate, in_flight_max=10)
        await self.identities.refresh()
        await self.identities.revocations.load()
        self.meta = Meta(request="req_1", tenant="acme", token=self.signer.token(key="key1", txn="txn_1"))

    async def gone(self) -> None:
        await self.served.close()

    async def _evaluate(self, question: Question, meta: Meta) -> Decision:
        await self.silent.wait()
        if self.fails is not None:
            raise self.fails
        return self.decision

    async def do(self, question: Question | None = None, meta: Meta | None = None) -> Decision:
        async with self.boundary.action(question or asks(), meta or self.meta) as action:
            return action.decision

    async def closed(self, question: Question | None = None, meta: Meta | None = None) -> None:
        with pytest.raises(Failure) as raised:
            await self.do(question or asks("att_2"), meta)
        assert (raised.value.code, raised.value.detail) == (Code.UNAVAILABLE, NOTHING)

    async def records(self) -> list[DecisionRecord | OutcomeRecord]:
        assert await self.recorder.close(20) == 0
        batches = await self.bus.read(AUDIT_BATCH, tenant="acme", service="router")
        return [read(one) for batch in batches for one in batch.body.records]


@pytest.fixture
async def scene(nats_url: str, bus: Bus, metrics: Metrics, lines: list[str]) -> AsyncIterator[Scene]:
    lonely = await Bus.connect(BusConfig(url=nats_url, principal="router", no_responders_s=0.1))
    served = await Bus.connect(BusConfig(url=nats_url, principal="policy"))
    scene = Scene(lonely, served, metrics, lines)
    await scene.start()
    yield scene
    scene.silent.set()
    await scene.recorder.close(0)
    await served.close()
    await lonely.close()


async def test_what_was_permitted_to_go_on_goes_on_and_is_recorded_as_the_services_own_decision(scene: Scene) -> None:
    assert (await scene.do()).context.id == "dec_1"
    await scene.gone()
    scene.clock.move(12)
    own = await scene.do(asks("att_2"))
    assert (own.decision, own.context.effect, own.context.bundle, own.context.open_s) == (True, "allow", "b1", 0.0)

    _, decision, outcome = await scene.records()
    assert isinstance(decision, DecisionRecord)
    assert isinstance(outcome, OutcomeRecord)
    assert (decision.decision, decision.attempt, decision.effect) == (own.context.id, "att_2", "allow")
    assert decision.reasons == (
        Reason("fail_open", "fail open: policy could not be asked; it permitted the same 12 s ago in dec_1"),
        RULE,
    )
    assert (decision.who.origin, decision.who.key, decision.txn) == ("user:alice", "key1", "txn_1")
    assert (decision.resource, decision.properties, decision.arguments_digest) == (
        'Tool::"clock"',
        {"effect": "read"},
        "d1",
    )
    assert decision.outcome_due > decision.at > 0
    assert (decision.accounts, decision.reserved_nano, decision.withheld) == ((), 0, ("team",))
    assert (outcome.decision, outcome.attempt, outcome.status) == (own.context.id, "att_2", "ok")


async def test_it_is_counted_logged_and_said_until_policy_answers_again(scene: Scene) -> None:
    await scene.do()
    assert scene.fail_open.said() == ""
    scene.fails = Failure(Code.UNAVAILABLE)
    await scene.do(asks("att_2"))
    await scene.do(asks("att_3"))
    assert scene.fail_open.said() == "policy could not be asked: 2 actions went on by @fail_open"
    value = scene.metrics.registry.get_sample_value
    assert value("penstock_boundary_fail_open_total", {"action": "tool.call"}) == 2
    assert value("penstock_boundary_fail_closed_total", {"reason": "policy"}) is None
    scene.fails = None
    await scene.do(asks("att_4"))
    assert scene.fail_open.said() == ""
    said = [line for line in scene.lines if "fail open" in line or "answers again" in line]
    assert len(said) == 2


async def test_what_no_rule_lets_go_on_is_refused(scene: Scene) -> None:
    scene.decision = Decision(True, replace(OPEN.context, open_s=0.0))
    await scene.do()
    await scene.gone()
    await scene.closed()


async def test_what_was_never_permitted_is_refused(scene: Scene) -> None:
    await scene.gone()
    await scene.closed()


async def test_it_ends_when_its_time_is_over_and_is_not_made_longer_by_use(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    scene.clock.move(40)
    await scene.do(asks("att_2"))
    scene.clock.move(20)
    await scene.closed()


async def test_anything_else_is_refused(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    for other in (
        asks("att_2", tool="calendar"),
        asks("att_2", arguments_digest="d2"),
        asks("att_2", input=msgspec.Raw(b'{"day":2}')),
        asks("att_2", context={"personal": ["EMAIL"]}),
        asks("att_2", action=ActionName("context.search"), resource=Entity("Collection", "clock")),
        asks("att_2", resource=Entity("Tool", "clock", {"effect": "read", "labels": ["internal"]})),
    ):
        await scene.closed(other)
    assert (await scene.do(asks("att_3"))).decision


async def test_another_token_has_nothing_of_it_whosever_it_is(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    for claims in ({"sub": "user:bob"}, {"tenant": "globex"}, {"run": "run_1"}, {"scope": "*"}, {"txn": "txn_2"}):
        token = scene.signer.token(**claims)
        await scene.closed(meta=replace(scene.meta, token=token, tenant=claims.get("tenant", "acme")))


async def test_a_run_that_has_read_untrusted_text_since_is_refused(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    await scene.closed(meta=replace(scene.meta, taint=("web",)))


async def test_whatever_policy_says_money_obligations_and_what_acts_never_go_on(scene: Scene) -> None:
    cases: list[tuple[Question, dict[str, object]]] = [
        (asks(reserve=Reserve(5, 0)), {}),
        (asks(reserve=Reserve(0, 5)), {}),
        (asks(reserve=Reserve(-1, 0)), {}),
        (asks(effect="once"), {}),
        (asks(resource=Entity("Tool", "clock")), {}),
        (asks(action=ActionName("model.complete"), resource=Entity("Model", "m")), {}),
        (asks(action=ActionName("job.submit"), resource=Entity("Job", "j")), {}),
        (asks(), {"obligations": ("redact:EMAIL",)}),
        (asks(), {"effect": "shadow"}),
        (asks(), {"approval": "apr_1"}),
        (asks(), {"bundle": ""}),
    ]
    for question, changed in cases:
        scene.decision = Decision(True, replace(OPEN.context, **changed))
        scene.fails = None
        await scene.do(question)
        scene.fails = Failure(Code.UNAVAILABLE)
        await scene.closed(replace(question, attempt="att_2"))


@asynccontextmanager
async def watched(scene: Scene) -> AsyncIterator[None]:
    task = asyncio.create_task(scene.identities.revocations.watch())
    yield
    task.cancel()
    await asyncio.wait({task})


async def test_a_token_that_is_revoked_meanwhile_ends_it(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    async with watched(scene):
        await scene.do(asks("att_2"))
        await scene.bus.bucket(REVOCATIONS).put("key.key1", Revocation("acme", 0.0))

        async def refused() -> None:
            with pytest.raises(Failure) as raised:
                await scene.do(asks("att_3"))
            assert raised.value.code is Code.UNAUTHENTICATED

        await eventually(refused)


async def test_a_token_that_has_expired_meanwhile_ends_it(scene: Scene) -> None:
    meta = replace(scene.meta, token=scene.signer.token(exp=scene.clock.now() + 5))
    await scene.do(meta=meta)
    await scene.gone()
    scene.clock.move(6)
    with pytest.raises(Failure) as raised:
        await scene.do(asks("att_2"), meta)
    assert raised.value.code is Code.UNAUTHENTICATED


async def test_who_cannot_hear_of_revocations_any_more_lets_nothing_go_on(scene: Scene) -> None:
    stale = Identities(scene.bus, scene.clock, scene.metrics, stale_max_s=0.0)
    await stale.refresh()
    await stale.revocations.load()
    open_ = FailOpen(stale, scene.recorder, scene.clock, scene.metrics, Log(scene.lines.append))
    scene.boundary = Boundary(scene.bus, scene.recorder, scene.clock, scene.metrics, fail_open=open_)
    await scene.do()
    await scene.gone()
    with pytest.raises(Failure, match="it cannot be seen what was revoked") as raised:
        await scene.do(asks("att_2"))
    assert raised.value.code is Code.UNAVAILABLE


async def test_another_bundle_ends_what_the_last_one_permitted(scene: Scene) -> None:
    await scene.do()
    scene.decision = Decision(True, DecisionContext("dec_2", "allow", bundle="b2", tenant="acme"))
    await scene.do(asks("att_2", action=ActionName("model.complete"), resource=Entity("Model", "m")))
    await scene.gone()
    await scene.closed(asks("att_3"))


async def test_whoever_tells_of_another_bundle_ends_it_too(scene: Scene) -> None:
    await scene.do()
    scene.fail_open.heard("b1")
    scene.fails = Failure(Code.OVERLOADED)
    await scene.do(asks("att_2"))
    scene.fail_open.heard("b2")
    await scene.closed(asks("att_3"))


async def test_a_later_refusal_of_the_same_ends_it(scene: Scene) -> None:
    await scene.do()
    scene.decision = Decision(False, replace(OPEN.context, effect="deny", open_s=0.0))
    with pytest.raises(Failure, match="reading is harmless"):
        await scene.do(asks("att_2"))
    await scene.gone()
    await scene.closed(asks("att_3"))


async def test_a_token_that_policy_refused_has_nothing_any_more(scene: Scene) -> None:
    await scene.do()
    scene.fails = Failure(Code.UNAUTHENTICATED, "the API key behind this token is not valid any more")
    with pytest.raises(Failure, match="not valid any more"):
        await scene.do(asks("att_2"))
    await scene.gone()
    await scene.closed(asks("att_3"))


async def test_a_policy_that_says_it_cannot_answer_is_one_that_cannot_be_asked(scene: Scene) -> None:
    await scene.do()
    for code in (Code.UNAVAILABLE, Code.OVERLOADED, Code.DEADLINE):
        scene.fails = Failure(code)
        assert (await scene.do(asks("att_2"))).decision


async def test_a_policy_that_breaks_lets_nothing_go_on(scene: Scene) -> None:
    await scene.do()
    for code in (Code.INTERNAL, Code.UPSTREAM, Code.UNKNOWN_OUTCOME):
        scene.fails = Failure(code)
        await scene.closed()


async def test_a_policy_that_says_nothing_is_waited_for_shortly_where_an_answer_is_remembered(scene: Scene) -> None:
    await scene.do()
    scene.silent.clear()
    began = asyncio.get_running_loop().time()
    assert (await scene.do(asks("att_2"))).decision
    assert asyncio.get_running_loop().time() - began < 9.0  # the call itself has ten seconds


async def test_the_callers_own_deadline_is_no_reason_to_go_on(scene: Scene) -> None:
    await scene.do()
    scene.silent.clear()
    now = time.time()
    scene.clock = HandClock(now)
    scene.boundary = Boundary(scene.bus, scene.recorder, SystemClock(), scene.metrics, fail_open=scene.fail_open)
    with pytest.raises(Failure) as raised:
        await scene.do(asks("att_2"), replace(scene.meta, deadline=now + 0.15))
    assert raised.value.code is Code.DEADLINE


async def test_without_the_log_either_the_records_wait_until_it_is_back(scene: Scene) -> None:
    await scene.do()
    await scene.gone()
    await scene.bus.jetstream.ask("STREAM.DELETE.AUDIT", {}, Deleted, "the audit stream")
    own = await scene.do(asks("att_2"))
    assert scene.recorder.waiting >= 2
    await scene.bus.prepare()
    records = await scene.records()
    assert [(type(one), one.decision) for one in records if one.attempt == "att_2"] == [
        (DecisionRecord, own.context.id),
        (OutcomeRecord, own.context.id),
    ]


async def test_without_room_for_its_record_nothing_goes_on(scene: Scene) -> None:
    await scene.do()

    async def written() -> None:
        assert scene.recorder.waiting == 0

    await eventually(written)
    await scene.gone()
    places = [await scene.recorder.place() for _ in range(5)]  # one is left, for the outcome
    with pytest.raises(Failure, match="the audit log cannot be written"):
        await scene.do(asks("att_2"))
    for place in places:
        place.give_back()
    assert scene.recorder.waiting == 0


async def test_only_so_much_is_remembered_and_what_was_used_last_stays(scene: Scene) -> None:
    for tool in ("a", "b", "c"):
        await scene.do(asks(f"att_{tool}", tool))
    await scene.gone()
    await scene.closed(asks("att_2", "a"))
    assert (await scene.do(asks("att_3", "b"))).decision
    assert (await scene.do(asks("att_4", "c"))).decision


async def test_who_is_cancelled_while_the_log_is_waited_for_leaves_an_outcome(scene: Scene) -> None:
    scene.fail_open, scene.boundary = scene.made(30.0)
    await scene.do()
    await scene.gone()
    await scene.bus.jetstream.ask("STREAM.DELETE.AUDIT", {}, Deleted, "the audit stream")
    acting = asyncio.create_task(scene.do(asks("att_2")))

    async def waits() -> None:
        assert scene.metrics.registry.get_sample_value("penstock_boundary_fail_open_total", {"action": "tool.call"})

    await eventually(waits, every_s=0)
    acting.cancel()
    await asyncio.wait({acting})
    assert acting.cancelled()
    await scene.bus.prepare()
    ended = [(type(one), getattr(one, "status", "")) for one in await scene.records() if one.attempt == "att_2"]
    assert ended == [(DecisionRecord, ""), (OutcomeRecord, "cancelled")]
