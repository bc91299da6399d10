"""Starts the context service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.services import CONTEXT
from penstock.contracts.subjects import CONTEXT_APPEND, CONTEXT_FORGET, CONTEXT_HISTORY, CONTEXT_INGEST, CONTEXT_SEARCH
from penstock.kit.service import Parts, Service, answer, run
from penstock.kit.store import Store
from services.context.config import Config
from services.context.documents import Documents
from services.context.embedder import Embedder
from services.context.handlers import Handlers
from services.context.sessions import SessionLimits, Sessions
from services.context.shelf import Shelf


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """Waits for the store; the router may come and go."""
    store = Store(
        config.store_url.reveal(), timeout_s=config.store_timeout_s, connections_max=config.store_connections_max
    )
    try:
        await store.check()
        parts.readiness.add("store", store.check)
        documents = Documents(
            store, documents_max=config.collection_documents_max, passages_max=config.collection_passages_max
        )
        shelf = Shelf(documents, config.index_max_bytes)
        sessions = Sessions(
            store, SessionLimits(config.session_turns_max, config.session_max_bytes, config.session_keep_s)
        )
        embedder = Embedder(
            parts.bus,
            parts.clock,
            model=config.embed_model,
            batch_max=config.embed_batch_max,
            rest_s=config.embed_rest_s,
        )
        handlers = Handlers(parts.boundary, documents, shelf, sessions, embedder, config)
        bound = config.calls_in_flight_max
        yield Service(
            CONTEXT,
            [
                answer(CONTEXT_INGEST, handlers.ingest, in_flight_max=bound),
                answer(CONTEXT_SEARCH, handlers.search, in_flight_max=bound),
                answer(CONTEXT_APPEND, handlers.append, in_flight_max=bound),
                answer(CONTEXT_HISTORY, handlers.history, in_flight_max=bound),
                answer(CONTEXT_FORGET, handlers.forget, in_flight_max=bound),
            ],
        )
    finally:
        await store.close()


def main() -> NoReturn:
    """The process."""
    run(build, Config, CONTEXT)
