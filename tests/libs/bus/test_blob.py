"""Blob: large bodies over a real broker: whole or not at all."""

import asyncio
import os

import msgspec
import pytest

from penstock.bus import Item
from penstock.bus.blob import blob_id
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import NOTED, SHORT, TASK, Note, verbs_bus
from tests.support.wire import wire

MIB = 1024 * 1024


async def failure_of_get(bus_url: str, id: str) -> Failure:
    async with verbs_bus(bus_url) as bus:
        with pytest.raises(Failure) as caught:
            await bus.blobs.get(id)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 261_119, 261_120, 261_121, 5 * MIB])
async def test_what_was_put_is_got(nats_url: str, size: int) -> None:
    data = os.urandom(size)
    async with verbs_bus(nats_url) as bus:
        assert await bus.blobs.get(await bus.blobs.put(data)) == data


async def test_a_body_of_32_mib_goes_and_comes(nats_url: str) -> None:
    data = os.urandom(32 * MIB)
    async with verbs_bus(nats_url) as bus:
        assert await bus.blobs.get(await bus.blobs.put(data)) == data


async def test_no_chunk_with_its_headers_is_above_256_kib(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        id = await bus.blobs.put(b"x" * 300_000)
        records = await bus.jetstream.read("BLOB", f"penstock.blob.{id}.*", limit=10)
        assert [len(r.data) for r in sorted(records, key=lambda r: r.subject)] == [261_120, 38_880]
        state = await bus.jetstream.ask("STREAM.INFO.BLOB", {}, dict[str, msgspec.Raw], "stream BLOB")
        assert msgspec.json.decode(state["state"])["bytes"] < 300_000 + 2 * 1024


async def test_ids_prove_the_content_and_cannot_be_guessed() -> None:
    first, second = blob_id(b"same"), blob_id(b"same")
    assert len(first) == 64
    assert first[:24] != second[:24]
    assert first[24:] == second[24:] == "0967115f2813a3541eaef77de9d9d5773f1c0c04"


async def test_an_unknown_id_is_not_found(nats_url: str) -> None:
    failure = await failure_of_get(nats_url, blob_id(b"never put"))
    assert (failure.code, failure.detail) == (Code.NOT_FOUND, "the body is gone: it was kept for a limited time")


@pytest.mark.parametrize("id", ["", "*", ">", "a.b", "a b", "x" * 65])
async def test_an_id_that_is_none_is_invalid(nats_url: str, id: str) -> None:
    assert (await failure_of_get(nats_url, id)).code is Code.INVALID


async def test_changed_content_is_never_returned(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        id = blob_id(b"the truth")
        await bus.jetstream.store(f"penstock.blob.{id}.0", b"something else", {}, "forged")
        with pytest.raises(Failure) as caught:
            await bus.blobs.get(id)
    assert caught.value.code is Code.NOT_FOUND


async def test_a_chunk_that_is_missing_is_waited_for(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        data = os.urandom(300_000)
        id = blob_id(data)
        await bus.jetstream.store(f"penstock.blob.{id}.1", data[261_120:], {}, "one")
        await bus.jetstream.store(f"penstock.blob.{id}.x", b"noise", {}, "noise")
        getting = asyncio.create_task(bus.blobs.get(id))
        await bus.jetstream.store(f"penstock.blob.{id}.0", data[:261_120], {}, "zero")
        assert await getting == data


async def test_chunks_in_any_order_are_put_together_by_number(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        data = os.urandom(12 * 261_120)
        id = blob_id(data)
        for n in reversed(range(12)):
            chunk = data[n * 261_120 : (n + 1) * 261_120]
            await bus.jetstream.store(f"penstock.blob.{id}.{n}", chunk, {}, f"chunk-{n}")
        assert await bus.blobs.get(id) == data


async def test_a_body_above_the_limit_is_refused_in_both_directions(nats_url: str) -> None:
    async with verbs_bus(nats_url) as large, verbs_bus(nats_url, body_max_bytes=MIB) as small:
        with pytest.raises(Failure) as caught:
            await small.blobs.put(b"x" * (MIB + 1))
        assert caught.value.code is Code.TOO_LARGE
        id = await large.blobs.put(b"x" * (8 * MIB))
        with pytest.raises(Failure) as caught:
            await small.blobs.get(id)
        assert caught.value.code is Code.TOO_LARGE


async def test_a_broker_restarted_in_the_middle_of_a_put_changes_nothing(broker: NatsServer) -> None:
    data = os.urandom(16 * MIB)
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        passed = link.bytes_passed
        putting = asyncio.create_task(bus.blobs.put(data))

        async def half_way() -> None:
            assert link.bytes_passed - passed > 4 * MIB

        await eventually(half_way, within_s=20, every_s=0.001)
        await broker.restart()
        id = await putting
        assert await bus.blobs.get(id) == data


async def test_a_connection_lost_in_the_middle_of_a_get_changes_nothing(broker: NatsServer) -> None:
    data = os.urandom(16 * MIB)
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        id = await bus.blobs.put(data)
        passed = link.bytes_passed
        getting = asyncio.create_task(bus.blobs.get(id))

        async def half_way() -> None:
            assert link.bytes_passed - passed > 4 * MIB

        await eventually(half_way, within_s=20, every_s=0.001)
        link.reset()
        assert await getting == data


async def test_a_large_event_and_a_large_task_travel_by_reference(nats_url: str) -> None:
    text = "x" * (2 * MIB)
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with verbs_bus(nats_url) as bus:
        await bus.emit(NOTED, Note(1, text), Meta(), topic="a")
        [stored] = await bus.read(NOTED, topic="a")
        assert stored.body == Note(1, text)

        async def handler(item: Item[Note]) -> None:
            done.set_result(item.body.text)

        worker = await bus.work(TASK, handler, slots=1)
        await bus.assign(TASK, Note(1, text), Meta(), tenant="acme", kind="any")
        assert await done == text
        await worker.stop()


async def test_a_body_that_only_passes_by_is_gone_when_its_time_is_over(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        passing = await bus.blobs.put(b"x" * 300_000, ttl_s=1)
        kept = await bus.blobs.put(b"y" * 300_000)
        assert await bus.blobs.get(passing) == b"x" * 300_000

        async def gone() -> None:
            assert await bus.jetstream.read("BLOB", f"penstock.blob.{passing}.*", limit=1) == []

        await eventually(gone)
        assert await bus.blobs.get(kept) == b"y" * 300_000


async def test_what_stands_in_a_stored_message_is_kept_as_long_as_the_stream_keeps_anything(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.emit(NOTED, Note(1, "x" * 300_000), Meta(), topic="a")
        await bus.assign(TASK, Note(1, "x" * 300_000), Meta(), tenant="acme", kind="any")
        headers = [record.headers for record in await bus.jetstream.read("BLOB", "penstock.blob.>", limit=9)]
        assert ["Nats-TTL" in h for h in headers] == [False] * 4
        await bus._bodies.check_in(b"x" * 300_000, within_s=5.2)
        headers = [record.headers for record in await bus.jetstream.read("BLOB", "penstock.blob.>", limit=9)]
        assert [h.get("Nats-TTL") for h in headers[4:]] == ["66", "66"]


async def test_a_reference_to_a_body_that_is_gone_is_not_found(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, catch_up_s=0.1)
    async with verbs_bus(nats_url, limits=limits) as bus:
        headers = {"Penstock-Blob": f"{blob_id(b'')}:5"}
        await bus.jetstream.store("test.notes.a", b"", headers, "id1")
        with pytest.raises(Failure) as caught:
            await bus.read(NOTED, topic="a")
    assert caught.value.code is Code.NOT_FOUND
