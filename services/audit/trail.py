"""Answers who did what in one job or one request: finds the records by the index, reads them from the log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from penstock.contracts.audit import Entry, Record, Trail
from services.audit.folder import Folder
from services.audit.index import Index
from services.audit.leaf import read_leaf
from services.audit.merkle import leaf_hash

Unsigned = Callable[[Sequence[int]], Awaitable[dict[int, bytes]]]


class Trails:
    """Reads beside the writer, in threads of its own."""

    def __init__(self, folder: Path, index: Path, unsigned: Unsigned, *, entries_max: int, bytes_max: int) -> None:
        self._folder = Folder.find(folder)
        self._index_path = index
        self._unsigned = unsigned
        self._entries_max = entries_max
        self._bytes_max = bytes_max

    async def of(self, tenant: str, job: str, request: str, limit: int, now: float) -> Trail:
        """This tenant's records alone."""
        limit = min(limit, self._entries_max)
        places, orphans = await asyncio.to_thread(self._search, tenant, job, request, limit + 1, now)
        unsigned = await self._unsigned(places[:limit])
        entries = await asyncio.to_thread(self._read, places[:limit], unsigned)
        return Trail(entries, tuple(orphans), truncated=len(entries) < len(places))

    def _search(self, tenant: str, job: str, request: str, limit: int, now: float) -> tuple[list[int], list[str]]:
        index = Index(self._index_path, read_only=True)
        try:
            places = index.find(tenant, job, request, limit)
            return places, index.overdue_of(tenant, places, now)
        finally:
            index.close()

    def _read(self, places: Sequence[int], unsigned: dict[int, bytes]) -> list[Entry]:
        found: list[Entry] = []
        size = 0
        for place in places:
            data = unsigned.get(place) or self._published(place)
            leaf = read_leaf(data)
            record = self._folder.outside(leaf.record_sha256) if leaf.record_sha256 else bytes(leaf.record)
            size += len(record or b"")
            if size > self._bytes_max and found:
                break
            if record is not None:
                entry = msgspec.json.decode(record, type=Record)
                found.append(Entry(place, leaf.sequence, leaf_hash(data).hex(), entry))
        return found

    def _published(self, place: int) -> bytes:
        """From the bundle that holds it: of this width or, when the log has grown on, a wider one."""
        return self._folder.entry(place, place + 1)
