"""Every stored verb of the plane, by the identity that uses it, on a broker that denies everything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig, Discard, Item, Release, Stored
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import SETUP, service_grants, setup_grants
from penstock.bus.server_config import BusUser, render
from penstock.contracts import governance, services, subjects
from penstock.contracts.audit import Batch
from penstock.contracts.endpoint import Consumer
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import partition
from penstock.contracts.jobs import Job, JobEvent
from penstock.contracts.meta import Meta
from penstock.contracts.runs import Claimed, RunInput
from tests.support.eventually import eventually
from tests.support.nats_server import nats_server
from tests.support.verbs import SHORT

# a subject that is denied is never answered: such a try must end before the test's patience does
BRIEF = msgspec.structs.replace(SHORT, budget_s=3.0)


class Plane:
    """Buses by identity, on one broker that was set up."""

    def __init__(self, url: str, seeds: Path, stack: AsyncExitStack) -> None:
        self._url = url
        self._seeds = seeds
        self._stack = stack

    async def bus(self, name: str) -> Bus:
        config = BusConfig(url=self._url, principal=name, seed_file=str(self._seeds / name), jetstream=BRIEF)
        bus = await Bus.connect(config)
        self._stack.push_async_callback(bus.close)
        return bus


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    users = [BusUser(s, load_or_make(tmp_path / s), service_grants(s)) for s in services.SERVICES]
    users.append(BusUser(SETUP, load_or_make(tmp_path / SETUP), setup_grants()))
    async with nats_server(render(users)) as broker, AsyncExitStack() as stack:
        plane = Plane(broker.url, tmp_path, stack)
        setup = await plane.bus(SETUP)
        await setup.prepare()
        yield plane


def job(text: str) -> Job:
    return Job("chat", msgspec.Raw(msgspec.json.encode(text)))


@pytest.mark.parametrize("name", services.SERVICES)
async def test_a_service_may_check_its_own_part_of_the_set_up(plane: Plane, name: str) -> None:
    bus = await plane.bus(name)
    assert await bus.drift(name) == []


@pytest.mark.parametrize("name", services.SERVICES)
async def test_a_service_may_not_set_up(plane: Plane, name: str) -> None:
    bus = await plane.bus(name)
    with pytest.raises(Failure):
        await bus.jetstream.ask("STREAM.CREATE.MINE", {"name": "MINE", "subjects": ["mine"]}, dict[str, object], "MINE")


@pytest.mark.parametrize("name", services.SERVICES)
async def test_a_service_may_put_and_get_large_bodies(plane: Plane, name: str) -> None:
    bus = await plane.bus(name)
    assert await bus.blobs.get(await bus.blobs.put(b"x" * 1_000_000)) == b"x" * 1_000_000


async def test_the_orchestrator_admits_jobs_and_gives_back_and_buries(plane: Plane) -> None:
    orchestrator = await plane.bus("orchestrator")
    seen: list[int] = []

    async def handler(item: Item[Job]) -> None:
        seen.append(item.deliveries)
        if len(seen) == 1:
            raise Release(0.01)
        raise Discard(Failure(Code.INVALID, "not wanted"))

    await orchestrator.assign(subjects.JOB, job("hello"), Meta(), tenant="acme", kind="chat")
    worker = await orchestrator.work(subjects.JOB, handler, slots=1)

    async def buried() -> None:
        assert len(seen) == 2
        assert worker.busy == 0

    await eventually(buried)
    await worker.stop()


async def test_the_orchestrator_keeps_runs(plane: Plane) -> None:
    orchestrator = await plane.bus("orchestrator")
    tokens = {"partition": partition("r1"), "run": "r1"}
    journal = orchestrator.journal(subjects.RUN_JOURNAL, **tokens)
    assert await journal.load() == []
    await journal.append(Claimed(n=0, time=1.0, worker="w1", revision="r"))
    reader = orchestrator.journal(subjects.RUN_JOURNAL, **tokens)
    assert len(await reader.load()) == 1
    start = RunInput("r1", "start", "s")
    assert await orchestrator.assign(subjects.RUN_INPUT, start, Meta(), first=True, kind="start", id="s", **tokens)
    assert not await orchestrator.assign(subjects.RUN_INPUT, start, Meta(), first=True, kind="start", id="s", **tokens)
    done = asyncio.Event()

    async def handler(item: Item[RunInput]) -> None:
        done.set()

    worker = await orchestrator.work(subjects.RUN_INPUT, handler, slots=1)
    await asyncio.wait_for(done.wait(), 5)
    await worker.stop()


async def test_the_orchestrator_keeps_leases(plane: Plane) -> None:
    workers = (await plane.bus("orchestrator")).bucket(subjects.WORKERS)
    revision = await workers.create("w1", "here")
    await workers.update("w1", "still here", revision)
    assert await workers.keys() == ["w1"]
    assert (entry := await workers.get("w1", fresh=True)) is not None
    assert entry.value == "still here"
    await workers.delete("w1")


async def test_the_gateway_follows_a_jobs_events(plane: Plane) -> None:
    gateway, orchestrator = await plane.bus("gateway"), await plane.bus("orchestrator")
    first = JobEvent("job_1", 0, "accepted", 1.0)
    await orchestrator.emit(subjects.JOB_EVENT, first, Meta(), tenant="acme", job="job_1")
    async with aclosing(gateway.follow(subjects.JOB_EVENT, tenant="acme", job="job_1")) as events:
        assert (await anext(events)).body.type == "accepted"
        last = JobEvent("job_1", 1, "completed", 2.0)
        await orchestrator.emit(subjects.JOB_EVENT, last, Meta(), tenant="acme", job="job_1")
        assert (await anext(events)).body.type == "completed"


@pytest.mark.parametrize(
    ("name", "consumer"),
    [("audit", governance.AUDIT_SINK), ("policy", governance.SETTLE_SINK)],
    ids=["audit", "policy"],
)
async def test_audit_and_policy_listen_to_the_records(plane: Plane, name: str, consumer: Consumer) -> None:
    router, listening = await plane.bus("router"), await plane.bus(name)
    got: list[int] = []

    async def handler(batch: list[Stored[Batch]]) -> None:
        got.extend(stored.sequence for stored in batch)

    await router.jetstream.store("penstock.audit.acme.router", b"not a record", {}, "bad")
    await router.emit(governance.AUDIT_BATCH, Batch([]), Meta(), tenant="acme", service="router")
    listener = await listening.listen(governance.AUDIT_BATCH, consumer, handler)

    async def heard() -> None:
        assert got == [2]

    await eventually(heard)
    await listener.stop()


async def test_a_service_may_not_write_another_services_records(plane: Plane) -> None:
    router = await plane.bus("router")
    with pytest.raises(Failure) as caught:
        await router.emit(governance.AUDIT_BATCH, Batch([]), Meta(), tenant="acme", service="gateway")
    assert caught.value.code in (Code.DEADLINE, Code.UNAVAILABLE, Code.DENIED)
