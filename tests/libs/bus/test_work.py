"""Work over a real broker: retries, dead letters, releases, killed workers, a broker that goes away."""

import asyncio
import os

import msgspec
import pytest

from penstock.bus import Bus, Discard, Item, Release
from penstock.bus.jetstream import Record
from penstock.bus.pull import Delivery, Pull
from penstock.bus.setup import Setup
from penstock.bus.work import Bad, Works
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import RELEASES
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.verbs import INPUT, SHORT, TABLE, TASK, Note, verbs_bus
from tests.support.wire import wire


class Redelivered(msgspec.Struct):
    num_redelivered: int


async def assign(bus: Bus, n: int, text: str = "") -> None:
    await bus.assign(TASK, Note(n, text), Meta(), tenant="acme", kind="any")


async def queue_is_empty(bus: Bus) -> None:
    async def empty() -> None:
        assert await bus.jetstream.read("TASKS", "test.tasks.*.*", limit=1) == []

    await eventually(empty, within_s=10)


async def dead_letters(bus: Bus, count: int) -> list[Record]:
    async def there() -> list[Record]:
        found = await bus.jetstream.read("DLQ", "penstock.dlq.*", limit=100)
        assert len(found) == count
        return found

    return await eventually(there, within_s=10)


class Calls:
    """A handler that notes what it saw and does what it was told."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.items: list[Item[Note]] = []
        self.times: list[float] = []
        self._outcomes = list(outcomes)

    async def __call__(self, item: Item[Note]) -> None:
        self.items.append(item)
        self.times.append(asyncio.get_running_loop().time())
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if outcome is not None:
            raise outcome

    async def reached(self, count: int) -> None:
        async def enough() -> None:
            assert len(self.items) >= count

        await eventually(enough, within_s=10)


async def test_a_task_is_handed_over_with_its_meta_and_the_tenant_of_its_subject(nats_url: str) -> None:
    calls = Calls()
    async with verbs_bus(nats_url) as bus:
        meta = Meta(request="req_1", tenant="umbrella", job="job_1", epoch=7)
        assert await bus.assign(TASK, Note(1, "x"), meta, tenant="acme", kind="any")
        worker = await bus.work(TASK, calls, slots=4)
        await queue_is_empty(bus)
        await worker.stop()
    [item] = calls.items
    assert item.body == Note(1, "x")
    assert item.meta == Meta(request="req_1", tenant="acme", job="job_1", epoch=7)
    assert item.tokens == {"tenant": "acme", "kind": "any"}
    assert (item.sequence, item.deliveries, item.subject) == (1, 1, "test.tasks.acme.any")


async def test_never_more_than_the_slots_are_handled_at_once(nats_url: str) -> None:
    running = most = 0

    async def handler(item: Item[Note]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    async with verbs_bus(nats_url) as bus:
        for n in range(100):
            await assign(bus, n)
        worker = await bus.work(TASK, handler, slots=7)
        await queue_is_empty(bus)
        await worker.stop()
    assert most == 7


async def test_two_workers_share_the_tasks_and_each_is_done_once(nats_url: str) -> None:
    mine, theirs = Calls(), Calls()
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        workers = [await bus.work(TASK, mine, slots=5), await other.work(TASK, theirs, slots=5)]
        await asyncio.gather(*[assign(bus, n) for n in range(200)])
        await queue_is_empty(bus)
        for worker in workers:
            await worker.stop()
    assert sorted(item.body.n for item in mine.items + theirs.items) == list(range(200))
    assert len(mine.items) > 20
    assert len(theirs.items) > 20


async def test_a_failure_is_tried_again_with_growing_pauses(nats_url: str) -> None:
    calls = Calls(Failure(Code.UPSTREAM, "no"), Failure(Code.UPSTREAM, "no"))
    async with verbs_bus(nats_url) as bus:
        await assign(bus, 1)
        worker = await bus.work(TASK, calls, slots=1)
        await queue_is_empty(bus)
        await worker.stop()
        await dead_letters(bus, 0)
    assert [item.deliveries for item in calls.items] == [1, 2, 3]
    assert calls.times[1] - calls.times[0] > 0.035
    assert calls.times[2] - calls.times[1] > 0.07


async def test_after_the_last_attempt_it_is_a_dead_letter_with_its_reason(nats_url: str) -> None:
    calls = Calls(*[Failure(Code.UPSTREAM, f"no {n}") for n in range(9)])
    async with verbs_bus(nats_url) as bus:
        meta = Meta(request="req_1", token="secret.token", job="job_1")
        await bus.assign(TASK, Note(1, "x"), meta, tenant="acme", kind="any")
        worker = await bus.work(TASK, calls, slots=1)
        [letter] = await dead_letters(bus, 1)
        await queue_is_empty(bus)
        await worker.stop()
    assert len(calls.items) == 3
    assert letter.subject == "penstock.dlq.TASKS"
    assert letter.data == b'{"n":1,"text":"x"}'
    kept = {name: value for name, value in letter.headers.items() if name.startswith(("Penstock-", "Nats-Service"))}
    assert kept == {
        "Penstock-Dead-Subject": "test.tasks.acme.any",
        "Penstock-Dead-Consumer": "doers",
        "Penstock-Dead-Sequence": "1",
        "Penstock-Dead-Deliveries": "3",
        "Penstock-Request": "req_1",
        "Penstock-Job": "job_1",
        "Nats-Service-Error-Code": "upstream",
        "Nats-Service-Error": "no 2",
    }


async def test_a_handler_that_fails_unexpectedly_counts_as_an_attempt(nats_url: str) -> None:
    calls = Calls(ValueError("a bug"), None)
    async with verbs_bus(nats_url) as bus:
        await assign(bus, 1)
        worker = await bus.work(TASK, calls, slots=1)
        await queue_is_empty(bus)
        await worker.stop()
    assert len(calls.items) == 2


async def test_discard_is_a_dead_letter_at_once(nats_url: str) -> None:
    calls = Calls(Discard(Failure(Code.NOT_FOUND, "no such agent")))
    async with verbs_bus(nats_url) as bus:
        await assign(bus, 1)
        worker = await bus.work(TASK, calls, slots=1)
        [letter] = await dead_letters(bus, 1)
        await queue_is_empty(bus)
        await worker.stop()
    assert len(calls.items) == 1
    assert letter.headers["Nats-Service-Error"] == "no such agent"


async def test_released_ten_times_is_no_attempt_on_any_worker(nats_url: str) -> None:
    calls = Calls(*[Release(0.01) for _ in range(10)], Failure(Code.UPSTREAM), Failure(Code.UPSTREAM), None)
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        workers = [await b.work(TASK, calls, slots=1) for b in (bus, other)]
        await assign(bus, 1)
        await queue_is_empty(bus)
        for worker in workers:
            await worker.stop()
        await dead_letters(bus, 0)
        released = await bus.bucket(RELEASES).get("TASKS.doers.1")
        assert released is not None
        assert released.value == 10
    assert len(calls.items) == 13


async def test_release_waits_as_long_as_it_says(nats_url: str) -> None:
    calls = Calls(Release(0.4))
    async with verbs_bus(nats_url) as bus:
        await assign(bus, 1)
        worker = await bus.work(TASK, calls, slots=1)
        await queue_is_empty(bus)
        await worker.stop()
    assert 0.35 < calls.times[1] - calls.times[0] < 2


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"n":"x"}', b"[]", b"\xff\xfe", b"[" * 100_000, b'{"n":1}' * 2],
    ids=["empty", "not-json", "wrong-type", "wrong-shape", "not-utf8", "nested", "twice"],
)
async def test_what_cannot_be_read_is_a_dead_letter_and_its_sender_can_be_told(nats_url: str, body: bytes) -> None:
    told: list[Bad] = []

    async def on_bad(bad: Bad) -> None:
        told.append(bad)

    calls = Calls()
    async with verbs_bus(nats_url) as bus:
        await bus.jetstream.store("test.tasks.acme.any", body, {"Penstock-Request": "req_9"}, "bad")
        await assign(bus, 2)
        works = Works(bus.jetstream, bus._bodies)
        worker = await works.work(TASK, calls, slots=1, on_bad=on_bad)
        [letter] = await dead_letters(bus, 1)
        await queue_is_empty(bus)
        await worker.stop()
    assert [item.body.n for item in calls.items] == [2]
    assert letter.data == body
    assert letter.headers["Nats-Service-Error-Code"] == "invalid"
    [bad] = told
    assert (bad.tokens, bad.meta.request, bad.sequence) == ({"tenant": "acme", "kind": "any"}, "req_9", 1)
    assert bad.reason.code is Code.INVALID


async def test_headers_that_cannot_be_read_do_not_block_the_queue(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        headers = {"Penstock-Deadline": "soon", "Penstock-Request": "x" * 5000, "Penstock-Job": "a\x07b"}
        await bus.jetstream.store("test.tasks.acme.any", b'{"n":1}', headers, "bad")
        worker = await bus.work(TASK, Calls(), slots=1)
        [letter] = await dead_letters(bus, 1)
        await queue_is_empty(bus)
        await worker.stop()
    assert letter.headers["Penstock-Job"] == "ab"
    assert len(letter.headers["Penstock-Request"]) == 512


async def test_a_forged_reference_to_a_body_is_a_dead_letter(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, catch_up_s=0.1)
    async with verbs_bus(nats_url, limits=limits) as bus:
        for n, reference in enumerate(["x", "*:5", f"{'a' * 64}:5", f"{'a' * 64}:99999999999"]):
            await bus.jetstream.store("test.tasks.acme.any", b"", {"Penstock-Blob": reference}, f"bad{n}")
        worker = await bus.work(TASK, Calls(), slots=4)
        letters = await dead_letters(bus, 4)
        await worker.stop()
    codes = {letter.headers["Penstock-Dead-Sequence"]: letter.headers["Nats-Service-Error-Code"] for letter in letters}
    assert codes == {"1": "invalid", "2": "invalid", "3": "not_found", "4": "too_large"}


async def test_a_long_task_stays_with_its_worker_beyond_the_ack_wait(nats_url: str) -> None:
    seen: list[int] = []
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(item: Item[Note]) -> None:
        seen.append(item.deliveries)
        await release.wait()

    async def twice_the_ack_wait_is_over() -> None:
        assert loop.time() - began > 2.2  # the consumer's ack wait is 1 s

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        workers = [await b.work(TASK, handler, slots=2) for b in (bus, other)]
        began = loop.time()
        await assign(bus, 1)
        await eventually(twice_the_ack_wait_is_over)
        release.set()
        await queue_is_empty(bus)
        for worker in workers:
            await worker.stop()
    assert seen == [1]


async def test_the_task_of_a_worker_that_was_killed_is_given_to_another(nats_url: str) -> None:
    started = asyncio.Event()

    async def forever(item: Item[Note]) -> None:
        started.set()
        await asyncio.Event().wait()

    calls = Calls()
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as doomed:
        await doomed.work(TASK, forever, slots=1)
        await assign(bus, 1)
        await started.wait()
        # as kill -9: the socket ends, and nothing more is said
        await doomed.connection._client.close()
        worker = await bus.work(TASK, calls, slots=1)
        await calls.reached(1)
        await worker.stop()
    assert [item.deliveries for item in calls.items] == [2]


async def test_a_task_that_kills_its_workers_is_a_dead_letter_without_being_tried_again(nats_url: str) -> None:
    held: asyncio.Queue[Delivery] = asyncio.Queue()
    calls = Calls()
    async with verbs_bus(nats_url) as bus:
        await assign(bus, 1)
        pull = Pull(bus.jetstream, TASK.consumer, 1, held.put_nowait)
        await pull.start()
        for _ in range(3):  # a worker that dies is a delivery that nobody settles
            pull.nak(await held.get())
        await pull.stop()
        pull.close()
        worker = await bus.work(TASK, calls, slots=1)
        [letter] = await dead_letters(bus, 1)
        await worker.stop()
    assert calls.items == []
    assert letter.headers["Nats-Service-Error"] == "given out 4 times and never finished"


async def test_stopping_gives_back_at_once_what_is_held_and_it_is_no_attempt(nats_url: str) -> None:
    started = asyncio.Event()

    async def forever(item: Item[Note]) -> None:
        started.set()
        await asyncio.Event().wait()

    calls = Calls()
    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as other:
        await assign(bus, 1)
        for _ in range(4):
            started.clear()
            worker = await bus.work(TASK, forever, slots=1)
            await started.wait()
            await worker.stop()
        began = asyncio.get_running_loop().time()
        worker = await other.work(TASK, calls, slots=1)
        await calls.reached(1)
        await queue_is_empty(bus)
        await worker.stop()
        await dead_letters(bus, 0)
    assert calls.times[0] - began < 0.5
    assert calls.items[0].deliveries == 5


async def test_stopping_may_wait_for_what_runs(nats_url: str) -> None:
    done: list[int] = []
    release = asyncio.Event()

    async def handler(item: Item[Note]) -> None:
        await release.wait()
        done.append(item.body.n)

    async with verbs_bus(nats_url) as bus:
        worker = await bus.work(TASK, handler, slots=3)
        for n in range(3):
            await assign(bus, n)

        async def all_held() -> None:
            assert worker.busy == 3

        await eventually(all_held)
        asyncio.get_running_loop().call_later(0.1, release.set)
        await worker.stop(finish_s=5)
        await queue_is_empty(bus)
    assert done == [0, 1, 2]


async def test_a_stale_ack_ends_the_task_and_disturbs_nobody(nats_url: str) -> None:
    # the broker takes it: an ack is bookkeeping, never a fence
    held: asyncio.Queue[Delivery] = asyncio.Queue()
    release = asyncio.Event()
    finished: list[int] = []

    async def handler(item: Item[Note]) -> None:
        await release.wait()
        finished.append(item.deliveries)

    async with verbs_bus(nats_url) as bus, verbs_bus(nats_url) as zombie:
        await assign(bus, 1)
        pull = Pull(zombie.jetstream, TASK.consumer, 1, held.put_nowait)
        await pull.start()
        stale = await held.get()
        pull._timers["progress"].cancel()
        await pull.stop()
        worker = await bus.work(TASK, handler, slots=1)

        async def taken_over() -> None:
            assert worker.busy == 1

        await eventually(taken_over)
        pull.ack(stale)
        await queue_is_empty(bus)
        assert finished == []
        release.set()
        await assign(bus, 2)
        await queue_is_empty(bus)
        await worker.stop()
        pull.close()
    assert sorted(finished) == [1, 2]


async def test_work_goes_on_over_a_broker_that_is_restarted_and_killed(broker: NatsServer) -> None:
    calls = Calls()
    async with verbs_bus(broker.url) as bus:
        worker = await bus.work(TASK, calls, slots=8)
        for turn, fault in enumerate([broker.restart, broker.kill]):
            assigning = [asyncio.create_task(assign(bus, turn * 100 + n)) for n in range(100)]
            await calls.reached(turn * 100 + 20)
            await fault()
            if fault == broker.kill:
                await broker.start()
            await asyncio.gather(*assigning)
        await queue_is_empty(bus)
        await worker.stop()
        await dead_letters(bus, 0)
    assert {item.body.n for item in calls.items} == set(range(200))


async def test_a_task_held_over_an_outage_longer_than_the_ack_wait_runs_once(broker: NatsServer) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def handler(item: Item[Note]) -> None:
        seen.append(item.sequence)
        started.set()
        await release.wait()

    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        await assign(bus, 1)
        worker = await bus.work(TASK, handler, slots=2)
        await started.wait()
        link.pause()

        async def its_time_is_over() -> None:
            info = await observer.jetstream.ask("CONSUMER.INFO.TASKS.doers", {}, Redelivered, "doers")
            assert info.num_redelivered == 1

        async with verbs_bus(broker.url) as observer:
            await eventually(its_time_is_over, within_s=10)
        link.resume()

        async def given_again() -> None:
            entry = await bus.bucket(RELEASES).get("TASKS.doers.1")
            assert entry is not None

        await eventually(given_again, within_s=10)
        release.set()
        await queue_is_empty(bus)
        await worker.stop()
    assert seen == [1]


async def test_a_worker_may_start_before_the_set_up_was_run(nats_url: str) -> None:
    calls = Calls()
    async with verbs_bus(nats_url, prepared=False) as early:
        worker = await early.work(TASK, calls, slots=1)
        async with verbs_bus(nats_url) as bus:
            await assign(bus, 1)
            await calls.reached(1)
        await worker.stop()


async def test_a_worker_finds_a_consumer_that_was_deleted_and_made_again(nats_url: str) -> None:
    calls = Calls()
    async with verbs_bus(nats_url) as bus:
        worker = await bus.work(TASK, calls, slots=1)
        await assign(bus, 1)
        await calls.reached(1)
        await bus.jetstream.ask("CONSUMER.DELETE.TASKS.doers", {}, dict[str, msgspec.Raw], "consumer doers")
        async with verbs_bus(nats_url):
            await assign(bus, 2)
            await calls.reached(2)
        await worker.stop()


async def test_a_broker_that_is_silent_is_noticed_by_missing_heartbeats(broker: NatsServer) -> None:
    calls = Calls()
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        worker = await bus.work(TASK, calls, slots=1)
        pull = worker._pull
        link.pause()

        async def asked_anew() -> None:
            assert pull._round > 0

        await eventually(asked_anew, within_s=3)
        link.resume()
        await assign(bus, 1)
        await calls.reached(1)
        await worker.stop()


async def test_a_task_whose_attempts_cannot_be_counted_comes_again(nats_url: str) -> None:
    limits = msgspec.structs.replace(SHORT, budget_s=0.5)
    calls = Calls(*[Failure(Code.UPSTREAM, "no")] * 3)
    async with verbs_bus(nats_url, limits=limits) as bus:
        await bus.jetstream.ask(f"STREAM.DELETE.{RELEASES.store.name}", {}, dict[str, object], "bucket")
        await assign(bus, 1)
        worker = await bus.work(TASK, calls, slots=1)
        await calls.reached(3)

        async def settled() -> None:
            assert not worker._running
            assert not worker._settling

        await eventually(settled)
        # it can neither be tried nor buried; when counting works again it is
        await Setup(bus.jetstream).prepare(TABLE)
        assert len(await dead_letters(bus, 1)) == 1
        await queue_is_empty(bus)
        await worker.stop()


async def test_the_first_input_on_a_subject_wins_for_ever(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        results = await asyncio.gather(
            *[bus.assign(INPUT, Note(n), Meta(), first=True, key="approve-1") for n in range(10)]
        )
        assert sorted(results) == [False] * 9 + [True]
        assert not await bus.assign(INPUT, Note(99), Meta(), first=True, key="approve-1")
        assert await bus.assign(INPUT, Note(1), Meta(), first=True, key="approve-2")
        assert len(await bus.jetstream.read("LOGS", "test.input.*", limit=10)) == 2


async def test_a_first_input_whose_acknowledgement_is_lost_is_still_ours(broker: NatsServer) -> None:
    async with wire(broker.port) as link, verbs_bus(f"nats://127.0.0.1:{link.port}") as bus:
        link.pause_answers()
        assigning = asyncio.create_task(bus.assign(INPUT, Note(1), Meta(), first=True, key="a"))
        async with verbs_bus(broker.url) as other:

            async def stored() -> None:
                assert await other.jetstream.read("LOGS", "test.input.a", limit=1)

            await eventually(stored)
        link.reset()
        link.resume()
        assert await assigning


async def test_the_same_message_id_is_one_task(nats_url: str) -> None:
    calls = Calls()
    async with verbs_bus(nats_url) as bus:
        for _ in range(3):
            assert await bus.assign(TASK, Note(1), Meta(), message_id="job_1", tenant="acme", kind="any")
        worker = await bus.work(TASK, calls, slots=4)
        await queue_is_empty(bus)
        await worker.stop()
    assert len(calls.items) == 1


async def test_a_dead_letter_larger_than_a_message_is_kept_by_reference(nats_url: str) -> None:
    async with verbs_bus(nats_url) as bus:
        body = os.urandom(500_000)
        await bus.jetstream.store("test.tasks.acme.any", body, {}, "bad")
        worker = await bus.work(TASK, Calls(), slots=1)
        [letter] = await dead_letters(bus, 1)
        await worker.stop()
        assert letter.data == b""
        assert await bus._bodies.of(letter.message) == body
