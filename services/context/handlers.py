"""What the context service answers: documents in and out of collections, searches, sessions."""

import asyncio
import hashlib

from msgspec.structs import replace

from penstock.contracts.context import (
    Append,
    Appended,
    Forget,
    Forgotten,
    Found,
    History,
    HistoryRequest,
    Ingest,
    Ingested,
    Passage,
    Search,
)
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token, new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Fact, Question
from penstock.kit.boundary import Boundary, Settlement
from penstock.kit.limit import Limit
from penstock.kit.screened import screened, screened_json, suspicions
from services.context import obliged
from services.context.config import Config
from services.context.documents import Collection, Documents, Head, document_id
from services.context.embedder import Embedder, Vectors
from services.context.index import Index, IndexedDocument, Query
from services.context.obliged import HONOURED
from services.context.sessions import Sessions
from services.context.shelf import Shelf
from services.context.split import Lengths, Piece, first_heading, split

MARKDOWN = "text/markdown"
_MEDIA_TYPES = (MARKDOWN, "text/plain")
_NAME_MAX = 1000
_INGEST_DUE_S = 600.0
_DUE_S = 120.0


class Handlers:
    """Everything is the tenant's own: meta.tenant is what the token says."""

    def __init__(
        self,
        boundary: Boundary,
        documents: Documents,
        shelf: Shelf,
        sessions: Sessions,
        embedder: Embedder,
        config: Config,
    ) -> None:
        self._boundary = boundary
        self._documents = documents
        self._shelf = shelf
        self._sessions = sessions
        self._embedder = embedder
        self._config = config
        self._ingests = Limit("documents being taken in", config.ingests_max, waiting_max=256, wait_s=60.0)

    async def ingest(self, request: Ingest, meta: Meta) -> Ingested:
        """The same text again changes nothing, unless there can be vectors now that there were none."""
        self._check_document(request)
        collection = _collection(meta, request.collection)
        digest = self._digest(request)
        facts = await self._facts([request.title, request.text])
        question = _question("context.ingest", "Collection", request.collection, digest, _INGEST_DUE_S, facts)
        async with self._boundary.action(question, meta, honours=HONOURED) as action, self._ingests:
            request = await obliged.ingest(request, action)
            digest = self._digest(request)
            id = document_id(request.source)
            head = await self._documents.head(collection, id)
            if head is not None and head.digest == digest and head.model:
                return Ingested(id, head.passages, unchanged=True)
            pieces = await self._pieces(request)
            texts = [f"{piece.title}\n{piece.text}" for piece in pieces]
            vectors = await self._embedder.embed(texts, meta, self._config.embed_document_s)
            if head is not None and head.digest == digest and vectors is None:
                return Ingested(id, head.passages, unchanged=True)
            await self._documents.put(collection, _document(id, request.source, pieces, vectors), digest)
            action.settle(Settlement(result_digest=digest))
            return Ingested(id, len(pieces), unchanged=_same(head, digest))

    async def search(self, request: Search, meta: Meta) -> Found:
        """A collection that is not there has nothing in it."""
        self._check_search(request)
        collection = _collection(meta, request.collection)
        facts = await self._facts([request.query])
        question = _question("context.search", "Collection", request.collection, _sha256(request.query), _DUE_S, facts)
        async with self._boundary.action(question, meta, honours=HONOURED) as action:
            request = obliged.search(request, action)
            index, vectors = await asyncio.gather(
                self._shelf.fresh(collection),
                self._embedder.embed([request.query], meta, self._config.embed_query_s),
            )
            found = _found(index, request, vectors)
            taint = {*self._config.taints} if found.passages else set()
            if self._config.screen:
                taint |= await suspicions([text for one in found.passages for text in (one.title, one.text)])
            return await obliged.found(replace(found, taint=tuple(sorted(taint))), action)

    async def append(self, request: Append, meta: Meta) -> Appended:
        self._check_turns(request)
        digest = _sha256("\n".join(turn.id for turn in request.turns))
        facts = await screened_json([bytes(turn.message) for turn in request.turns]) if self._config.screen else {}
        question = _question("context.session", "Session", request.session, digest, _DUE_S, facts)
        async with self._boundary.action(question, meta, honours=HONOURED) as action:
            turns = [replace(turn, taint=meta.taint) for turn in obliged.turns(request.turns, action)]
            return Appended(await self._sessions.append(meta.tenant, request.session, turns))

    async def history(self, request: HistoryRequest, meta: Meta) -> History:
        _require(is_token(request.session), "session", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
        _require(request.limit > 0, "limit", "must be 1 or more")
        question = _question("context.session", "Session", request.session, "", _DUE_S)
        async with self._boundary.action(question, meta, honours=HONOURED) as action:
            limit = min(request.limit, self._config.session_turns_max)
            return obliged.history(await self._sessions.history(meta.tenant, request.session, limit), action)

    async def forget(self, request: Forget, meta: Meta) -> Forgotten:
        """A document or a session; what is not there counts as none."""
        _require(
            bool(request.source) != bool(request.session), "source", "or session must be named, and only one of them"
        )
        if request.session:
            _require(is_token(request.session), "session", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
            question = _question("context.session", "Session", request.session, "", _DUE_S)
            async with self._boundary.action(question, meta, honours=HONOURED):
                return Forgotten(int(await self._sessions.forget(meta.tenant, request.session)))
        collection = _collection(meta, request.collection)
        question = _question("context.forget", "Collection", request.collection, _sha256(request.source), _DUE_S)
        async with self._boundary.action(question, meta, honours=HONOURED):
            return Forgotten(int(await self._documents.forget(collection, document_id(request.source))))

    async def _facts(self, texts: list[str]) -> dict[str, Fact]:
        """What policy is told of texts that come in."""
        return await screened(texts) if self._config.screen else {}

    async def _pieces(self, request: Ingest) -> list[Piece]:
        lengths = Lengths(self._config.passage_tokens, self._config.overlap_tokens)
        markdown = request.media_type == MARKDOWN
        title = request.title or ("" if markdown and first_heading(request.text) else request.source)
        pieces = await asyncio.to_thread(split, request.text, markdown=markdown, title=title, lengths=lengths)
        most = self._config.document_passages_max
        _require(
            len(pieces) <= most,
            "text",
            f"would give {len(pieces)} passages; at most {most} are allowed",
            Code.TOO_LARGE,
        )
        return pieces

    def _digest(self, request: Ingest) -> str:
        """Of the text and of all that decides what becomes of it."""
        config = self._config
        parts = (
            request.title,
            request.media_type,
            str(config.passage_tokens),
            str(config.overlap_tokens),
            request.text,
        )
        return _sha256("\0".join(parts))

    def _check_document(self, request: Ingest) -> None:
        _require(0 < len(request.source) <= _NAME_MAX, "source", f"must have 1 to {_NAME_MAX} characters")
        _require(len(request.title) <= _NAME_MAX, "title", f"must have at most {_NAME_MAX} characters")
        _require(request.media_type in _MEDIA_TYPES, "media_type", f"must be one of {', '.join(_MEDIA_TYPES)}")
        most = self._config.document_max_bytes
        _require(len(request.text.encode()) <= most, "text", f"must have at most {most} bytes", Code.TOO_LARGE)

    def _check_search(self, request: Search) -> None:
        most = self._config.query_max_characters
        _require(bool(request.query.strip()), "query", "must not be empty")
        _require(len(request.query) <= most, "query", f"must have at most {most} characters", Code.TOO_LARGE)
        most = self._config.search_results_max
        _require(0 < request.limit <= most, "limit", f"must be from 1 to {most}")

    def _check_turns(self, request: Append) -> None:
        _require(is_token(request.session), "session", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
        most = self._config.append_turns_max
        _require(0 < len(request.turns) <= most, "turns", f"must be from 1 to {most}")
        most = self._config.turn_max_bytes
        for turn in request.turns:
            _require(0 < len(turn.id) <= _NAME_MAX, "turns", f"must each have an id of 1 to {_NAME_MAX} characters")
            _require(len(bytes(turn.message)) <= most, "turns", f"must each have at most {most} bytes", Code.TOO_LARGE)


def _question(
    action: str, kind: str, name: str, digest: str, due_s: float, facts: dict[str, Fact] | None = None
) -> Question:
    return Question(
        ActionName(action),
        Entity(kind, name),
        new_id("att"),
        context=facts or {},
        arguments_digest=digest,
        outcome_due_s=due_s,
    )


def _collection(meta: Meta, name: str) -> Collection:
    _require(is_token(name), "collection", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
    return Collection(meta.tenant, name)


def _document(id: str, source: str, pieces: list[Piece], vectors: Vectors | None) -> IndexedDocument:
    revision = new_id("rev")
    if vectors is None:
        return IndexedDocument(id, source, revision, pieces)
    return IndexedDocument(id, source, revision, pieces, vectors.model, vectors.rows)


def _found(index: Index, request: Search, vectors: Vectors | None) -> Found:
    query = Query(request.query) if vectors is None else Query(request.query, vectors.model, vectors.rows[0])
    hits = index.search(query, request.limit)
    passages = [Passage(hit.document, hit.source, hit.piece.title, hit.piece.text, hit.score) for hit in hits]
    return Found(passages, lexical_only=vectors is None)


def _same(head: Head | None, digest: str) -> bool:
    return head is not None and head.digest == digest


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _require(holds: bool, field: str, what: str, code: Code = Code.INVALID) -> None:
    if not holds:
        raise Failure(code, f"{field} {what}", param=field)
