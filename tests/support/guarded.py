"""A broker that asks about tenants' clients, with the generated rights of everybody else, and ways to knock."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from penstock.bus import Bus, BusConfig
from penstock.bus.callout import Callout, Decide
from penstock.bus.callout_keys import callout_keys, make_callout_keys
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import Grants, principals
from penstock.bus.server_config import BusUser, render
from tests.support.nats_server import NatsServer, nats_server

ALMIGHTY = "peers"


class Guarded:
    """The broker, and the folder of seeds: those of the callout are in `callout`."""

    def __init__(self, broker: NatsServer, seeds: Path) -> None:
        self.broker = broker
        self.seeds = seeds

    @property
    def callout_dir(self) -> Path:
        return self.seeds / "callout"

    def service(self, name: str, **more: object) -> BusConfig:
        config = BusConfig(url=self.broker.url, principal=name, seed_file=str(self.seeds / name), **more)  # type: ignore[arg-type]  # as the caller means it
        return config

    def guest(self, credential: str, **more: object) -> BusConfig:
        """Our own client, which gives a credential."""
        return BusConfig(url=self.broker.url, tenant="acme", token=credential, **more)  # type: ignore[arg-type]  # as the caller means it

    @asynccontextmanager
    async def bus(self, config: BusConfig) -> AsyncIterator[Bus]:
        bus = await Bus.connect(config)
        try:
            yield bus
        finally:
            await bus.close()

    @asynccontextmanager
    async def plain(self, denied: list[str] | None = None, **options: object) -> AsyncIterator[Client]:
        """nats-py as it is. `denied` gets what the broker complains of."""

        async def on_error(error: Exception) -> None:
            if denied is not None:
                denied.append(str(error))

        client = await nats.connect(
            self.broker.url, inbox_prefix="_INBOX.tenant.acme", error_cb=on_error, allow_reconnect=False, **options
        )
        try:
            yield client
        finally:
            await client.close()

    async def told(self, **options: str) -> str:
        """What the broker says to a client that gives these options: PONG when it is let in, else the error. Without
        nats-py, which leaves the sockets of failed tries to the garbage collector."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.broker.port)
        try:
            await reader.readline()
            connect = {"verbose": False, "protocol": 1, "lang": "test", "version": "1", **options}
            writer.write(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")
            async with asyncio.timeout(10):
                while (line := (await reader.readline()).decode()).startswith(("PING", "INFO")):
                    pass
            return line.strip()
        finally:
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def answered(
        self, decide: Decide, *, keys: Path | None = None, in_flight_max: int = 1000
    ) -> AsyncIterator[Callout]:
        """Somebody answers the callout."""
        config = BusConfig(url=self.broker.url)
        callout = await Callout.open(
            config, callout_keys(keys or self.callout_dir), decide, in_flight_max=in_flight_max
        )
        try:
            yield callout
        finally:
            await callout.close()


@asynccontextmanager
async def guarded_broker(seeds: Path, changed: Callable[[str], str] = lambda config: config) -> AsyncIterator[Guarded]:
    """Known to the broker are the plane's services, the set-up, and one who may do everything in their account.

    `changed`: what a test makes of the generated configuration.
    """
    grants = principals() | {ALMIGHTY: Grants({">"}, {">"})}
    users = [BusUser(name, load_or_make(seeds / name), of) for name, of in grants.items()]
    config = render(users, callout=make_callout_keys(seeds / "callout"))
    async with nats_server(changed(config)) as broker:
        yield Guarded(broker, seeds)
