"""Settings of the context service."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds, Secret


class Config(KitConfig, frozen=True, kw_only=True):
    """store_url: Valkey or Redis, where documents and sessions are.
    store_timeout_s, store_connections_max: one command; connections to the store.
    embed_model: alias of the model that makes vectors; "" is the router's default.
    embed_batch_max: texts in one request to it. embed_document_s, embed_query_s: how long it may take for a document,
    for a query; after that words alone are matched. embed_rest_s: how long it is left alone when it does not answer.
    passage_tokens, overlap_tokens: length of a passage, and what it repeats of the one before it.
    document_max_bytes, document_passages_max: of one document. collection_documents_max, collection_passages_max: of
    one collection.
    index_max_bytes: memory of the collections that are held for searching; the one in use stays, the others go when it
    is used up, the longest unused first.
    query_max_characters, search_results_max: of one search.
    session_turns_max, session_max_bytes: of one session, older turns are dropped; turn_max_bytes, append_turns_max: of
    one append. session_keep_s: after its last turn a session is forgotten.
    calls_in_flight_max: calls at once; above it callers are told `overloaded`. ingests_max: documents at once.
    screen: whether policy is told what is found in texts that come in (personal, secrets, hidden_text), and runs are
    tainted by what is found in passages; false saves that time where no policy asks.
    taints: labels that a run bears once it has read any passage; () where documents are trusted.
    """

    store_url: Secret = Secret("redis://127.0.0.1:6379/0")
    store_timeout_s: Annotated[float, Meta(gt=0)] = 5.0
    store_connections_max: Count = 64
    embed_model: str = ""
    embed_batch_max: Count = 32
    embed_document_s: Seconds = 240.0
    embed_query_s: Seconds = 2.0
    embed_rest_s: Seconds = 10.0
    passage_tokens: Annotated[int, Meta(ge=20, le=2000)] = 200
    overlap_tokens: Annotated[int, Meta(ge=0, le=500)] = 40
    document_max_bytes: Count = 4 * 1024 * 1024
    document_passages_max: Count = 8_000
    collection_documents_max: Count = 10_000
    collection_passages_max: Count = 20_000
    index_max_bytes: Count = 256 * 1024 * 1024
    query_max_characters: Count = 4_000
    search_results_max: Count = 50
    session_turns_max: Count = 1_000
    session_max_bytes: Count = 8 * 1024 * 1024
    turn_max_bytes: Count = 256 * 1024
    append_turns_max: Count = 100
    session_keep_s: Annotated[float, Meta(gt=0)] = 30 * 24 * 3600.0
    calls_in_flight_max: Count = 256
    ingests_max: Count = 8
    screen: bool = True
    taints: Annotated[tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ...], Meta(max_length=4)] = ()
