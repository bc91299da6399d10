"""The collections held in memory for searching: filled from the store, kept fresh by version, the longest unused go."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from services.context.documents import Collection, Documents, Head
from services.context.index import Index, counted

_TOGETHER = 500
"""Passages read in one round trip, or one document that has more."""


class _Place:
    def __init__(self) -> None:
        self.index = Index()
        self.version = 0
        self.lock = asyncio.Lock()


class Shelf:
    """`memory_max_bytes` bounds all indexes together, but for the one in use."""

    def __init__(self, documents: Documents, memory_max_bytes: int) -> None:
        self._documents = documents
        self._memory_max_bytes = memory_max_bytes
        self._places: OrderedDict[Collection, _Place] = OrderedDict()

    @property
    def bytes(self) -> int:
        """An estimate of the memory that all indexes take."""
        return sum(place.index.bytes for place in self._places.values())

    @property
    def collections(self) -> list[Collection]:
        """What is held, the longest unused first."""
        return list(self._places)

    async def fresh(self, collection: Collection) -> Index:
        """The collection as it is now in the store. An empty index for one that never was, which takes no memory."""
        version = await self._documents.version(collection)
        if not version:
            self._places.pop(collection, None)
            return Index()
        place = self._places.setdefault(collection, _Place())
        self._places.move_to_end(collection)
        if place.version != version:
            async with place.lock:
                if place.version != version:
                    await self._refresh(collection, place)
            self._make_room()
        return place.index

    async def _refresh(self, collection: Collection, place: _Place) -> None:
        """Reads what changed. What changes meanwhile has a higher version and is read the next time."""
        version = await self._documents.version(collection)
        heads = await self._documents.heads(collection)
        here = place.index.revisions
        for id in here.keys() - heads.keys():
            place.index.remove(id)
        changed = {id: head for id, head in heads.items() if here.get(id) != head.revision}
        for batch in _batches(changed):
            for document in await self._documents.get(collection, batch):
                place.index.put(document, await asyncio.to_thread(counted, document))
        place.version = version

    def _make_room(self) -> None:
        while len(self._places) > 1 and self.bytes > self._memory_max_bytes:
            self._places.popitem(last=False)


def _batches(heads: Mapping[str, Head]) -> Iterator[list[str]]:
    batch: list[str] = []
    passages = 0
    for id, head in heads.items():
        if batch and passages + head.passages > _TOGETHER:
            yield batch
            batch, passages = [], 0
        batch.append(id)
        passages += head.passages
    if batch:
        yield batch
