"""Rerank as Cohere and Jina have it: one answer that the clients of both read."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Loss, Reranked, RerankRequest
from services.gateway.dialects import head


class _Text(msgspec.Struct, frozen=True):
    text: str


class _Request(msgspec.Struct, frozen=True):
    model: str
    query: str
    documents: list[str | _Text]
    top_n: int | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None


class _Result(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float
    document: _Text | msgspec.UnsetType = msgspec.UNSET


class _Units(msgspec.Struct, frozen=True):
    search_units: int


class _Meta(msgspec.Struct, frozen=True):
    billed_units: _Units


class _Usage(msgspec.Struct, frozen=True):
    total_tokens: int


class _Answer(msgspec.Struct, frozen=True):
    id: str
    model: str
    results: list[_Result]
    usage: _Usage
    meta: _Meta


class Asked(msgspec.Struct, frozen=True):
    """`texts`: whether the answer has the documents' texts."""

    request: RerankRequest
    texts: bool
    losses: tuple[Loss, ...] = ()


_requests = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Asked:
    """Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_requests, body)
    documents = [one if isinstance(one, str) else one.text for one in found.documents]
    if not documents or not all(documents):
        raise Failure(Code.INVALID, "documents must be texts, none of them empty", param="documents")
    if not found.query:
        raise Failure(Code.INVALID, "query must not be empty", param="query")
    if found.top_n is not None and found.top_n < 1:
        raise Failure(Code.INVALID, "top_n must be at least 1", param="top_n")
    limits = {"max_tokens_per_doc": found.max_tokens_per_doc, "max_chunks_per_doc": found.max_chunks_per_doc}
    losses = tuple(Loss(name, "not passed on") for name, value in limits.items() if value)
    request = RerankRequest(head.named(found.model), found.query, documents, found.top_n or 0)
    return Asked(request, bool(found.return_documents), losses)


def write(asked: Asked, ranked: Reranked, id: str) -> bytes:
    """The answer. Raises Failure(UPSTREAM) for a document that there is not."""
    documents = asked.request.documents
    results = []
    for one in ranked.results:
        if not 0 <= one.index < len(documents):
            raise Failure(Code.UPSTREAM, "the ranking names a document that was not sent")
        text = _Text(documents[one.index]) if asked.texts else msgspec.UNSET
        results.append(_Result(one.index, one.score, text))
    usage = _Usage(ranked.served.usage.total)
    return msgspec.json.encode(_Answer(id, asked.request.model, results, usage, _Meta(_Units(1))))
