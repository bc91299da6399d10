"""Audit records on their way to the stream."""

import asyncio
import json

import msgspec
import pytest

from penstock.bus import Bus, Stored
from penstock.contracts.audit import Batch, DecisionRecord, OutcomeRecord, Record, Who
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.ids import InvalidToken
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import Recorder, envelope, rfc3339
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer


@pytest.fixture
def recorder(bus: Bus, metrics: Metrics, log: Log) -> Recorder:
    return Recorder(bus, "router", SystemClock(), metrics, log, queue_max=300, wait_s=0.05)


def outcome(n: int, note: str = "") -> OutcomeRecord:
    return OutcomeRecord(decision=f"dec_{n}", attempt=f"att_{n}", status="ok", deployment=note)


async def stored(bus: Bus, tenant: str = "acme") -> list[Stored[Batch]]:
    return await bus.read(AUDIT_BATCH, tenant=tenant, service="router")


def attempts(batches: list[Stored[Batch]]) -> list[str]:
    return [record.subject for batch in batches for record in batch.body.records]


def test_an_outcome_stands_in_a_cloudevents_envelope() -> None:
    record = envelope(outcome(1), service="router", tenant="acme", now=1_800_000_000.0004)
    assert json.loads(msgspec.json.encode(record)) == {
        "id": "att_1-outcome",
        "source": "router",
        "type": "penstock.outcome.v1",
        "time": "2027-01-15T08:00:00.000Z",
        "tenant": "acme",
        "data": {"decision": "dec_1", "attempt": "att_1", "status": "ok"},
        "subject": "att_1",
    }


def test_a_decisions_envelope_has_the_decisions_id() -> None:
    decision = DecisionRecord("dec_1", "att_1", "allow", Who("user:alice"), "tool.call", 'Tool::"now"', "b1")
    record = envelope(decision, service="policy", tenant="acme", now=0.0)
    assert (record.id, record.type, record.subject) == ("dec_1", "penstock.decision.v1", "att_1")


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(1_796_083_200.1239) == "2026-12-01T00:00:00.123Z"


def test_a_record_has_a_largest_size() -> None:
    with pytest.raises(Failure) as failure:
        envelope(outcome(1, "x" * 70_000), service="router", tenant="acme", now=0.0)
    assert failure.value.code is Code.TOO_LARGE


async def test_a_record_that_was_awaited_is_in_the_stream(bus: Bus, recorder: Recorder) -> None:
    sequence = await recorder.record(recorder.envelope(outcome(1), "acme"), "acme")
    batches = await stored(bus)
    assert (batches[0].sequence, batches[0].subject) == (sequence, "penstock.audit.acme.router")
    assert attempts(batches) == ["att_1"]
    assert recorder.waiting == 0


async def test_what_arrives_while_an_append_is_under_way_forms_one_next_append(bus: Bus, recorder: Recorder) -> None:
    first = asyncio.create_task(recorder.record(recorder.envelope(outcome(0), "acme"), "acme"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(recorder.record(recorder.envelope(outcome(n), "acme"), "acme")) for n in range(1, 50)]
    await asyncio.gather(first, *others)
    batches = await stored(bus)
    assert len(batches) <= 3
    assert attempts(batches) == [f"att_{n}" for n in range(50)]


async def test_an_append_carries_a_bounded_number_of_records_and_bytes(bus: Bus, recorder: Recorder) -> None:
    for n in range(290):
        await recorder.enqueue(recorder.envelope(outcome(n, "x" * 2000), "acme"), "acme")
    assert await recorder.close(10) == 0
    batches = await stored(bus)
    assert attempts(batches) == [f"att_{n}" for n in range(290)]
    assert max(len(batch.body.records) for batch in batches) < 100
    for n in range(290):
        await recorder.enqueue(recorder.envelope(outcome(n), "globex"), "globex")
    assert await recorder.close(10) == 0
    assert max(len(batch.body.records) for batch in await stored(bus, "globex")) == 256


async def test_tenants_have_lanes_of_their_own(bus: Bus, recorder: Recorder) -> None:
    for tenant in ("acme", "globex"):
        await recorder.record(recorder.envelope(outcome(1), tenant), tenant)
    assert [len(await stored(bus, tenant)) for tenant in ("acme", "globex")] == [1, 1]


async def test_a_tenant_that_cannot_stand_in_a_subject_is_refused_at_once(recorder: Recorder) -> None:
    with pytest.raises(InvalidToken):
        await recorder.record(recorder.envelope(outcome(1), "a.b"), "a.b")
    assert recorder.waiting == 0


async def test_nothing_is_lost_while_the_broker_is_away(bus: Bus, broker: NatsServer, recorder: Recorder) -> None:
    await recorder.record(recorder.envelope(outcome(0), "acme"), "acme")
    await broker.stop()
    for n in range(1, 20):
        await recorder.enqueue(recorder.envelope(outcome(n), "acme"), "acme")
    assert recorder.waiting == 19
    await broker.start()
    assert await recorder.close(20) == 0
    assert attempts(await stored(bus)) == [f"att_{n}" for n in range(20)]


async def test_a_full_queue_makes_callers_wait_and_then_refuses_them(broker: NatsServer, recorder: Recorder) -> None:
    broker.pause()
    try:
        for n in range(300):
            await recorder.enqueue(recorder.envelope(outcome(n), "acme"), "acme")
        with pytest.raises(Failure) as failure:
            await recorder.enqueue(recorder.envelope(outcome(300), "acme"), "acme")
        assert failure.value.code is Code.UNAVAILABLE
        waiting = asyncio.create_task(recorder.place())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    finally:
        broker.resume()
    assert await recorder.close(20) == 0
    assert recorder.waiting == 0


async def test_a_place_is_used_once_or_given_back(bus: Bus, recorder: Recorder) -> None:
    place, other = await recorder.place(), await recorder.place()
    assert recorder.waiting == 2
    place.put(recorder.envelope(outcome(1), "acme"), "acme")
    place.put(recorder.envelope(outcome(2), "acme"), "acme")
    place.give_back()
    other.give_back()
    other.give_back()
    assert await recorder.close(10) == 0
    assert recorder.waiting == 0
    assert attempts(await stored(bus)) == ["att_1"]


async def test_whoever_waits_gets_the_place_that_becomes_free(recorder: Recorder) -> None:
    places = [await recorder.place() for _ in range(300)]
    waiting = asyncio.create_task(recorder.place())
    await asyncio.sleep(0)
    places[0].give_back()
    place = await waiting
    assert recorder.waiting == 300
    for each in (*places, place):
        each.give_back()
    assert recorder.waiting == 0


async def test_records_that_cannot_be_stored_until_the_end_are_counted_and_named(
    broker: NatsServer, recorder: Recorder, metrics: Metrics, lines: list[str]
) -> None:
    await broker.stop()
    for n in range(3):
        await recorder.enqueue(recorder.envelope(outcome(n), "acme"), "acme")
    assert await recorder.close(0.1) == 3
    assert metrics.registry.get_sample_value("penstock_recorder_lost_total") == 3
    lost = [line for line in map(json.loads, lines) if line["event"] == "audit records lost"]
    assert lost[0]["ids"] == ["att_0-outcome", "att_1-outcome", "att_2-outcome"]


async def test_failing_appends_are_visible_and_pass(bus: Bus, broker: NatsServer, metrics: Metrics, log: Log) -> None:
    await bus.connection.request("$JS.API.STREAM.DELETE.AUDIT", b"", timeout_s=5)
    recorder = Recorder(bus, "router", SystemClock(), metrics, log, append_s=0.2)
    with pytest.raises(Failure) as failure:
        await recorder.record(recorder.envelope(outcome(1), "acme"), "acme")
    assert failure.value.code is Code.UNAVAILABLE
    assert recorder.failing_s > 0
    await bus.prepare()

    async def arrived() -> None:
        assert attempts(await stored(bus)) == ["att_1"]

    await eventually(arrived, within_s=20)
    assert await recorder.close(10) == 0
    assert recorder.failing_s == 0


def test_the_same_outcome_made_twice_has_one_id() -> None:
    first: Record = envelope(outcome(7), service="router", tenant="acme", now=1.0)
    assert first.id == envelope(outcome(7), service="router", tenant="acme", now=2.0).id
