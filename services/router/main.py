"""The router's parts and its list of endpoints."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.errors import Code, Failure
from penstock.contracts.subjects import LLM_COMPLETE, LLM_EMBED, LLM_MODELS, LLM_STREAM, ROUTER
from penstock.kit.service import Parts, Service, answer, run, stream
from services.router.board import Board
from services.router.chain import Chain, ChainRules
from services.router.config import Config
from services.router.handlers import Handlers
from services.router.health import BreakerRules
from services.router.http import Http
from services.router.made_up import LocalModels
from services.router.models import Models
from services.router.models_file import BadModelsFile
from services.router.providers.table import providers


@asynccontextmanager
async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The service, until the block is left."""
    rules = BreakerRules(
        config.breaker_failures_max, config.breaker_rest_s, config.breaker_rest_max_s, config.key_rest_s
    )
    board = Board(rules, time.monotonic, parts.metrics)
    local = LocalModels(
        config.local_chat_url, config.local_chat_model, config.local_embed_url, config.local_embed_model
    )
    path = parts.config_dir / config.models_file if config.models_file else None
    try:
        # the environment holds the provider keys that the models file names
        models = Models(path, local, os.environ, parts.clock, board, parts.log)
    except BadModelsFile as error:
        raise Failure(Code.INVALID, str(error)) from None
    http = Http(connect_timeout_s=config.connect_timeout_s, keep_alive_s=config.keep_alive_s)
    chain_rules = ChainRules(config.attempts_max, config.rounds_max, config.backoff_s, config.backoff_max_s)
    chain = Chain(parts.boundary, board, chain_rules, parts.metrics, parts.log)
    table = providers(http, response_max_bytes=config.response_max_bytes)
    handlers = Handlers(config, models, chain, table, parts.boundary, parts.clock)
    endpoints = [
        answer(LLM_COMPLETE, handlers.complete, in_flight_max=config.calls_max),
        stream(LLM_STREAM, handlers.stream, in_flight_max=config.streams_max),
        answer(LLM_EMBED, handlers.embed, in_flight_max=config.calls_max),
        answer(LLM_MODELS, handlers.models, in_flight_max=config.calls_max),
    ]
    try:
        yield Service(ROUTER, endpoints, background=[lambda: models.watch(config.models_check_every_s)])
    finally:
        await http.close()


def main() -> NoReturn:
    run(build, Config, ROUTER)
