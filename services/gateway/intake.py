"""Takes in the bodies of requests, within limits for each and for all that are held at once."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway.config import Config
from services.gateway.exchange import Exchange
from services.gateway.request import body_of
from services.gateway.room import Room


class Intake:
    """One for all requests."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._room = Room(config.bodies_max_bytes)

    @asynccontextmanager
    async def body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The request's body, which has its share of the room until the block ends. Raises as `body_of` does."""
        config = self._config
        with self._room.share() as share:
            yield await body_of(
                exchange.request,
                share,
                max_bytes=config.body_max_bytes,
                silence_s=config.body_timeout_s,
                within_s=exchange.meta.deadline - time.time(),
            )
