"""A broker with the generated rights of every principal, two tenants, and one user who may do everything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from penstock.bus import Bus, BusConfig
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import Grants, principals
from penstock.bus.server_config import BusUser, render
from penstock.contracts.services import SERVICES
from tests.support.nats_server import NatsServer, nats_server

ALMIGHTY = "peers"
TENANTS = ("acme", "umbrella")


class Secured:
    """The broker, and the folder of everybody's seeds."""

    def __init__(self, broker: NatsServer, seeds: Path) -> None:
        self.broker = broker
        self._seeds = seeds

    def seed(self, name: str) -> str:
        return str(self._seeds / name)

    @asynccontextmanager
    async def bus(self, name: str) -> AsyncIterator[Bus]:
        """Connected as a service."""
        bus = await Bus.connect(BusConfig(url=self.broker.url, principal=name, seed_file=self.seed(name)))
        try:
            yield bus
        finally:
            await bus.close()

    @asynccontextmanager
    async def tenant(self, name: str = "acme") -> AsyncIterator[Client]:
        """A tenant's own NATS client: nats-py as it is, told its seed and its inbox."""
        refused: list[Exception] = []

        async def on_error(error: Exception) -> None:
            refused.append(error)

        client = await nats.connect(
            self.broker.url,
            nkeys_seed=self.seed(f"tenant-{name}"),
            inbox_prefix=f"_INBOX.tenant.{name}",
            error_cb=on_error,
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
        )
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def secured_broker(seeds: Path) -> AsyncIterator[Secured]:
    """In `seeds` are the users' keys."""
    grants = principals(TENANTS) | {ALMIGHTY: Grants({">"}, {">"})}
    for service in SERVICES:
        # it is answered, and says how much it wants to hear of a stream
        grants[service].publish |= {f"_INBOX.{ALMIGHTY}.>", f"penstock.flow.{ALMIGHTY}.>"}
    users = [BusUser(name, load_or_make(seeds / name), of) for name, of in grants.items()]
    async with nats_server(render(users)) as broker:
        yield Secured(broker, seeds)
