"""Starts the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from penstock.contracts.services import GATEWAY
from penstock.kit.service import Parts, Service, edge, run
from services.gateway.app import application
from services.gateway.auth import Authenticator
from services.gateway.config import Config
from services.gateway.handlers import Handlers
from services.gateway.http_server import HttpServer


@asynccontextmanager
async def gateway(config: Config, parts: Parts) -> AsyncIterator[Service]:
    """The edge: its routes are in app.py."""
    authenticator = Authenticator(
        parts.bus, parts.identities, parts.clock, config.identity_cache_s, config.identity_cache_max
    )
    handlers = Handlers(parts.bus, config)
    app = application(config, handlers, authenticator, parts.metrics, parts.log, parts.tracer)
    server = HttpServer(app, config, parts.log)
    yield Service(GATEWAY, [edge("http", server.serve)])


def main() -> NoReturn:
    """The process."""
    run(gateway, Config, GATEWAY)
