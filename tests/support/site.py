"""The world outside: a site that HTTP tools call, which counts what it is asked and by which key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

KEY_HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Visit:
    """One request, as it came."""

    path: str
    key: str
    item: str
    headers: dict[str, str]


Arrived = Callable[[Visit], Awaitable[None]]


async def _at_once(visit: Visit) -> None:
    return None


@dataclass
class Site:
    """`visits` is every request; `effects` what was done: once for each key, as a server that knows the header does.

    `arrived` is awaited before the answer: a test may hold a request there. `echo`: it answers with what it was sent.
    """

    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    effects: dict[str, str] = field(default_factory=dict)
    arrived: Arrived = _at_once
    echo: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keys(self, item: str) -> list[str]:
        """The key of each request for this item, in order."""
        return [visit.key for visit in self.visits if visit.item == item]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        visit = Visit(
            request.path, request.headers.get(KEY_HEADER, ""), request.query.get("item", ""), dict(request.headers)
        )
        self.visits.append(visit)
        await self.arrived(visit)
        if visit.key:
            self.effects.setdefault(visit.key, visit.item)
        return web.Response(text=repr(visit.headers) if self.echo else f"charged {visit.item}")


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """On loopback, in this loop."""
    it = Site()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", it._answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.port = runner.addresses[0][1]
    try:
        yield it
    finally:
        await asyncio.shield(runner.cleanup())
