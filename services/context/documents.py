"""Documents in the store, by tenant and collection: passages, vectors, and a number that grows with each change."""

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np

from penstock.contracts.errors import Code, Failure
from penstock.kit.store import Script, Store
from services.context.index import IndexedDocument
from services.context.split import Piece

_PUT = Script("""
local old = redis.call('HGET', KEYS[1], ARGV[1])
local old_passages = old and cjson.decode(old).passages or 0
local total = tonumber(redis.call('HGET', KEYS[3], 'passages') or '0') - old_passages + tonumber(ARGV[4])
if total > tonumber(ARGV[5]) then return 'passages' end
if not old and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return 'documents' end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], 'passages', total)
redis.call('HINCRBY', KEYS[3], 'version', 1)
return 'ok'
""")

_FORGET = Script("""
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('HINCRBY', KEYS[3], 'passages', -cjson.decode(old).passages)
redis.call('HINCRBY', KEYS[3], 'version', 1)
return 1
""")


class Head(msgspec.Struct, frozen=True):
    """What is known of a document without reading it. `digest` stands for its text and how it was split; `model` made
    its vectors, "" when it has none."""

    source: str
    digest: str
    revision: str
    passages: int
    model: str = ""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    revision: str
    source: str
    pieces: list[tuple[str, str]]
    model: str
    dimensions: int
    vectors: bytes


_heads = msgspec.json.Decoder(Head)
_bodies = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Collection:
    """Both names are valid subject tokens, so that neither can reach into another's keys."""

    tenant: str
    name: str

    @property
    def heads(self) -> str:
        return f"penstock:context:{self.tenant}:{self.name}:heads"

    @property
    def counts(self) -> str:
        """A hash of `version` and `passages`; it outlives the documents, so that a version never comes back."""
        return f"penstock:context:{self.tenant}:{self.name}:counts"

    def body(self, document: str) -> str:
        return f"penstock:context:{self.tenant}:{self.name}:document:{document}"


def document_id(source: str) -> str:
    """The same source is the same document."""
    return f"doc_{hashlib.sha256(source.encode()).hexdigest()[:32]}"


class Documents:
    """All methods raise Failure(UNAVAILABLE) when the store cannot be reached."""

    def __init__(self, store: Store, *, documents_max: int, passages_max: int) -> None:
        self._store = store
        self._documents_max = documents_max
        self._passages_max = passages_max

    async def version(self, collection: Collection) -> int:
        """Grows with every change; 0 for a collection that never was."""
        found = await self._store.do("HGET", collection.counts, "version")
        return int(found) if isinstance(found, bytes) else 0

    async def head(self, collection: Collection, document: str) -> Head | None:
        found = await self._store.do("HGET", collection.heads, document)
        return _heads.decode(found) if isinstance(found, bytes) else None

    async def heads(self, collection: Collection) -> dict[str, Head]:
        """Every document of the collection."""
        found = await self._store.do("HGETALL", collection.heads)
        pairs = found.items() if isinstance(found, dict) else ()
        return {id.decode(): _heads.decode(head) for id, head in pairs}

    async def put(self, collection: Collection, document: IndexedDocument, digest: str) -> None:
        """Replaces the document whole. Raises Failure(TOO_LARGE) when the collection would grow beyond its limits."""
        vectors = document.vectors
        body = _Body(
            document.revision,
            document.source,
            [(piece.title, piece.text) for piece in document.pieces],
            document.model,
            0 if vectors is None else vectors.shape[1],
            b"" if vectors is None else vectors.astype("<f4").tobytes(),
        )
        head = Head(document.source, digest, document.revision, len(document.pieces), document.model)
        answer = await self._store.run(
            _PUT,
            [collection.heads, collection.body(document.id), collection.counts],
            [
                document.id,
                msgspec.json.encode(head),
                msgspec.msgpack.encode(body),
                len(document.pieces),
                self._passages_max,
                self._documents_max,
            ],
        )
        if answer == b"passages":
            raise Failure(Code.TOO_LARGE, f"a collection has at most {self._passages_max} passages")
        if answer == b"documents":
            raise Failure(Code.TOO_LARGE, f"a collection has at most {self._documents_max} documents")

    async def get(self, collection: Collection, documents: list[str]) -> list[IndexedDocument]:
        """Those that are there, in one round trip."""
        if not documents:
            return []
        found = await self._store.do("MGET", *(collection.body(document) for document in documents))
        bodies = found if isinstance(found, list) else []
        return [_document(id, body) for id, body in zip(documents, bodies, strict=True) if isinstance(body, bytes)]

    async def forget(self, collection: Collection, document: str) -> bool:
        """Whether it was there."""
        keys = [collection.heads, collection.body(document), collection.counts]
        return await self._store.run(_FORGET, keys, [document]) == 1


def _document(id: str, encoded: bytes) -> IndexedDocument:
    body = _bodies.decode(encoded)
    vectors = np.frombuffer(body.vectors, dtype="<f4").reshape(-1, body.dimensions) if body.dimensions else None
    pieces = [Piece(title, text) for title, text in body.pieces]
    return IndexedDocument(id, body.source, body.revision, pieces, body.model, vectors)
