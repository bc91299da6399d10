"""A plane, the model provider and the site around it, and jobs that can be held at any moment of their life."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from penstock.client import job
from penstock.contracts.jobs import Job
from tests.support.launched import Json, LaunchedPlane, launched_plane
from tests.support.model_server import Line, ModelServer, Received, calls, chunk, model_server, plain, usage_chunk
from tests.support.site import Site, Visit, site

UPSTREAM_KEY = "upstream-key-4b1d9a7c2e"
SHOP_KEY = "shop-key-93f0c6aa51"
PRICE = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 10}
TIMEOUTS = {"headers_s": 60.0, "first_content_s": 60.0, "idle_s": 60.0, "total_s": 90.0}
"""Longer than any part is away: what is tested here is the plane, not the provider."""
WORDS = ("one ", "two ", "three ", "four")
PROMPT_TOKENS, ANSWER_TOKENS = 20, 12

Phase = Literal["asked", "streaming", "tool", "between", ""]
"""Where a job is held: its model was asked; part of the answer was streamed; its tool was called; a step is done."""


@dataclass
class Hold:
    """One stop of one job, made once: `reached` when it stands there, and it goes on when `go` is set."""

    phase: Phase
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


class _Talk(msgspec.Struct):
    role: str = ""


class _Asked(msgspec.Struct):
    messages: list[_Talk] = []


class World:
    """`tag` names a job in everything it says and does: `<k17>` in its prompt, `k17-1` at the site."""

    def __init__(self, plane: LaunchedPlane, provider: ModelServer, shop: Site, folder: Path) -> None:
        self.plane = plane
        self.provider = provider
        self.shop = shop
        self.folder = folder
        self.lost: set[str] = set()
        """Attempts that are known to have no outcome: their process was killed."""
        self._holds: dict[str, Hold] = {}
        provider.script(self._reply)
        shop.arrived = self._arrived

    def hold(self, tag: str, phase: Phase) -> Hold:
        """Stops the job there, the first time that it gets there."""
        hold = self._holds[tag] = Hold(phase)
        return hold

    @staticmethod
    def chat(tag: str, **fields: object) -> Job:
        """A job whose answer is WORDS, streamed."""
        return job("chat", f"<{tag}> say the words", model="chat", id=f"job_{tag}", **fields)  # type: ignore[arg-type]

    @staticmethod
    def agent(tag: str, **fields: object) -> Job:
        """A job that charges `<tag>-1`, looks into the stock, charges `<tag>-2` and says so."""
        return job("agent", f"<{tag}> charge it", agent="clerk", id=f"job_{tag}", **fields)  # type: ignore[arg-type]

    async def _stop(self, tag: str, phase: Phase) -> None:
        hold = self._holds.get(tag)
        if hold is not None and hold.phase == phase and not hold.reached.is_set():
            hold.reached.set()
            await hold.go.wait()

    async def _arrived(self, visit: Visit) -> None:
        await self._stop(visit.item.rpartition("-")[0], "tool")

    async def _reply(self, line: Line, request: Received) -> None:
        found = re.search(rb"<([a-z0-9]+)>", request.body)
        tag = found.group(1).decode() if found else ""
        turn = sum(message.role == "assistant" for message in msgspec.json.decode(request.body, type=_Asked).messages)
        if turn == 1:
            await self._stop(tag, "between")
        await self._stop(tag, "asked")
        if b"say the words" in request.body:
            await self._words(line, request, tag)
        elif turn in (0, 2):
            await calls("charge", f'{{"item":"{tag}-{1 + turn // 2}"}}')(line, request)
        elif turn == 1:
            await calls("stock", '{"item":"valve"}')(line, request)
        else:
            await self._words(line, request, tag)

    async def _words(self, line: Line, request: Received, tag: str) -> None:
        if not request.streamed:
            await plain("".join(WORDS), prompt=PROMPT_TOKENS, output=ANSWER_TOKENS)(line, request)
            return
        line.head(Content_Type="text/event-stream")
        line.write(chunk({"role": "assistant", "content": ""}))
        for place, word in enumerate(WORDS):
            line.write(chunk({"content": word}))
            if place == 1:
                await self._stop(tag, "streaming")
        line.write(chunk({}, "stop"))
        if request.wants_usage:
            line.write(usage_chunk(PROMPT_TOKENS, ANSWER_TOKENS, 0))
        line.write(b"data: [DONE]\n\n")
        line.end()


def _files(provider: ModelServer, shop: Site, database: Path) -> dict[str, Json]:
    deployment = {"base_url": provider.url, "price": PRICE, "timeouts": TIMEOUTS, "key": "env:UPSTREAM_KEY"}
    item = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}
    charge = {
        "url": f"{shop.url}/charge",
        "method": "POST",
        "query": {"item": "{item}"},
        "private_hosts": ["127.0.0.1"],
        "credentials": [{"name": "X-Shop-Key", "source": "env:SHOP_KEY"}],
    }
    stock = {"database": f"sqlite:{database}", "statement": "SELECT count FROM stock WHERE item = :item"}
    described = {"description": "For the tests.", "parameters": item}
    tools = [
        {"name": "charge", "kind": "http", "effect": "idempotent", "http": charge, **described},
        {"name": "stock", "kind": "sql", "sql": stock, **described},
        {"name": "fire", "kind": "http", "effect": "once", "http": charge, **described},
    ]
    return {
        "models": {
            "deployments": {"first": {**deployment, "model": "model-1"}, "second": {**deployment, "model": "model-2"}},
            "aliases": {"chat": ["first", "second"]},
            "default": {"chat": "chat"},
        },
        "tools": {"tools": tools},
        "agents": {
            "agents": [{"name": "clerk", "model": "chat", "instructions": "Charge.", "tools": ["charge", "stock"]}]
        },
        "accounts": {"default": {"tenant:default": {"usd": 1000}, "user:*": {"usd": 500}}},
    }


@asynccontextmanager
async def world(folder: Path, *options: str) -> AsyncIterator[World]:
    """`options` are further ones of `penstock up`."""
    database = folder / "shop.db"
    with closing(sqlite3.connect(database)) as shop_db, shop_db:
        shop_db.execute("CREATE TABLE stock (item TEXT, count INTEGER)")
        shop_db.execute("INSERT INTO stock VALUES ('valve', 2)")
    secrets = {"UPSTREAM_KEY": UPSTREAM_KEY, "SHOP_KEY": SHOP_KEY}
    async with (
        model_server() as provider,
        site() as shop,
        launched_plane(_files(provider, shop, database), environment=secrets, options=options) as plane,
    ):
        yield World(plane, provider, shop, folder)
