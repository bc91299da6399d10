"""Services' credentials in the wrong hands, on a broker with the generated permissions."""

from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client

from penstock.bus import Bus, BusConfig
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer


@dataclass
class House:
    """The broker, everybody's seeds, and what it refused them."""

    broker: NatsServer
    seeds: Path
    stack: AsyncExitStack
    refused: dict[str, list[str]] = field(default_factory=dict)

    async def bus(self, name: str) -> Bus:
        bus = await Bus.connect(BusConfig(url=self.broker.url, principal=name, seed_file=str(self.seeds / name)))
        self.stack.push_async_callback(bus.close)
        return bus

    async def intruder(self, name: str) -> Client:
        """This service's credentials in the hands of whoever has taken it over: a plain client."""
        refused = self.refused.setdefault(name, [])

        async def on_error(error: Exception) -> None:
            refused.append(str(error).lower())

        client = await nats.connect(
            self.broker.url,
            nkeys_seed=str(self.seeds / name),
            inbox_prefix=f"_INBOX.{name}.i",
            error_cb=on_error,
            allow_reconnect=False,
        )
        self.stack.push_async_callback(client.close)
        return client

    async def tries(self, client: Client, name: str, subjects: Iterable[str], data: bytes = b"{}") -> list[str]:
        """Publishes to all of them, with a reply wanted; those that the broker let through."""
        wanted = sorted(set(subjects))
        self.refused[name].clear()
        for subject in wanted:
            await client.publish(subject, data, reply=f"_INBOX.{name}.i.x")
        await client.flush()

        async def all_refused() -> None:
            assert len(self.refused[name]) >= len(wanted)

        with suppress(AssertionError):  # said below, by name
            await eventually(all_refused, within_s=2.0)
        return [one for one in wanted if not any(f'"{one.lower()}"' in said for said in self.refused[name])]

    async def listens(self, client: Client, name: str, subjects: Iterable[str], queue: str = "") -> list[str]:
        """Subscribes to all of them; those that the broker let it hear."""
        wanted = sorted(set(subjects))
        self.refused[name].clear()
        for subject in wanted:
            await client.subscribe(subject, queue=queue)
        await client.flush()

        async def all_refused() -> None:
            assert len(self.refused[name]) >= len(wanted)

        with suppress(AssertionError):
            await eventually(all_refused, within_s=2.0)
        return [one for one in wanted if not any(f'"{one.lower()}"' in said for said in self.refused[name])]
