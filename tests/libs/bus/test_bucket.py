"""Bucket: compare-and-set over a real broker, leases that end, and another client's view of the same bucket."""

import asyncio
from contextlib import aclosing

import nats
import pytest

from penstock.bus.bucket import Entry
from penstock.contracts.endpoint import Bucket
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import InvalidToken
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import LEASES, PLACES, Note, smuggle, verbs_bus
from tests.support.wire import wire


async def test_a_value_that_was_put_is_got_with_its_revision(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        assert await places.put("a", Note(1)) == 1
        assert await places.put("a", Note(2)) == 2
        for fresh in (False, True):
            entry = await places.get("a", fresh=fresh)
            assert entry is not None
            assert (entry.key, entry.value, entry.revision) == ("a", Note(2), 2)
            assert entry.time > 1_700_000_000


async def test_a_key_that_was_never_written_is_none(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        assert await bus.bucket(PLACES).get("a") is None
        assert await bus.bucket(PLACES).get("a", fresh=True) is None


async def test_what_nobody_put_is_as_if_it_were_not_there(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        await places.put("a", Note(1))
        await smuggle(bus, "KV_places", "$KV.places.b")
        assert [entry.key for entry in await places.entries()] == ["a"]
        assert await places.keys() == ["a"]
        assert await places.get("b") is None
        assert await places.get("b", fresh=True) is None
        await places.create("b", Note(2))
        assert [entry.value for entry in await places.entries()] == [Note(1), Note(2)]


async def test_create_writes_only_where_nothing_is(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        assert await places.create("a", Note(1)) == 1
        with pytest.raises(Failure) as caught:
            await places.create("a", Note(2))
        assert caught.value.code is Code.CONFLICT
        await places.delete("a")
        assert await places.create("a", Note(3)) == 3


async def test_of_ten_creators_one_wins(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        for turn in range(5):
            creating = [places.create("a", Note(n)) for n in range(10)]
            results = await asyncio.gather(*creating, return_exceptions=True)
            assert sum(isinstance(result, int) for result in results) == 1, turn
            assert sum(isinstance(result, Failure) for result in results) == 9
            await places.delete("a")


async def test_update_writes_only_over_the_revision_it_names(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        first = await places.put("a", Note(1))
        second = await places.update("a", Note(2), first)
        with pytest.raises(Failure) as caught:
            await places.update("a", Note(3), first)
        assert caught.value.code is Code.CONFLICT
        assert await places.update("a", Note(4), second) == 3


async def test_a_hundred_increments_at_once_are_all_counted(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        await places.put("a", Note(0))

        async def increment() -> None:
            while True:
                entry = await places.get("a")
                assert entry is not None
                try:
                    await places.update("a", Note(entry.value.n + 1), entry.revision)
                except Failure:
                    continue
                return

        async def ten() -> None:
            for _ in range(10):
                await increment()

        await asyncio.gather(*[ten() for _ in range(10)])
        entry = await places.get("a")
        assert entry is not None
        assert entry.value == Note(100)


async def test_delete_may_name_the_revision(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        first = await places.put("a", Note(1))
        await places.put("a", Note(2))
        with pytest.raises(Failure) as caught:
            await places.delete("a", first)
        assert caught.value.code is Code.CONFLICT
        await places.delete("a", 2)
        assert await places.get("a") is None


async def test_keys_and_entries_are_those_that_are_there(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        for n, key in enumerate(["acme.1", "acme.2", "umbrella.1", "acme.3"]):
            await places.put(key, Note(n))
        await places.delete("acme.2")
        assert await places.keys() == ["acme.1", "umbrella.1", "acme.3"]
        assert await places.keys("acme") == ["acme.1", "acme.3"]
        assert [(entry.key, entry.value) for entry in await places.entries("acme")] == [
            ("acme.1", Note(0)),
            ("acme.3", Note(3)),
        ]
        assert await places.keys("nobody") == []


async def test_a_page_has_the_keys_of_its_form_in_the_order_of_their_writes(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        for number, key in enumerate(("acme.r2.t1", "acme.r1.t1", "acme.r1.t2", "umbrella.r1.t1", "acme.r3.t1")):
            await places.put(key, Note(number))
        await places.delete("acme.r3.t1")
        assert [entry.key for entry in await places.page("acme.*.t1")] == ["acme.r2.t1", "acme.r1.t1"]
        assert [entry.key for entry in await places.page("acme.r1.*")] == ["acme.r1.t1", "acme.r1.t2"]
        (first,) = await places.page("acme.*.t1", limit=1)
        assert [entry.value for entry in await places.page("acme.*.t1", after=first.revision)] == [Note(1)]
        assert await places.page("acme.r1") == []
        for pattern in ("", "acme.>", "acme..t1", "acme.r*"):
            with pytest.raises(InvalidToken):
                await places.page(pattern)


async def test_a_bucket_of_many_keys_is_listed_whole(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        await asyncio.gather(*[places.put(f"k{n}", Note(n)) for n in range(2500)])
        assert sorted(await places.keys()) == sorted(f"k{n}" for n in range(2500))


@pytest.mark.parametrize("key", ["", "a b", "a.*", ">", "a..b", ".a", "$KV", "a\r\nPUB x 0"])
async def test_a_key_that_is_no_subject_is_refused(nats_url: str, key: str) -> None:
    async with verbs_bus(nats_url) as bus:
        with pytest.raises(InvalidToken):
            await bus.bucket(PLACES).get(key)
        with pytest.raises(InvalidToken):
            await bus.bucket(PLACES).put(key, Note(1))


async def test_a_lease_ends_by_itself_and_lives_as_long_as_it_is_renewed(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        leases = bus.bucket(LEASES)
        loop = asyncio.get_running_loop()
        began = loop.time()
        revision = await leases.create("w1", Note(1))
        await leases.put("w2", Note(2))

        async def w2_is_gone() -> None:
            nonlocal revision
            revision = await leases.update("w1", Note(1), revision)
            assert await leases.get("w2") is None

        await eventually(w2_is_gone, every_s=0.1)
        assert loop.time() - began > 0.9
        assert await leases.keys() == ["w1"]

        async def w1_is_gone() -> None:
            assert await leases.get("w1", fresh=True) is None

        await eventually(w1_is_gone)
        assert await leases.create("w1", Note(3)) > revision


async def test_a_value_that_cannot_be_read_says_where_it_is(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        wrong = Bucket("places", int, ("router",))
        await bus.bucket(wrong).put("a", 7)
        with pytest.raises(Failure) as caught:
            await bus.bucket(PLACES).get("a")
    assert caught.value.code is Code.INTERNAL
    assert "KV_places" in caught.value.detail


async def test_an_update_whose_acknowledgement_is_lost_is_no_conflict(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        places = bus.bucket(PLACES)
        first = await places.put("a", Note(1))
        link.pause_answers()
        updating = asyncio.create_task(places.update("a", Note(2), first))
        async with verbs_bus(broker.url) as other:

            async def written() -> None:
                entry = await other.bucket(PLACES).get("a")
                assert entry is not None
                assert entry.value == Note(2)

            await eventually(written)
        link.reset()
        link.resume()
        assert await updating == 2


async def test_values_outlive_a_broker_that_is_killed(broker: NatsServer) -> None:
    async with verbs_bus(broker.url) as bus:
        places = bus.bucket(PLACES)
        await places.put("a", Note(1))
        await broker.kill()
        getting = asyncio.create_task(places.get("a"))
        await broker.start()
        entry = await getting
        assert isinstance(entry, Entry)
        assert entry.value == Note(1)


async def test_any_nats_client_sees_it_as_a_key_value_bucket(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        await bus.bucket(PLACES).put("a", Note(1))
        client = await nats.connect(nats_url)
        try:
            theirs = await client.jetstream().key_value("places")
            assert (await theirs.get("a")).value == b'{"n":1,"text":""}'
            await theirs.put("b", b'{"n":2}')
            await theirs.delete("a")
        finally:
            await client.close()
        assert await bus.bucket(PLACES).keys() == ["b"]


async def test_a_watch_tells_what_is_there_then_what_changes_and_what_is_deleted(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        places = bus.bucket(PLACES)
        await places.put("a", Note(1))
        await places.put("b", Note(2))
        seen: dict[str, Note | None] = {}

        async def watch() -> None:
            async with aclosing(places.watch(poll_s=0.2)) as pages:
                async for page in pages:
                    seen.update({key: None if entry is None else entry.value for key, entry in page.items()})

        async def sees(wanted: dict[str, Note | None]) -> None:
            assert seen == wanted

        watching = asyncio.create_task(watch())
        await eventually(lambda: sees({"a": Note(1), "b": Note(2)}))
        await places.put("a", Note(3))
        await places.delete("b")
        await places.put("c", Note(4))
        await eventually(lambda: sees({"a": Note(3), "b": None, "c": Note(4)}))
        watching.cancel()
        await asyncio.wait({watching})


async def test_a_watch_that_hears_nothing_says_so(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus, aclosing(bus.bucket(PLACES).watch(poll_s=0.01)) as pages:
        assert [await anext(pages) for _ in range(3)] == [{}, {}, {}]


async def test_a_watch_goes_on_after_the_broker_was_killed(broker: NatsServer) -> None:
    async with verbs_bus(broker.url) as bus, aclosing(bus.bucket(PLACES).watch(poll_s=0.1)) as pages:
        assert await anext(pages) == {}
        await broker.kill()
        await broker.start()
        await bus.bucket(PLACES).put("a", Note(1))
        found: list[str] = []
        while not found:
            found = list(await anext(pages))
        assert found == ["a"]
