"""Event: something that happened, kept for a while; at least once, any number of listeners."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from penstock.bus.body import Bodies
from penstock.bus.call import time_left
from penstock.bus.codec import encode
from penstock.bus.dead_letter import DeadLetters
from penstock.bus.following import pages
from penstock.bus.headers import meta_headers
from penstock.bus.jetstream import JetStream, Record
from penstock.bus.listen import Listener
from penstock.bus.stored import Stored, is_foreign, open_record
from penstock.contracts.endpoint import Consumer, Event
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta

Body = TypeVar("Body")

_log = logging.getLogger("penstock.bus")

__all__ = ["Events", "Listener", "Stored"]


class Events:
    """The verbs of an Event."""

    def __init__(self, jetstream: JetStream, bodies: Bodies) -> None:
        self._jetstream = jetstream
        self._bodies = bodies

    async def emit(self, event: Event[Body], body: Body, meta: Meta, *, message_id: str = "", **tokens: str) -> int:
        """The sequence under which it is stored. Raises DEADLINE, UNAVAILABLE, OVERLOADED (the stream is full)."""
        subject = event.subject.at(**tokens)
        budget_s = time_left(meta, self._jetstream.limits.budget_s)
        data = encode(body)
        headers = meta_headers(meta)
        if not self._bodies.small(data):
            headers |= await self._bodies.check_in(data)
            data = b""
        acknowledged = await self._jetstream.store(subject, data, headers, message_id or new_id("evt"), budget_s)
        return acknowledged.seq

    def emit_live(self, event: Event[Body], body: Body, **tokens: str) -> None:
        """Publishes and does not wait: lost while the broker is away. Raises UNAVAILABLE then, and TOO_LARGE."""
        self._jetstream.connection.publish(event.subject.at(**tokens), encode(body))

    async def read(self, event: Event[Body], *, after: int = 0, limit: int = 1000, **tokens: str) -> list[Stored[Body]]:
        """What is stored after sequence `after`, oldest first; tokens that are not named match anything."""
        records = await self._jetstream.read(event.store.name, event.subject.within(**tokens), after=after, limit=limit)
        opened = [await self._open(event, record) for record in records]
        return [stored for stored in opened if stored is not None]

    async def _open(self, event: Event[Body], record: Record) -> Stored[Body] | None:
        """None for what cannot be read and nobody emitted: it must not hold up those who read."""
        try:
            return await open_record(event.body, record, self._bodies)
        except Failure as failure:
            if failure.code is not Code.INVALID or not is_foreign(record):
                raise
            fields = {"subject": record.subject, "sequence": record.sequence}
            _log.warning("what nobody emitted was passed over", extra={"fields": fields})
            return None

    async def follow(self, event: Event[Body], *, after: int = 0, **tokens: str) -> AsyncGenerator[Stored[Body], None]:
        """What is stored after `after`, then what comes: in order, each once, across reconnects. Never ends by itself.

        A live subscription only wakes it; what it yields is read from the stream by sequence. It waits for a broker
        that is away as long as a read is tried (`budget_s`), then raises Failure(UNAVAILABLE). Close it (`aclosing`)
        when done.
        """
        filter = event.subject.within(**tokens)
        async with aclosing(pages(self._jetstream, event.store.name, filter, after)) as following:
            async for records in following:
                for record in records:
                    stored = await self._open(event, record)
                    if stored is not None:
                        yield stored

    async def listen(
        self,
        event: Event[Body],
        consumer: Consumer,
        handler: Callable[[list[Stored[Body]]], Awaitable[None]],
        *,
        batch_max: int = 256,
    ) -> Listener[Body]:
        """A durable consumer, in order; a batch is acknowledged after the handler returned for it."""
        dead = DeadLetters(self._jetstream, self._bodies)
        listener = Listener(self._jetstream, self._bodies, dead, event, consumer, handler, batch_max)
        await listener.start()
        return listener
