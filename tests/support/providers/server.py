"""All four providers behind one address, each at its documented path and with its own way to show a key."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.providers import anthropic_messages, gemini_generate, openai_chat, openai_responses
from tests.support.providers.scene import Json, Said, Seen, say

KEY = "sk-of-the-provider"
COUNTED = 77
"""What Anthropic counts, whatever it is asked."""


@dataclass
class Request:
    """What came: the path, the headers, the body, and what was understood of it."""

    wire: str
    path: str
    headers: dict[str, str]
    body: Json
    seen: Seen


@dataclass(frozen=True)
class Wire:
    """One provider's wire."""

    name: str
    read: Callable[[Json], Seen]
    whole: Callable[[Said], Json]
    stream: Callable[[Said, bool], Iterator[str]]
    error: Callable[[int, str], Json]
    key_of: Callable[[web.Request], str]


def _bearer(request: web.Request) -> str:
    if request.path.startswith("/openai/"):  # Azure
        return request.headers.get("api-key", "")
    return request.headers.get("authorization", "").removeprefix("Bearer ")


CHAT = Wire("openai.chat", openai_chat.read, openai_chat.whole, openai_chat.stream, openai_chat.error, _bearer)
RESPONSES = Wire(
    "openai.responses",
    openai_responses.read,
    openai_responses.whole,
    openai_responses.stream,
    openai_responses.error,
    _bearer,
)
MESSAGES = Wire(
    "anthropic.messages",
    anthropic_messages.read,
    anthropic_messages.whole,
    anthropic_messages.stream,
    anthropic_messages.error,
    lambda request: request.headers.get("x-api-key", ""),
)
GEMINI = Wire(
    "gemini.generate",
    gemini_generate.read,
    gemini_generate.whole,
    gemini_generate.stream,
    gemini_generate.error,
    lambda request: request.headers.get("x-goog-api-key", ""),
)


@dataclass
class Providers:
    """`url` has no version at its end."""

    url: str
    received: list[Request] = field(default_factory=list)

    async def answer(self, wire: Wire, request: web.Request, streamed: bool | None) -> web.StreamResponse:
        if wire.key_of(request) != KEY:
            return web.json_response(wire.error(401, "no such key"), status=401)
        if wire is MESSAGES and "anthropic-version" not in request.headers:
            return web.json_response(wire.error(400, "anthropic-version: header is required"), status=400)
        body = json.loads(await request.read())
        try:
            seen = wire.read(body)
        except (AssertionError, KeyError, TypeError, IndexError) as error:
            return web.json_response(wire.error(400, f"not of this wire: {error!r}"), status=400)
        seen.streamed = seen.streamed if streamed is None else streamed
        self.received.append(Request(wire.name, request.path_qs, dict(request.headers), body, seen))
        said = say(seen)
        said.number = len(self.received)
        if said.status != 200:
            return web.json_response(wire.error(said.status, said.error), status=said.status)
        if not seen.streamed:
            return web.json_response(wire.whole(said))
        return await _stream(wire, request, said, bool((body.get("stream_options") or {}).get("include_usage")))


async def _stream(wire: Wire, request: web.Request, said: Said, wants_usage: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in wire.stream(said, wants_usage):
        await response.write(event.encode())
        if said.broken and said.pieces[0] in event:
            assert request.transport is not None
            request.transport.abort()
            return response
    await response.write_eof()
    return response


@asynccontextmanager
async def providers() -> AsyncIterator[Providers]:
    """Until the block is left."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    runner = web.AppRunner(app)
    made = Providers("")

    async def chat(request: web.Request) -> web.StreamResponse:
        return await made.answer(CHAT, request, None)

    async def responses(request: web.Request) -> web.StreamResponse:
        return await made.answer(RESPONSES, request, None)

    async def messages(request: web.Request) -> web.StreamResponse:
        return await made.answer(MESSAGES, request, None)

    async def count(request: web.Request) -> web.StreamResponse:
        assert MESSAGES.key_of(request) == KEY
        return web.json_response({"input_tokens": COUNTED})

    async def gemini(request: web.Request) -> web.StreamResponse:
        if request.match_info["verb"] == "countTokens":
            assert GEMINI.key_of(request) == KEY
            assert "contents" in (await request.json())["generateContentRequest"]
            return web.json_response({"totalTokens": COUNTED})
        return await made.answer(GEMINI, request, request.match_info["verb"] == "streamGenerateContent")

    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/responses", responses)
    app.router.add_post("/openai/v1/chat/completions", chat)
    app.router.add_post("/openai/v1/responses", responses)
    app.router.add_post("/v1/messages", messages)
    app.router.add_post("/v1/messages/count_tokens", count)
    app.router.add_post("/v1beta/models/{model}:{verb}", gemini)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()
