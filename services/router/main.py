"""The router's parts and its list of endpoints."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.services import ROUTER
from penstock.contracts.subjects import (
    LLM_COMPLETE,
    LLM_COUNT,
    LLM_EMBED,
    LLM_MODELS,
    LLM_RERANK,
    LLM_RESPONSE_DELETE,
    LLM_RESPONSE_GET,
    LLM_RESUME,
    LLM_STREAM,
)
from penstock.kit.service import Parts, Service, answer, run, stream
from services.router.assembly import Assembly
from services.router.config import Config


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The service, until the block is left."""
    made = Assembly(config, parts, os.environ)
    handlers = made.handlers
    endpoints = [
        answer(LLM_COMPLETE, handlers.complete, in_flight_max=config.calls_max),
        stream(LLM_STREAM, handlers.stream, in_flight_max=config.streams_max),
        stream(LLM_RESUME, handlers.resume, in_flight_max=config.streams_max),
        answer(LLM_COUNT, handlers.count, in_flight_max=config.calls_max),
        answer(LLM_RERANK, handlers.rerank, in_flight_max=config.calls_max),
        answer(LLM_RESPONSE_GET, handlers.response, in_flight_max=config.calls_max),
        answer(LLM_RESPONSE_DELETE, handlers.delete_response, in_flight_max=config.calls_max),
        answer(LLM_EMBED, handlers.embed, in_flight_max=config.calls_max),
        answer(LLM_MODELS, handlers.models, in_flight_max=config.calls_max),
        made.departures,
    ]
    try:
        yield Service(ROUTER, endpoints, background=made.background)
    finally:
        await made.close()


def main() -> NoReturn:
    run(build, Config, ROUTER)
