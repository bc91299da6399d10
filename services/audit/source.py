"""The audit stream, read by place: what the log lacks, and what it must agree with."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from penstock.bus import Bus, Stored
from penstock.contracts.endpoint import Event
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.stores import AUDIT_LOG
from services.audit.leaf import Message

AUDIT_RAW: Event[msgspec.Raw] = replace(AUDIT_BATCH, body=msgspec.Raw)  # type: ignore[arg-type,assignment]  # the same event, its body undecoded: a newer service's fields stay as they are
_UNREADABLE = frozenset({Code.INVALID, Code.TOO_LARGE, Code.NOT_FOUND})


def messages_of(batch: Sequence[Stored[msgspec.Raw]]) -> list[Message]:
    """Reads the records of what a listener or a reader got."""
    return [Message.read(each.sequence, each.time, each.subject, bytes(each.body)) for each in batch]


class Source:
    """Every message of the stream, readable or not: the log must hold them all."""

    def __init__(self, bus: Bus, page_max: int) -> None:
        self._bus = bus
        self._page_max = page_max

    async def after(self, sequence: int) -> list[Message]:
        """The messages that follow, oldest first, a page of them; [] at the end. Raises Failure."""
        try:
            return messages_of(await self._bus.read(AUDIT_RAW, after=sequence, limit=self._page_max))
        except Failure as failure:
            if failure.code not in _UNREADABLE:
                raise
        return await self._one_by_one(sequence)

    async def _one_by_one(self, sequence: int) -> list[Message]:
        """Up to and with the first that the bus cannot decode, which is taken as the bytes it has in the stream."""
        found: list[Message] = []
        while len(found) < self._page_max:
            try:
                page = messages_of(await self._bus.read(AUDIT_RAW, after=sequence, limit=1))
            except Failure as failure:
                if failure.code not in _UNREADABLE:
                    raise
                return found + await self._as_stored(sequence)
            if not page:
                break
            found += page
            sequence = page[-1].sequence
        return found

    async def _as_stored(self, sequence: int) -> list[Message]:
        records = await self._bus.jetstream.read(AUDIT_LOG.name, AUDIT_BATCH.subject.wildcard, after=sequence, limit=1)
        return [Message.read(each.sequence, each.time, each.subject, each.data) for each in records]
