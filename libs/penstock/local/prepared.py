"""Streams, buckets and consumers: made at the start, and again when the broker has forgotten those in its memory."""

import asyncio
from collections.abc import Callable

from penstock.bus import Bus, BusConfig
from penstock.bus.permissions import SETUP
from penstock.contracts.errors import Failure
from penstock.local.child import StartFailed


class SetUp:
    """Works with the identity that may make them and nothing else. `url` is asked for when the broker is up."""

    name = "set-up"

    def __init__(self, url: Callable[[], str], seed_file: str = "", ca_file: str = "") -> None:
        self._url = url
        self._seed_file = seed_file
        self._ca_file = ca_file
        self._bus: Bus | None = None
        self._again = asyncio.Event()

    async def start(self) -> None:
        """Returns when everything is there."""
        await self.stop()
        self._again.clear()
        try:
            config = BusConfig(url=self._url(), principal=SETUP, seed_file=self._seed_file, tls_ca_file=self._ca_file)
            self._bus = bus = await Bus.connect(config)
            await bus.prepare()
        except Failure as failure:
            await self.stop()
            raise StartFailed(self.name, str(failure)) from failure
        bus.connection.on_reconnect(self._again.set)

    async def exited(self) -> int:
        """Makes what is missing whenever the broker comes back; ends only when that fails."""
        while True:
            await self._again.wait()
            self._again.clear()
            if self._bus is None:
                return 1
            try:
                await self._bus.prepare()
            except Failure:
                return 1

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()
