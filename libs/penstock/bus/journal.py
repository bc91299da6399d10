"""Journal: an append-only log per key, one writer at a time, fenced by the expected last sequence."""

import asyncio
from contextlib import suppress
from typing import Generic, TypeVar

from penstock.bus.append import Fenced, append
from penstock.bus.codec import decode, encode
from penstock.bus.jetstream import JetStream, Record
from penstock.bus.stored import is_foreign
from penstock.contracts.endpoint import Journal
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import EVENT_ID

Body = TypeVar("Body")

__all__ = ["Fenced", "JournalWriter"]


class JournalWriter(Generic[Body]):
    """One writer of one journal. `sequence` is the last it knows (0: none); `events` what it loaded and appended."""

    def __init__(self, jetstream: JetStream, journal: Journal[Body], **tokens: str) -> None:
        self._jetstream = jetstream
        self._stream = journal.store.name
        self._kind = journal.body
        self.subject = journal.subject.at(**tokens)
        self.sequence = 0
        self.events: list[Body] = []
        self._lock = asyncio.Lock()
        self._unknown = False

    async def load(self) -> list[tuple[int, Body]]:
        """The whole journal, as its leader has it at this moment; later appends go after its end."""
        async with self._lock:
            last = await self._jetstream.last(self._stream, self.subject)
            records = await self._read_to(last.sequence) if last is not None else []
            # what has no id was not appended by a writer: it took a sequence, and says nothing
            loaded = [(r.sequence, self._decode(r)) for r in records if not is_foreign(r)]
            self.events = [event for _, event in loaded]
            self.sequence = records[-1].sequence if records else 0
            self._unknown = False
            return loaded

    async def append(self, event: Body, *, event_id: str | None = None) -> int:
        """Stores `event` after the last one that this writer knows; its sequence. Raises Fenced: somebody else wrote.

        When it is cancelled it first learns what became of the event, within the append's budget. After DEADLINE
        nobody knows, and every further append is refused until `load`.
        """
        data = encode(event)
        if len(data) > self._jetstream.limits.journal_event_max_bytes:
            raise Failure(Code.TOO_LARGE, f"a journal event of {len(data)} bytes; the larger part belongs into a blob")
        task = asyncio.ensure_future(self._append(event, data, event_id or new_id("evt")))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(Failure):
                await task
            raise

    async def _append(self, event: Body, data: bytes, event_id: str) -> int:
        async with self._lock:
            if self._unknown:
                raise Failure(Code.UNKNOWN_OUTCOME, f"the last append to {self.subject} is not resolved")
            self._unknown = True
            try:
                self.sequence = await append(
                    self._jetstream, self._stream, self.subject, data, {}, expected=self.sequence, event_id=event_id
                )
            except Failure as failure:
                self._unknown = failure.code is Code.DEADLINE
                raise
            self._unknown = False
            self.events.append(event)
            return self.sequence

    async def _read_to(self, last: int) -> list[Record]:
        """Everything up to `last`, waiting for a replica that has not got there yet."""
        patience = self._jetstream.patience(self._jetstream.limits.catch_up_s)
        records: list[Record] = []
        while True:
            after = records[-1].sequence if records else 0
            limit = self._jetstream.limits.page_max_messages
            page = await self._jetstream.read(self._stream, self.subject, after=after, limit=limit, up_to=last)
            records += page
            if records and records[-1].sequence == last:
                return records
            if not page:
                await patience.after(Failure(Code.UNAVAILABLE, f"{self.subject} is not on every replica yet"))

    def _decode(self, record: Record) -> Body:
        try:
            return decode(self._kind, record.data)
        except Failure as failure:
            where = f"event {record.sequence} ({record.headers.get(EVENT_ID, '')}) of {self.subject}"
            raise Failure(Code.INTERNAL, f"{where} cannot be read: {failure.detail}") from failure
