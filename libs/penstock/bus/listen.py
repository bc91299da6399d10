"""Listening: a durable consumer read in order, batch by batch, each acknowledged after its handler returned."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from penstock.bus.body import Bodies
from penstock.bus.dead_letter import DeadLetters
from penstock.bus.jetstream import JetStream, Record
from penstock.bus.pull import Delivery, Pull
from penstock.bus.stored import Stored, open_record
from penstock.contracts.endpoint import Consumer, Event
from penstock.contracts.errors import Code, Failure

Body = TypeVar("Body")

_log = logging.getLogger("penstock.bus")


class _Position(msgspec.Struct, frozen=True):
    consumer_seq: int = 0
    stream_seq: int = 0


class _ConsumerState(msgspec.Struct, frozen=True):
    delivered: _Position
    ack_floor: _Position


class Listener(Generic[Body]):
    """Stop it with `stop`. In order, as long as one process listens on the consumer; several share the work, and after
    a lost connection may both have the same event.

    What was delivered to an earlier process, or got lost with a connection, would come again only when its time is
    out, after younger messages. It is read from the stream instead, and acknowledged when it comes again.
    A handler that raises gets the same batch again, with growing pauses, for as long as it takes: nothing is skipped
    but what cannot be decoded, which goes to the dead letters.
    """

    def __init__(
        self,
        jetstream: JetStream,
        bodies: Bodies,
        dead: DeadLetters,
        event: Event[Body],
        consumer: Consumer,
        handler: Callable[[list[Stored[Body]]], Awaitable[None]],
        batch_max: int,
    ) -> None:
        self._jetstream = jetstream
        self._bodies = bodies
        self._dead = dead
        self._event = event
        self._consumer = consumer
        self._handler = handler
        self._batch_max = batch_max
        slots = min(2 * batch_max, consumer.held_max)
        self._pull = Pull(jetstream, consumer, slots, self._delivered, interrupted=self._interrupted)
        self._waiting: deque[Record] = deque()
        # read from the stream, by sequence: not handled yet, with the delivery if it came meanwhile; handled
        self._ahead: dict[int, Delivery | None] = {}
        self._handled: set[int] = set()
        self._tail = 0
        self._lost_after: int | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Handles first what an earlier process left unacknowledged."""
        state = await self._state()
        self._tail = state.ack_floor.stream_seq
        await self._catch_up(self._tail, state.delivered.stream_seq)
        await self._pull.start()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Takes no more. A batch that is being handled is cancelled and comes again, here or elsewhere."""
        await self._pull.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._pull.give_back()
        self._pull.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Only `stop` ends a listener; anything else must be seen, since nothing is handled from now on."""
        if not task.cancelled():
            fields = {"consumer": self._consumer.name}
            _log.critical("a listener ended by itself", exc_info=task.exception(), extra={"fields": fields})

    def _delivered(self, delivery: Delivery) -> None:
        if delivery.sequence in self._ahead:
            self._ahead[delivery.sequence] = delivery
            return
        if delivery.sequence in self._handled:
            self._handled.discard(delivery.sequence)
            self._pull.ack(delivery)
            return
        self._waiting.append(delivery)
        self._tail = max(self._tail, delivery.sequence)
        self._wake.set()

    def _interrupted(self) -> None:
        if self._lost_after is None:
            self._lost_after = self._tail
        self._wake.set()

    async def _state(self) -> _ConsumerState:
        patience = self._jetstream.patience()
        verb = f"CONSUMER.INFO.{self._consumer.store.name}.{self._consumer.name}"
        while True:
            try:
                return await self._jetstream.ask(verb, {}, _ConsumerState, f"consumer {self._consumer.name}")
            except Failure as failure:
                await patience.after(failure)

    async def _catch_up(self, after: int, delivered: int) -> None:
        """Reads what was delivered to somebody after `after`, up to `delivered`, and did not come here."""
        if delivered <= after:
            return
        records = await self._read(after, delivered)
        here = {record.sequence for record in self._waiting}
        missing = [record for record in records if record.sequence not in here]
        self._ahead |= {record.sequence: None for record in missing}
        self._waiting = deque(sorted([*self._waiting, *missing], key=lambda record: record.sequence))
        self._tail = max(self._tail, delivered)
        self._wake.set()

    async def _read(self, after: int, up_to: int) -> list[Record]:
        """All of them: one that is not acknowledged holds the floor back, and what was lost may lie far above it."""
        consumer = self._consumer
        records: list[Record] = []
        while after < up_to:
            page = await self._jetstream.read(
                consumer.store.name, consumer.filter, after=after, limit=consumer.held_max, up_to=up_to
            )
            records += page
            if len(page) < consumer.held_max:
                break
            after = page[-1].sequence
        return records

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            if self._consumer.gather_s and len(self._waiting) < self._batch_max:
                await asyncio.sleep(self._consumer.gather_s)
            if self._lost_after is not None:
                await self._find_lost(self._lost_after)
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            if not self._waiting and self._lost_after is None:
                self._wake.clear()
            if batch:
                await self._handle(batch)

    async def _find_lost(self, after: int) -> None:
        self._lost_after = None
        try:
            state = await self._state()
            self._handled = {sequence for sequence in self._handled if sequence > state.ack_floor.stream_seq}
            await self._catch_up(after, state.delivered.stream_seq)
        except Failure as failure:
            _log.warning("a listener cannot look for what it lost", extra={"fields": {"why": failure.detail}})
            self._lost_after = after

    async def _handle(self, batch: list[Record]) -> None:
        opened = [stored for record in batch if (stored := await self._open(record)) is not None]
        if opened:
            await self._until_handled(opened)
        for record in batch:
            self._acknowledge(record)

    def _acknowledge(self, record: Record) -> None:
        delivery = record if isinstance(record, Delivery) else self._ahead.pop(record.sequence, None)
        if delivery is not None:
            self._pull.ack(delivery)
        else:
            self._handled.add(record.sequence)

    async def _open(self, record: Record) -> Stored[Body] | None:
        """The typed event, or None for one that went to the dead letters; waits as long as either is out of reach."""
        pause_s = self._jetstream.limits.retry_first_s
        while True:
            try:
                return await self._open_or_bury(record)
            except Failure as failure:
                fields = {"consumer": self._consumer.name, "sequence": record.sequence, "why": failure.detail}
                _log.warning("an event is out of reach", extra={"fields": fields})
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._jetstream.limits.retry_last_s)

    async def _open_or_bury(self, record: Record) -> Stored[Body] | None:
        try:
            return await open_record(self._event.body, record, self._bodies)
        except Failure as failure:
            if failure.code not in (Code.INVALID, Code.TOO_LARGE, Code.NOT_FOUND):
                raise
            fields = {"consumer": self._consumer.name, "sequence": record.sequence, "why": failure.detail}
            _log.error("an event cannot be read", extra={"fields": fields})
            await self._dead.put(self._consumer, record, failure)
            return None

    async def _until_handled(self, batch: list[Stored[Body]]) -> None:
        limits = self._jetstream.limits
        pause_s = limits.retry_first_s
        while True:
            task = asyncio.ensure_future(self._handler(batch))
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                # what it uses is closed next: it must have let go before
                task.cancel()
                await asyncio.wait([task])
                raise
            error = None if task.cancelled() else task.exception()
            if error is None and not task.cancelled():
                return
            fields = {"consumer": self._consumer.name, "sequence": batch[0].sequence, "pause_s": pause_s}
            _log.error("a batch could not be handled", exc_info=error, extra={"fields": fields})
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, limits.retry_last_s)
