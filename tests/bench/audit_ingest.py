"""How fast the notary takes records, and how fast its log is verified: python -m tests.bench.audit_ingest [records].

Three figures, each over the same records: into the log and the index from memory (no broker); from a real broker's
stream through the listener to durable leaves; and the offline verifier over what was written.
"""

import asyncio
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from penstock.bus import Bus, BusConfig
from penstock.contracts.governance import AUDIT_BATCH, AUDIT_SINK
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.audit.disk import Disk
from services.audit.leaf import Message
from services.audit.notary import Notary
from services.audit.source import AUDIT_RAW, Source
from services.audit.verify import verify
from services.audit.writer import Writer
from tests.support.audit_log import KEY, decision, outcome
from tests.support.eventually import eventually
from tests.support.nats_server import nats_server

RECORDS = 20_000
PER_MESSAGE = 8
"""Records in one append of a recorder under load."""
CHECKPOINT_RECORDS = 1024


def bodies(records: int) -> list[bytes]:
    made = []
    for number in range(0, records, PER_MESSAGE):
        pairs = [
            record
            for name in range(number, number + PER_MESSAGE, 2)
            for record in (decision(f"dec_{name:018}", due=4e9, job=f"job_{name // 40}"), outcome(f"dec_{name:018}"))
        ]
        made.append(json.dumps({"records": pairs}).encode())
    return made


def from_memory(folder: Path, stream: list[bytes]) -> float:
    """Seconds. Batches of 32 messages, as a listener under load gets them."""
    writer = Writer(folder / "log", KEY, Disk(), folder / "index.sqlite", CHECKPOINT_RECORDS)
    began = time.perf_counter()
    for start in range(0, len(stream), 32):
        batch = [
            Message.read(start + place + 1, 1.79e9, "penstock.audit.acme.policy", body)
            for place, body in enumerate(stream[start : start + 32])
        ]
        writer.append(batch)
    writer.publish()
    took = time.perf_counter() - began
    writer.close()
    return took


async def from_the_stream(folder: Path, stream: list[bytes]) -> float:
    """Seconds from the first delivery to the last signed leaf."""
    async with nats_server() as server:
        bus = await Bus.connect(BusConfig(url=server.url, principal="audit"))
        await bus.prepare()
        open_writer = partial(Writer, folder / "log", KEY, Disk(), folder / "index.sqlite", CHECKPOINT_RECORDS)
        notary = Notary(open_writer, Source(bus, 256), SystemClock(), Metrics("audit"), Log(level="error"))
        await notary.start()
        subject = AUDIT_BATCH.subject.at(tenant="acme", service="policy")
        for start in range(0, len(stream), 64):
            part = stream[start : start + 64]
            await asyncio.gather(*(bus.jetstream.store(subject, body, {}, "", 20.0) for body in part))
        began = time.perf_counter()
        listener = await bus.listen(AUDIT_RAW, AUDIT_SINK, notary.take)
        await eventually(lambda: _all_there(notary, len(stream) * PER_MESSAGE), within_s=600, every_s=0.005)
        await notary.publish()
        took = time.perf_counter() - began
        await listener.stop()
        await notary.close()
        await bus.close()
    return took


async def _all_there(notary: Notary, records: int) -> None:
    assert await notary.size() == records


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    stream = bodies(records)
    say = sys.stdout.write
    say(f"{records} records of {sum(map(len, stream)) // records} bytes, {PER_MESSAGE} in a message\n")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        for label in ("memory", "stream"):
            folder = Path(name) / label
            folder.mkdir()
            took = from_memory(folder, stream) if label == "memory" else asyncio.run(from_the_stream(folder, stream))
            say(f"ingest from {label}: {records / took:,.0f} records/s\n")
        began = time.perf_counter()
        found = verify(folder, str(KEY.verifying), now=0.0).verified
        took = time.perf_counter() - began
        say(f"verify: {found.records / took:,.0f} records/s, problems: {list(found.problems)}\n")


if __name__ == "__main__":
    main()
