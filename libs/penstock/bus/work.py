"""Work: a task at least once, by one worker at a time, tried again after a Failure, at last a dead letter."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Generic, TypeVar

from msgspec.structs import replace

from penstock.bus.append import Fenced, append
from penstock.bus.body import Bodies
from penstock.bus.call import time_left
from penstock.bus.codec import decode, encode
from penstock.bus.dead_letter import DeadLetters
from penstock.bus.headers import headers_meta, meta_headers
from penstock.bus.jetstream import MESSAGE_ID, JetStream
from penstock.bus.pull import Delivery, Pull
from penstock.bus.released import Released
from penstock.contracts.endpoint import SubjectMismatch, Work
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta

Body = TypeVar("Body")

_log = logging.getLogger("penstock.bus")


class Discard(Exception):
    """Raised by a handler: this task can never be done. It becomes a dead letter with `reason` at once."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Release(Exception):
    """Raised by a handler: not now, or not here. Given out again after `delay_s`; it does not count as an attempt."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"released for {delay_s:g} s")
        self.delay_s = delay_s


class Item(Generic[Body]):
    """One task in a worker's hands. `tokens`: what stands in the named places of its subject; a `{tenant}` there is
    also `meta.tenant`, whatever the sender wrote. `deliveries` counts every time it was given out. `message_id`: what
    whoever stored it called it, the same when it was stored again.
    """

    __slots__ = ("body", "deliveries", "message_id", "meta", "sequence", "subject", "time", "tokens")

    def __init__(self, delivery: Delivery, tokens: dict[str, str], meta: Meta, body: Body) -> None:
        self.body = body
        self.meta = meta
        self.tokens = tokens
        self.subject = delivery.subject
        self.message_id = delivery.headers.get(MESSAGE_ID, "")
        self.sequence = delivery.sequence
        self.deliveries = delivery.deliveries
        self.time = delivery.time


class Bad:
    """A task that cannot be read, as far as it can: enough to tell its sender why."""

    __slots__ = ("meta", "reason", "sequence", "subject", "tokens")

    def __init__(self, delivery: Delivery, tokens: dict[str, str], meta: Meta, reason: Failure) -> None:
        self.subject = delivery.subject
        self.sequence = delivery.sequence
        self.tokens = tokens
        self.meta = meta
        self.reason = reason


class Works:
    """The verbs of a Work."""

    def __init__(self, jetstream: JetStream, bodies: Bodies) -> None:
        self._jetstream = jetstream
        self._bodies = bodies

    async def assign(
        self, work: Work[Body], body: Body, meta: Meta, *, message_id: str = "", first: bool = False, **tokens: str
    ) -> bool:
        """Returns when the task is stored. The same `message_id` within the stream's window is stored once.

        With `first` it is stored only where nothing was ever stored on its subject; False says that something was.
        A `message_id` then says whose it is: an equal one counts as ours. Raises OVERLOADED when the queue is full.
        """
        subject = work.subject.at(**tokens)
        budget_s = time_left(meta, self._jetstream.limits.budget_s)
        data = encode(body)
        headers = meta_headers(meta)
        if not self._bodies.small(data):
            headers |= await self._bodies.check_in(data)
            data = b""
        id = message_id or new_id("msg")
        if not first:
            await self._jetstream.store(subject, data, headers, id, budget_s)
            return True
        stream = work.consumer.store.name
        try:
            await append(self._jetstream, stream, subject, data, headers, expected=0, event_id=id, budget_s=budget_s)
        except Fenced:
            return False
        return True

    async def work(
        self,
        work: Work[Body],
        handler: Callable[[Item[Body]], Awaitable[None]],
        *,
        slots: int,
        on_bad: Callable[[Bad], Awaitable[None]] | None = None,
    ) -> "Worker[Body]":
        """Hands tasks to `handler`, at most `slots` at once. While it runs the task stays ours.

        Return: done. Failure: again after a pause that grows (or after its `retry_after_s`), and after
        `attempts_max` a dead letter. Any other exception counts as Failure(INTERNAL). Discard, Release: see there.
        A task that cannot be read is a dead letter at once, and `on_bad` is told before.
        """
        worker = Worker(self._jetstream, self._bodies, work, handler, slots, on_bad)
        await worker.start()
        return worker


class Worker(Generic[Body]):
    """Made by `Works.work`. Stop it with `stop`."""

    def __init__(
        self,
        jetstream: JetStream,
        bodies: Bodies,
        work: Work[Body],
        handler: Callable[[Item[Body]], Awaitable[None]],
        slots: int,
        on_bad: Callable[[Bad], Awaitable[None]] | None,
    ) -> None:
        self._limits = jetstream.limits
        self._bodies = bodies
        self._work = work
        self._handler = handler
        self._slots = slots
        self._on_bad = on_bad
        self._dead = DeadLetters(jetstream, bodies)
        self._released = Released(jetstream, work.consumer)
        self._pull = Pull(jetstream, work.consumer, slots, self._delivered, again=self._again)
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._waiting: deque[Delivery] = deque()
        self._stopping = False

    @property
    def busy(self) -> int:
        """Tasks in hand now."""
        return self._pull.held

    async def start(self) -> None:
        """Begins to pull; the consumer need not be there yet."""
        await self._pull.start()

    async def stop(self, finish_s: float = 0.0) -> None:
        """Takes no more; gives running handlers `finish_s`, then cancels them and gives back at once what is held."""
        await self._pull.stop()
        while self._waiting:
            self._settle(self._give_back(self._waiting.popleft()))
        if self._running and finish_s:
            await asyncio.wait(self._running, timeout=finish_s)
        self._stopping = True
        for task in tuple(self._running):
            task.cancel()
        while self._running or self._settling:
            await asyncio.wait([*self._running, *self._settling])
        self._pull.close()

    # One task ---------------------------------------------------------------------------------------------------

    def _delivered(self, delivery: Delivery) -> None:
        if len(self._running) < self._slots:
            self._begin(delivery)
        else:
            self._waiting.append(delivery)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._ended)

    async def _run(self, delivery: Delivery) -> None:
        work = self._work
        if delivery.deliveries > work.attempts_max and await self._attempts(delivery) > work.attempts_max:
            # it was never given back: whoever took it died of it
            raise Discard(Failure(Code.INTERNAL, f"given out {delivery.deliveries} times and never finished"))
        item = await self._open(delivery)
        await self._handler(item)

    async def _open(self, delivery: Delivery) -> Item[Body]:
        """The typed task. Raises Discard for one that cannot be read."""
        tokens: dict[str, str] = {}
        meta = Meta()
        try:
            tokens = self._work.parse(delivery.subject)
            meta = headers_meta(delivery.headers)
            if "tenant" in tokens:
                meta = replace(meta, tenant=tokens["tenant"])
            body = decode(self._work.body, await self._bodies.of(delivery.message))
            return Item(delivery, tokens, meta, body)
        except SubjectMismatch as mismatch:
            reason = Failure(Code.INVALID, str(mismatch))
        except Failure as failure:
            if failure.code not in (Code.INVALID, Code.TOO_LARGE, Code.NOT_FOUND):
                raise
            reason = failure
        if self._on_bad is not None:
            await self._on_bad(Bad(delivery, tokens, meta, reason))
        raise Discard(reason)

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery = self._running.pop(task)
        if task.cancelled():
            stopped = Failure(Code.CANCELLED, "the handler was cancelled")
            self._settle(self._give_back(delivery) if self._stopping else self._after(delivery, stopped))
        elif (error := task.exception()) is not None:
            self._settle(self._after(delivery, error))
        else:
            self._pull.ack(delivery)
        if self._waiting and len(self._running) < self._slots:
            self._begin(self._waiting.popleft())

    async def _after(self, delivery: Delivery, error: BaseException) -> None:
        """Settles a task whose handler raised. When even that fails, the task comes again by itself."""
        match error:
            case Release():
                await self._released.add(delivery.sequence)
                self._pull.nak(delivery, error.delay_s)
            case Discard():
                await self._bury(delivery, error.reason)
            case Failure():
                await self._again_or_bury(delivery, error)
            case _:
                fields = {"consumer": self._work.consumer.name, "sequence": delivery.sequence}
                _log.error("a handler failed unexpectedly", exc_info=error, extra={"fields": fields})
                await self._again_or_bury(delivery, Failure(Code.INTERNAL, type(error).__name__))

    async def _again_or_bury(self, delivery: Delivery, failure: Failure) -> None:
        attempts = delivery.deliveries
        if attempts >= self._work.attempts_max:
            try:
                attempts = await self._attempts(delivery)
            except Failure as uncounted:
                # held on to, it would be kept as ours for ever
                fields = {"consumer": self._work.consumer.name, "sequence": delivery.sequence, "why": uncounted.detail}
                _log.warning("attempts cannot be counted", extra={"fields": fields})
                self._pull.nak(delivery, self._limits.retry_last_s)
                return
        if attempts >= self._work.attempts_max:
            await self._bury(delivery, failure)
            return
        pause_s = self._limits.retry_first_s * 2.0 ** (max(1, attempts) - 1)
        pause_s = min(max(pause_s, failure.retry_after_s), self._limits.retry_last_s)
        self._pull.nak(delivery, pause_s * random.uniform(0.8, 1.2))

    async def _bury(self, delivery: Delivery, reason: Failure) -> None:
        fields = {"consumer": self._work.consumer.name, "sequence": delivery.sequence, "why": str(reason)}
        try:
            await self._dead.put(self._work.consumer, delivery, reason, delivery.deliveries)
        except Failure as failure:
            _log.warning("a dead letter could not be written", extra={"fields": fields | {"write": failure.detail}})
            self._pull.nak(delivery, self._limits.retry_last_s)
            return
        _log.warning("a task became a dead letter", extra={"fields": fields})
        self._pull.term(delivery, str(reason.code))

    # Counting ---------------------------------------------------------------------------------------------------

    async def _attempts(self, delivery: Delivery) -> int:
        return delivery.deliveries - await self._released.count(delivery.sequence)

    def _again(self, delivery: Delivery) -> None:
        """It came again while we hold it, after an outage: that was no attempt."""
        self._settle(self._released.add(delivery.sequence))

    async def _give_back(self, delivery: Delivery) -> None:
        self._pull.nak(delivery)
        await self._released.add(delivery.sequence)

    def _settle(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
