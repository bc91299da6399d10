"""Blob: bodies too large for a message, in chunks on a stream of their own, for as long as one may be under way."""

import asyncio
import hashlib
import os

from penstock.bus.append import append
from penstock.bus.config import BusConfig
from penstock.bus.jetstream import JetStream, Record
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.stores import BLOB
from penstock.contracts.subjects import BLOB_CHUNK

TTL = "Nats-TTL"

_RANDOM_BYTES = 12
_DIGEST_HEX = 40


def blob_id(data: bytes) -> str:
    """24 hex digits of randomness, so that it cannot be guessed, and 40 of the SHA-256, so that it proves itself."""
    return os.urandom(_RANDOM_BYTES).hex() + hashlib.sha256(data).hexdigest()[:_DIGEST_HEX]


class BlobStore:
    """Puts and gets. A blob is never changed; it is gone when its time is over, or the stream's age."""

    def __init__(self, jetstream: JetStream, config: BusConfig) -> None:
        self._jetstream = jetstream
        self._max_bytes = config.body_max_bytes
        self._stream = BLOB.name

    async def put(self, data: bytes, *, ttl_s: int = 0) -> str:
        """Stores `data` whole, for `ttl_s` or (0) as long as the stream keeps anything; its id.

        Raises TOO_LARGE, OVERLOADED when the stream is full, and DEADLINE.
        """
        if len(data) > self._max_bytes:
            raise Failure(Code.TOO_LARGE, f"a body of {len(data)} bytes is above the limit of {self._max_bytes}")
        limits = self._jetstream.limits
        id = await asyncio.to_thread(blob_id, data) if len(data) > limits.page_max_bytes else blob_id(data)
        headers = {TTL: str(ttl_s)} if ttl_s else {}
        starts = iter(range(0, max(1, len(data)), limits.chunk_bytes))

        async def sender() -> None:
            for start in starts:
                chunk = data[start : start + limits.chunk_bytes]
                await self._put_chunk(id, start // limits.chunk_bytes, chunk, headers)

        senders = [asyncio.create_task(sender()) for _ in range(limits.chunks_in_flight)]
        try:
            await asyncio.gather(*senders)
        finally:
            for task in senders:
                task.cancel()
        return id

    async def _put_chunk(self, id: str, number: int, data: bytes, headers: dict[str, str]) -> None:
        subject = BLOB_CHUNK.at(id=id, n=str(number))
        await append(self._jetstream, self._stream, subject, data, headers, expected=0, event_id=f"{id[:48]}-{number}")

    async def get(self, id: str) -> bytes:
        """The bytes, checked against the id. Raises NOT_FOUND (never put, or its time is over) and TOO_LARGE."""
        if not is_token(id):
            raise Failure(Code.INVALID, "the id of a blob cannot be read")
        patience = self._jetstream.patience(self._jetstream.limits.catch_up_s)
        missing = Failure(Code.NOT_FOUND, "the body is gone: it was kept for a limited time")
        while True:
            data = await self._chunks(id)
            whole = data is not None and await self._proves(id, data)
            if data is not None and whole:
                return data
            # perhaps a replica that has not got there yet
            if data is None and await self._jetstream.last(self._stream, BLOB_CHUNK.at(id=id, n="0")) is None:
                raise missing
            try:
                await patience.after(Failure(Code.UNAVAILABLE))
            except Failure as failure:
                raise missing from failure

    async def _proves(self, id: str, data: bytes) -> bool:
        if len(data) > self._jetstream.limits.page_max_bytes:
            digest = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
        else:
            digest = hashlib.sha256(data).hexdigest()
        return id[2 * _RANDOM_BYTES :] == digest[:_DIGEST_HEX]

    async def _chunks(self, id: str) -> bytes | None:
        """What the stream has of it, in the order of the chunks' numbers; None when it has nothing."""
        filter = BLOB_CHUNK.within(id=id)
        found: dict[int, Record] = {}
        after = size = 0
        while True:
            page = await self._jetstream.read(self._stream, filter, after=after, limit=self._page_chunks())
            for record in page:
                number = BLOB_CHUNK.parse(record.subject)["n"]
                size += len(record.data)
                if number.isdecimal():
                    found[int(number)] = record
                after = record.sequence
            if size > self._max_bytes:
                raise Failure(Code.TOO_LARGE, f"the body is above the limit of {self._max_bytes} bytes")
            if len(page) < self._page_chunks():
                return b"".join(found[number].data for number in sorted(found)) if found else None

    def _page_chunks(self) -> int:
        limits = self._jetstream.limits
        return max(1, limits.page_max_bytes // limits.chunk_bytes)
