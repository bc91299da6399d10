"""Bucket: the latest value per key, with compare-and-set. On the wire it is a NATS key-value bucket."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

from penstock.bus.append import Fenced, append
from penstock.bus.codec import decode, encode
from penstock.bus.following import pages
from penstock.bus.jetstream import JetStream, Record
from penstock.bus.stored import is_foreign
from penstock.contracts.endpoint import Bucket
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id, token

Body = TypeVar("Body")

OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"
_DELETED = {OPERATION: "DEL"}
_PAGE = 1000


class Entry(Generic[Body]):
    """A key's value. `revision` grows with every write to the bucket; give it to `update`."""

    __slots__ = ("key", "revision", "time", "value")

    def __init__(self, key: str, value: Body, revision: int, time: float) -> None:
        self.key = key
        self.value = value
        self.revision = revision
        self.time = time

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, {self.value!r}, revision={self.revision})"


class BucketHandle(Generic[Body]):
    """One bucket. A key is one or more tokens with dots between. A value lives `ttl_s` of the bucket from its last
    write, whichever method wrote it; that it is gone is seen up to a second later.

    Every write is tried for the whole budget with one id, and raises DEADLINE, UNAVAILABLE or OVERLOADED after it.
    """

    def __init__(self, jetstream: JetStream, bucket: Bucket[Body]) -> None:
        self._jetstream = jetstream
        self._stream = bucket.store.name
        self._kind = bucket.body
        self._prefix = f"$KV.{bucket.name}."

    async def get(self, key: str, *, fresh: bool = False) -> Entry[Body] | None:
        """The value, or None. From any replica, which is right before an `update` (a stale revision is refused);
        `fresh` asks the leader, which is right where it must not be missed that something is there.
        """
        record = await self._record(key, fresh)
        return None if record is None or self._absent(record) else self._entry(record)

    async def put(self, key: str, value: Body) -> int:
        """Writes whatever was there before; the new revision."""
        acknowledged = await self._jetstream.store(self._subject(key), encode(value), {}, new_id("put"))
        return acknowledged.seq

    async def create(self, key: str, value: Body) -> int:
        """Writes only where nothing is; Failure(CONFLICT) where something is."""
        try:
            return await self._write(key, encode(value), 0)
        except Fenced:
            record = await self._record(key, fresh=True)
            if record is not None and not self._absent(record):
                raise
            return await self._write(key, encode(value), record.sequence if record is not None else 0)

    async def update(self, key: str, value: Body, revision: int) -> int:
        """Writes only over this revision; Failure(CONFLICT) when it was written or went away since."""
        return await self._write(key, encode(value), revision)

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Harmless when nothing is there; with a revision only that one, else Failure(CONFLICT)."""
        if revision is None:
            await self._jetstream.store(self._subject(key), b"", _DELETED, new_id("del"))
        else:
            await self._write(key, b"", revision, _DELETED)

    async def keys(self, prefix: str = "") -> list[str]:
        """Every key, or those below the tokens of `prefix`, the oldest write first."""
        return [record.subject.removeprefix(self._prefix) for record in await self._all(prefix)]

    async def entries(self, prefix: str = "") -> list[Entry[Body]]:
        """As `keys`, with the values: one batched read, from any replica."""
        return [self._entry(record) for record in await self._all(prefix)]

    async def page(self, pattern: str, *, after: int = 0, limit: int = _PAGE) -> list[Entry[Body]]:
        """The values whose keys have this form (`*` is any one token), the oldest write first, from those written after
        the revision `after`."""
        subject = self._prefix + ".".join(
            part if part == "*" else token("bucket key", part) for part in pattern.split(".")
        )
        records = await self._jetstream.read(self._stream, subject, after=after, limit=limit)
        return [self._entry(record) for record in records if not self._absent(record)]

    async def watch(self, *, poll_s: float = 0.0) -> AsyncGenerator[dict[str, Entry[Body] | None], None]:
        """Every key with its value, then what changes (None: it was deleted), within moments; never ends by itself.

        An empty dict says that nothing changed; one comes at least every `poll_s`. What the bucket's `ttl_s` takes away
        is not told. Raises Failure(UNAVAILABLE) when the broker is away for the whole budget. Close it (`aclosing`).
        """
        async with aclosing(pages(self._jetstream, self._stream, f"{self._prefix}>", poll_s=poll_s)) as following:
            async for records in following:
                changed: dict[str, Entry[Body] | None] = {}
                for record in records:
                    absent = self._absent(record)
                    changed[record.subject.removeprefix(self._prefix)] = None if absent else self._entry(record)
                yield changed

    async def _all(self, prefix: str) -> list[Record]:
        filter = f"{self._subject(prefix)}.>" if prefix else f"{self._prefix}>"
        found: dict[str, Record] = {}
        after = 0
        while True:
            page = await self._jetstream.read(self._stream, filter, after=after, limit=_PAGE)
            for record in page:
                # a key that is written while we read is seen twice; the later one is its value
                found.pop(record.subject, None)
                found[record.subject] = record
            if len(page) < _PAGE:
                return [record for record in found.values() if not self._absent(record)]
            after = page[-1].sequence

    def _subject(self, key: str) -> str:
        for part in key.split("."):
            token("bucket key", part)
        return self._prefix + key

    async def _record(self, key: str, fresh: bool) -> Record | None:
        subject = self._subject(key)
        if fresh:
            return await self._jetstream.last(self._stream, subject)
        return await self._jetstream.latest(self._stream, subject)

    async def _write(self, key: str, data: bytes, expected: int, headers: dict[str, str] | None = None) -> int:
        return await append(
            self._jetstream,
            self._stream,
            self._subject(key),
            data,
            headers or {},
            expected=expected,
            event_id=new_id("set"),
        )

    def _absent(self, record: Record) -> bool:
        """Deleted, or nothing that anybody could have put there: neither ours nor readable."""
        if record.headers.get(OPERATION) in ("DEL", "PURGE") or _MARKER in record.headers:
            return True
        if not is_foreign(record):
            return False
        try:
            decode(self._kind, record.data)
        except Failure:
            return True
        return False

    def _entry(self, record: Record) -> Entry[Body]:
        key = record.subject.removeprefix(self._prefix)
        try:
            value = decode(self._kind, record.data)
        except Failure as failure:
            raise Failure(Code.INTERNAL, f"{self._stream} holds an unreadable value: {failure.detail}") from failure
        return Entry(key, value, record.sequence, record.time)
