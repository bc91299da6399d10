"""Audit records on their way to the stream, in group commits: while one append is under way, what arrives gathers.

One lane per tenant, one append in flight per lane, so that a tenant's records keep their order. Nothing is dropped
while the process lives: an append that fails is made again under the same message id.
"""

import asyncio
import random
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from penstock.bus import Bus
from penstock.contracts.audit import DECISION, OUTCOME, Batch, DecisionRecord, OutcomeRecord, Record
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.ids import new_id, token
from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.retry import Backoff

BATCH_MAX_RECORDS = 256
BATCH_MAX_BYTES = 200 * 1024
RECORD_MAX_BYTES = 64 * 1024
ENVELOPE_BYTES = 320
"""What the envelope adds to a record's data, at most."""
APPENDS_MAX = 32
"""Appends under way at once, over all tenants."""
BACKOFF = Backoff(first_s=0.1, most_s=2.0)
LOST_IDS_LOGGED_MAX = 200


def envelope(data: DecisionRecord | OutcomeRecord, *, service: str, tenant: str, now: float) -> Record:
    """The CloudEvents envelope. Its id is derived, so that the same record made twice has one id: a decision's own
    id, or `<attempt>-outcome`. Raises Failure(TOO_LARGE)."""
    raw = msgspec.json.encode(data)
    if len(raw) > RECORD_MAX_BYTES:
        raise Failure(Code.TOO_LARGE, f"an audit record of {len(raw)} bytes is above the limit")
    is_decision = isinstance(data, DecisionRecord)
    return Record(
        id=data.decision if is_decision else f"{data.attempt}-outcome",
        source=service,
        type=DECISION if is_decision else OUTCOME,
        time=rfc3339(now),
        tenant=tenant,
        data=msgspec.Raw(raw),
        subject=data.attempt,
    )


def rfc3339(now: float) -> str:
    """Unix seconds as UTC with milliseconds: 2026-11-24T06:00:00.000Z."""
    millis = int(now * 1000)
    return f"{_second(millis // 1000)}.{millis % 1000:03d}Z"


@lru_cache(maxsize=16)
def _second(now: int) -> str:
    """Formatting a time costs more than all the rest of a record; most records share their second with others."""
    return datetime.fromtimestamp(now, UTC).isoformat()[:-6]


class _Waiting:
    """A record that the stream does not have yet; `stored` is for whoever waits."""

    __slots__ = ("arrived", "record", "size", "stored")

    def __init__(self, record: Record, arrived: float, stored: asyncio.Future[int] | None) -> None:
        self.record = record
        self.size = len(memoryview(record.data)) + ENVELOPE_BYTES
        self.arrived = arrived
        self.stored = stored


class Place:
    """Room for one record, promised beforehand: `put` then neither waits nor fails. Give it back when not used."""

    __slots__ = ("_recorder", "_used")

    def __init__(self, recorder: "Recorder") -> None:
        self._recorder = recorder
        self._used = False

    def put(self, record: Record, tenant: str, stored: asyncio.Future[int] | None = None) -> None:
        """The record goes out behind the caller's back; `stored` gets the sequence, or the failure of a first try.

        Raises InvalidToken for a tenant that may not stand in a subject; the place is then still to be given back.
        """
        if not self._used:
            self._recorder._push(record, tenant, stored)
            self._used = True

    def give_back(self) -> None:
        """Harmless after `put`."""
        if not self._used:
            self._used = True
            self._recorder._free(1)


class Recorder:
    """Writes this service's audit records. Made and closed by the kit."""

    def __init__(
        self,
        bus: Bus,
        service: str,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        *,
        queue_max: int = 10_000,
        wait_s: float = 2.0,
        append_s: float = 8.0,
    ) -> None:
        self._bus = bus
        self._service = service
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._queue_max = queue_max
        self._wait_s = wait_s
        self._append_s = append_s
        self._taken = 0
        self._seekers: deque[asyncio.Future[None]] = deque()
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._appends = asyncio.Semaphore(APPENDS_MAX)
        self._failing_since: float | None = None
        metrics.recorder_queue.watch(lambda: float(self._taken))

    @property
    def failing_s(self) -> float:
        """For how long appends have failed; 0 while they do not."""
        return 0.0 if self._failing_since is None else self._clock.monotonic() - self._failing_since

    @property
    def waiting(self) -> int:
        """Records not stored yet, and places promised for records to come."""
        return self._taken

    def envelope(self, data: DecisionRecord | OutcomeRecord, tenant: str) -> Record:
        """The record as this service writes it now. Raises Failure(TOO_LARGE)."""
        return envelope(data, service=self._service, tenant=tenant, now=self._clock.now())

    async def record(self, record: Record, tenant: str) -> int:
        """Returns the stream's sequence when the stream has it.

        Raises Failure(UNAVAILABLE) when it could not be stored in time: it is still written as soon as it can be.
        """
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        token("tenant", tenant)
        (await self.place()).put(record, tenant, stored)
        return await stored

    async def enqueue(self, record: Record, tenant: str) -> None:
        """Returns as soon as there is room; written later. Raises Failure(UNAVAILABLE) when there was none in time."""
        token("tenant", tenant)
        (await self.place()).put(record, tenant)

    async def place(self) -> Place:
        """Room in the queue, waited for at most `wait_s`. Raises Failure(UNAVAILABLE)."""
        if self._taken < self._queue_max and not self._seekers:
            self._taken += 1
            return Place(self)
        seeker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seekers.append(seeker)
        handed_over = False
        try:
            async with asyncio.timeout(self._wait_s):
                await seeker
            handed_over = True
        except TimeoutError:
            self._metrics.fail_closed.add("audit")
            raise Failure(
                Code.UNAVAILABLE,
                "the audit log cannot be written: nothing is done until it can",
                retry_after_s=1.0,
            ) from None
        finally:
            if seeker in self._seekers:
                self._seekers.remove(seeker)
            elif not handed_over and seeker.done() and not seeker.cancelled():
                self._free(1)
        return Place(self)

    async def close(self, timeout_s: float) -> int:
        """Waits for what is on its way; returns how many records are lost (counted, and their ids logged)."""
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(timeout_s, 0.0))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        lost = [waiting.record.id for lane in self._lanes.values() for waiting in lane]
        if lost:
            self._metrics.records_lost.add(by=len(lost))
            self._log.error("audit records lost", count=len(lost), ids=lost[:LOST_IDS_LOGGED_MAX])
        return len(lost)

    # Lanes --------------------------------------------------------------------------------------------------

    def _push(self, record: Record, tenant: str, stored: asyncio.Future[int] | None) -> None:
        lane = self._lanes.setdefault(token("tenant", tenant), deque())
        lane.append(_Waiting(record, self._clock.monotonic(), stored))
        if tenant not in self._tasks:
            self._tasks[tenant] = asyncio.create_task(self._carry(tenant, lane))

    def _free(self, places: int) -> None:
        while places and self._seekers:
            seeker = self._seekers.popleft()
            if not seeker.done():
                seeker.set_result(None)
                places -= 1
        self._taken -= places

    async def _carry(self, tenant: str, lane: deque[_Waiting]) -> None:
        try:
            while lane:
                group = _group(lane)
                sequence = await self._append(tenant, group)
                now = self._clock.monotonic()
                self._metrics.recorder_seconds.see(now - group[0].arrived)
                for waiting in group:
                    lane.popleft()
                    if waiting.stored is not None and not waiting.stored.done():
                        waiting.stored.set_result(sequence)
                self._free(len(group))
        finally:
            del self._tasks[tenant]
            if not lane:
                del self._lanes[tenant]

    async def _append(self, tenant: str, group: list[_Waiting]) -> int:
        message_id = new_id("bat")
        batch = Batch([waiting.record for waiting in group])
        tries = 0
        while True:
            try:
                async with self._appends:
                    # short of policy's own deadline, so that whoever waits for the record can still be answered
                    soon = Meta(deadline=self._clock.now() + self._append_s)
                    sequence = await self._bus.emit(
                        AUDIT_BATCH, batch, soon, message_id=message_id, tenant=tenant, service=self._service
                    )
            except Failure as failure:
                tries += 1
                self._failed(failure, group, tries)
            else:
                self._failing_since = None
                self._metrics.recorder_groups.add()
                self._metrics.recorder_group_size.see(len(group))
                return sequence
            await self._clock.sleep(BACKOFF.delay_s(tries, random.random()))

    def _failed(self, failure: Failure, group: list[_Waiting], tries: int) -> None:
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
        self._metrics.recorder_failures.add()
        self._log.warning("audit append failed", why=str(failure), records=len(group), tries=tries)
        for waiting in group:
            if waiting.stored is not None and not waiting.stored.done():
                waiting.stored.set_exception(
                    Failure(Code.UNAVAILABLE, "the audit log cannot be written", retry_after_s=1.0)
                )


def _group(lane: deque[_Waiting]) -> list[_Waiting]:
    """The oldest records, as many as one append may carry; they stay in the lane until the stream has them."""
    group: list[_Waiting] = []
    size = 0
    for waiting in lane:
        size += waiting.size
        if group and (size > BATCH_MAX_BYTES or len(group) >= BATCH_MAX_RECORDS):
            break
        group.append(waiting)
    return group
