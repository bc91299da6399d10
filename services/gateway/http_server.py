"""uvicorn inside the service's own life: the kit has the signals, uvicorn the sockets."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from penstock.kit.log import Log
from services.gateway.config import Config
from services.gateway.heads import bounded_heads

BACKLOG = 2048
IDLE_CONNECTION_S = 75
"""Longer than the 60 s after which most load balancers give an idle connection up."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves `app` until told to stop, then finishes what is under way."""

    def __init__(self, app: ASGIApp, config: Config, log: Log) -> None:
        self._app = app
        self._config = config
        self._log = log
        self.port = 0

    async def serve(self, stopping: asyncio.Event) -> None:
        """Raises OSError when the address cannot be had."""
        listener = socket.socket(socket.AF_INET6 if ":" in self._config.http_host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # inherited by each connection: small writes of a stream leave at once
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((self._config.http_host, self._config.http_port))
        self.port = listener.getsockname()[1]
        server = _Server(
            uvicorn.Config(
                self._app,
                http=bounded_heads(self._config.head_timeout_s),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_CONNECTION_S,
                timeout_graceful_shutdown=max(1, int(self._config.drain_s)),
            )
        )
        serving = asyncio.create_task(server.serve([listener]))
        waiting = asyncio.create_task(stopping.wait())
        self._log.info("http", host=self._config.http_host, port=self.port)
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
        finally:
            waiting.cancel()
            serving.cancel()
            listener.close()
