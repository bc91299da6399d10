"""Set-up over a real broker: exact, safe to repeat, and drift said in sentences."""

import asyncio

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.bus.setup import Setup, Table, table_of, whole_table
from penstock.contracts import services, stores, subjects
from penstock.contracts.endpoint import Consumer, StreamStore
from penstock.contracts.errors import Code, Failure
from tests.support.nats_server import NatsServer
from tests.support.verbs import NOTES, NOTES_SINK, SHORT, verbs_bus

Raw = dict[str, msgspec.Raw]


async def update_stream(bus: Bus, name: str, **changes: object) -> None:
    info = await bus.jetstream.ask(f"STREAM.INFO.{name}", {}, Raw, name)
    config = msgspec.json.decode(info["config"]) | changes
    await bus.jetstream.ask(f"STREAM.UPDATE.{name}", config, Raw, name)


async def update_consumer(bus: Bus, stream: str, name: str, **changes: object) -> None:
    info = await bus.jetstream.ask(f"CONSUMER.INFO.{stream}.{name}", {}, Raw, name)
    config = msgspec.json.decode(info["config"]) | changes
    ask = {"stream_name": stream, "config": config, "action": "update"}
    await bus.jetstream.ask(f"CONSUMER.CREATE.{stream}.{name}", ask, Raw, name)


def table(*consumers: Consumer, store: StreamStore = NOTES) -> Table:
    return Table((store,), (), consumers)


async def test_everything_in_the_table_is_made_and_then_nothing_drifts(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        done = await bus.prepare()
        assert done[0] == "stream JOBS: made"
        assert "bucket workers: made" in done
        assert "consumer admit: made" in done
        assert len(done) == len(stores.STORES) + len(whole_table().buckets) + len(subjects.CONSUMERS)
        for service in services.SERVICES:
            assert await bus.drift(service) == []


async def test_a_second_set_up_changes_nothing(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await bus.prepare()
        assert await bus.prepare() == []


async def test_two_set_ups_at_once_are_one(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus, verbs_bus(nats_url, prepared=False) as other:
        await asyncio.gather(bus.prepare(), other.prepare())
        assert await bus.prepare() == []


async def test_what_was_stored_outlives_a_repeated_set_up(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.jetstream.store("test.notes.a", b'{"n":1}', {}, "id1")
        await Setup(bus.jetstream).prepare(table(NOTES_SINK))
        assert len(await bus.jetstream.read("NOTES", "test.notes.*", limit=9)) == 1


async def test_an_empty_broker_is_said_not_to_be_set_up(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        assert await Setup(bus.jetstream).drift_of(table(NOTES_SINK)) == [
            "stream NOTES does not exist: the set-up has not been run",
            "consumer sink does not exist: the set-up has not been run",
        ]


async def test_each_difference_of_a_stream_is_a_sentence(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await update_stream(
            bus,
            "NOTES",
            max_age=600 * 10**9,
            max_bytes=1000,
            allow_rollup_hdrs=True,
            subjects=["test.notes.*", "extra"],
        )
        assert await Setup(bus.jetstream).drift_of(table()) == [
            "stream NOTES: allow_rollup_hdrs is on, it must be off",
            "stream NOTES: max_age is 600 s, it must be 0 s",
            "stream NOTES: max_bytes is 1000, it must be -1",
            "stream NOTES: subjects is ['test.notes.*', 'extra'], it must be ['test.notes.*']",
        ]


async def test_a_setting_that_the_table_does_not_know_must_be_off(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await update_stream(bus, "NOTES", republish={"src": ">", "dest": "copied.>"}, allow_atomic=True)
        assert await Setup(bus.jetstream).drift_of(table()) == [
            "stream NOTES: allow_atomic is on, it must be not set",
            "stream NOTES: republish is {'src': '>', 'dest': 'copied.>'}, it must be not set",
        ]


async def test_each_difference_of_a_consumer_is_a_sentence(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await update_consumer(bus, "NOTES", "sink", ack_wait=7 * 10**9, max_ack_pending=5, max_deliver=3)
        assert await Setup(bus.jetstream).drift_of(table(NOTES_SINK)) == [
            "consumer sink: ack_wait is 7 s, it must be 1 s",
            "consumer sink: max_ack_pending is 5, it must be 64",
            "consumer sink: max_deliver is 3, it must be -1",
        ]


async def test_a_consumer_that_an_operator_paused_is_no_drift(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        until = {"pause_until": "2099-01-01T00:00:00Z"}
        await bus.jetstream.ask("CONSUMER.PAUSE.NOTES.sink", until, Raw, "sink")
        info = await bus.jetstream.ask("CONSUMER.INFO.NOTES.sink", {}, Raw, "sink")
        assert msgspec.json.decode(info["config"])["pause_until"] == "2099-01-01T00:00:00Z"
        assert await Setup(bus.jetstream).drift_of(table(NOTES_SINK)) == []


async def test_the_set_up_mends_what_drifted_and_says_what(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await update_stream(bus, "NOTES", max_bytes=1000)
        await update_consumer(bus, "NOTES", "sink", ack_wait=7 * 10**9)
        setup = Setup(bus.jetstream)
        assert await setup.prepare(table(NOTES_SINK)) == [
            "stream NOTES: max_bytes is 1000, it must be -1: changed",
            "consumer sink: ack_wait is 7 s, it must be 1 s: changed",
        ]
        assert await setup.drift_of(table(NOTES_SINK)) == []


async def test_what_cannot_be_changed_in_place_is_refused_with_the_reason(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        in_memory = StreamStore("NOTES", NOTES.subjects, memory=True)
        with pytest.raises(Failure) as caught:
            await Setup(bus.jetstream).prepare(table(store=in_memory))
    assert caught.value.code is Code.CONFLICT
    assert caught.value.detail.startswith("cannot be set up. stream NOTES: ")


async def test_the_number_of_replicas_is_the_operators_choice(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        assert await Setup(bus.jetstream, replicas=3).drift_of(table(NOTES_SINK)) == []


async def test_a_bucket_keeps_one_value_per_key_and_no_longer_than_its_time(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await bus.prepare()
        info = await bus.jetstream.ask("STREAM.INFO.KV_workers", {}, Raw, "workers")
        config = msgspec.json.decode(info["config"])
    assert (config["max_msgs_per_subject"], config["max_age"], config["duplicate_window"]) == (1, 10**10, 10**10)


async def test_tenants_streams_cannot_be_erased_by_a_publisher(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await bus.prepare()
        info = await bus.jetstream.ask("STREAM.INFO.JOBS", {}, Raw, "JOBS")
        config = msgspec.json.decode(info["config"])
        assert {name: config[name] for name in ("allow_rollup_hdrs", "deny_delete", "deny_purge", "allow_msg_ttl")} == {
            "allow_rollup_hdrs": False,
            "deny_delete": True,
            "deny_purge": True,
            "allow_msg_ttl": False,
        }
        with pytest.raises(Failure):
            await bus.jetstream.store("penstock.job.acme.chat", b"{}", {"Nats-Rollup": "all"}, "id1", 0.2)


def test_a_service_checks_what_it_uses_and_no_more() -> None:
    audit = table_of("audit")
    assert {store.name for store in audit.stores} == {"AUDIT", "BLOB", "DLQ"}
    assert [consumer.name for consumer in audit.consumers] == ["notary"]
    assert [bucket.name for bucket in audit.buckets] == ["keys", "revocations"]


async def test_the_set_up_waits_for_a_broker_that_is_away(broker: NatsServer) -> None:
    bus = await Bus.connect(BusConfig(url=broker.url, jetstream=SHORT))
    try:
        await broker.stop()
        preparing = asyncio.create_task(bus.prepare())
        await broker.start()
        assert "stream JOBS: made" in await preparing
    finally:
        await bus.close()
