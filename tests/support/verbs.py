"""Small endpoints of every stored kind, the streams under them, and a bus whose waits are short."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from penstock.bus import Bus, BusConfig
from penstock.bus.limits import JetStreamLimits
from penstock.bus.setup import Setup, Table
from penstock.contracts.endpoint import Bucket, Consumer, Event, Journal, StreamStore, Subject, Work
from penstock.contracts.stores import BLOB, DLQ
from penstock.contracts.subjects import RELEASES
from tests.support.eventually import eventually


class Note(msgspec.Struct, frozen=True):
    n: int
    text: str = ""


NOTES = StreamStore("NOTES", ("test.notes.*",))
NOTED = Event(Subject("test.notes.{topic}"), Note, NOTES, emitted_by=("router",), heard_by=("audit",))
NOTES_SINK = Consumer("sink", NOTES, "test.notes.*", used_by="audit", ack_wait_s=1, held_max=64)

TASKS = StreamStore("TASKS", ("test.tasks.*.*",), work_queue=True, discard_new=True, max_bytes=2 * 1024 * 1024)
TASK = Work(
    Subject("test.tasks.{tenant}.{kind}"),
    Note,
    Consumer("doers", TASKS, "test.tasks.*.*", used_by="orchestrator", ack_wait_s=1, held_max=1000),
    assigned_by=("gateway",),
    attempts_max=3,
)

LOGS = StreamStore("LOGS", ("test.log.*", "test.input.*"))
LOG = Journal(Subject("test.log.{key}"), Note, LOGS, written_by=("orchestrator",))
INPUT = Work(
    Subject("test.input.{key}"),
    Note,
    Consumer("inputs", LOGS, "test.input.*", used_by="orchestrator", ack_wait_s=1),
    assigned_by=("orchestrator",),
)

PLACES = Bucket("places", Note, ("router",))
LEASES = Bucket("leases", Note, ("router",), ttl_s=1)

TABLE = Table((NOTES, TASKS, LOGS, BLOB, DLQ), (PLACES, LEASES, RELEASES), (NOTES_SINK, TASK.consumer, INPUT.consumer))

SHORT = JetStreamLimits(
    attempt_s=0.5,
    budget_s=10.0,
    catch_up_s=0.5,
    pull_expires_s=4.0,
    pull_heartbeat_s=0.3,
    retry_first_s=0.05,
    retry_last_s=0.2,
    follow_poll_s=1.0,
)


async def smuggle(bus: Bus, stream: str, subject: str) -> None:
    """What a client can do that may publish a task and nothing else: a stream acknowledges to any reply subject, with
    the broker's own rights, so that its answer is stored wherever the client wants."""
    before = await bus.jetstream.last(stream, subject)
    bus.connection.publish("test.tasks.acme.any", b'{"n":1}', reply=subject)

    async def stored() -> None:
        last = await bus.jetstream.last(stream, subject)
        assert last is not None
        assert before is None or last.sequence > before.sequence

    await eventually(stored)


@asynccontextmanager
async def verbs_bus(
    url: str, *, limits: JetStreamLimits = SHORT, prepared: bool = True, body_max_bytes: int = 64 * 1024 * 1024
) -> AsyncIterator[Bus]:
    """A bus on streams that are there (unless it is told not to make them)."""
    bus = await Bus.connect(BusConfig(url=url, principal="router", jetstream=limits, body_max_bytes=body_max_bytes))
    try:
        if prepared:
            await Setup(bus.jetstream).prepare(TABLE)
        yield bus
    finally:
        await bus.close()
