"""What the router wants of every provider, over all of them: the OpenAI wire against a server, and the script."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from penstock.contracts.llm import OPENAI_CHAT, OPENAI_EMBEDDINGS, Usage
from services.router.attempts.watch import Watch
from services.router.embeddings import read as read_embeddings
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Deployment, Kind, Timeouts
from services.router.models.script import Call, Counts, Fail, Rule, Script, When
from services.router.protocols.openai_chat.tap import ChatTap, read_told
from services.router.protocols.protocol import Sort
from services.router.providers.hosted import Hosted
from services.router.providers.http import Http
from services.router.providers.provider import Ask, Provider
from services.router.providers.scripted import Scripted
from services.router.sse import SseParser
from tests.support.deployments import deployment
from tests.support.model_server import ModelServer, calls, hang, model_server, plain, status, streamed

SHORT = Timeouts(headers_s=0.2, first_content_s=0.3, idle_s=0.2, total_s=0.5)


@dataclass
class Party:
    """A provider and how to make it answer."""

    provider: Provider
    deployment: Deployment

    def ask(self, about: str, kind: Kind = "chat", **more: object) -> Ask:
        body = {"model": self.deployment.model, "messages": [{"role": "user", "content": about}]} | more
        return self.raw(msgspec.json.encode(body), kind)

    def raw(self, body: bytes, kind: Kind) -> Ask:
        loop = asyncio.get_running_loop()
        protocol = OPENAI_EMBEDDINGS if kind == "embeddings" else OPENAI_CHAT
        return Ask(self.deployment, body, Watch(SHORT, loop.time() + 10.0, loop), protocol)


COUNTS = Counts(input=100, output=5, cached=80)
SCRIPT = Script(
    [
        Rule(When(contains="hello"), say=["Hel", "lo"], usage=COUNTS),
        Rule(When(contains="tool"), calls=[Call("f", {"a": 1})]),
        Rule(When(contains="limit"), fail=Fail(status=429, retry_after_s=7)),
        Rule(When(contains="key"), fail=Fail(status=401)),
        Rule(When(contains="broken"), fail=Fail(status=500)),
        Rule(When(contains="silent"), fail=Fail(how="hang")),
    ],
    embedding_dimensions=4,
)


def set_up(server: ModelServer, about: str) -> None:
    replies = {
        "hello": streamed("Hel", "lo", prompt=100, output=5, cached=80),
        "hello whole": plain("Hello", prompt=100, output=5, cached=80),
        "tool": calls("f", '{"a":1}'),
        "limit": status(429, retry_after="7"),
        "key": status(401),
        "broken": status(500),
        "silent": hang(),
    }
    server.script(replies[about])


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as server:
        yield server


@pytest.fixture(params=["openai", "scripted"])
async def party(request: pytest.FixtureRequest, server: ModelServer) -> AsyncIterator[Party]:
    if request.param == "scripted":
        yield Party(Scripted(), deployment(provider="scripted", script=SCRIPT))
        return
    http = Http(connect_timeout_s=1.0, keep_alive_s=5.0)
    yield Party(Hosted(http, response_max_bytes=100_000), deployment(base_url=server.url))
    await http.close()


async def everything(party: Party, ask: Ask, *, strip: bool = True) -> tuple[list[Sort], ChatTap, bytes]:
    tap, parser = ChatTap(strip_usage=strip), SseParser(100_000)
    sorts, seen = [], b""
    async with ask.watch, party.provider.stream(ask) as pieces:
        async for piece in pieces:
            for event in parser.feed(piece):
                sort, raw = tap.read(event)
                sorts.append(sort)
                seen += raw
    return sorts, tap, seen


async def test_a_whole_answer(party: Party, server: ModelServer) -> None:
    set_up(server, "hello whole")
    ask = party.ask("hello")
    async with ask.watch:
        told = read_told(await party.provider.whole(ask))
    assert told.usage == Usage(uncached=20, cache_read=80, output=5)
    assert told.finish == "stop"


async def test_a_streamed_answer_begins_with_a_role_and_ends_with_done(party: Party, server: ModelServer) -> None:
    set_up(server, "hello")
    sorts, tap, _ = await everything(party, party.ask("hello", stream=True, stream_options={"include_usage": True}))
    assert sorts == [Sort.START, Sort.CONTENT, Sort.CONTENT, Sort.CONTENT, Sort.USAGE, Sort.DONE]
    assert tap.told.usage == Usage(uncached=20, cache_read=80, output=5)
    assert (tap.told.finish, tap.done) == ("stop", True)


async def test_a_stream_whose_usage_was_not_asked_for_has_none(party: Party, server: ModelServer) -> None:
    set_up(server, "hello")
    sorts, tap, _ = await everything(party, party.ask("hello", stream=True))
    assert Sort.USAGE not in sorts
    assert tap.told.usage is None


async def test_a_streamed_tool_call_comes_whole(party: Party, server: ModelServer) -> None:
    set_up(server, "tool")
    _, tap, seen = await everything(party, party.ask("tool", stream=True))
    arguments, name = "", ""
    for event in SseParser(100_000).feed(seen):
        if event.data and event.data != b"[DONE]":
            for choice in msgspec.json.decode(event.data, type=_Chunk).choices:
                for call in choice.delta.tool_calls:
                    arguments += call.function.arguments
                    name += call.function.name
    assert (name, arguments, tap.told.finish) == ("f", '{"a":1}', "tool_calls")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("about", "kind", "retry_after_s"),
    [("limit", FaultKind.RATE, 7.0), ("key", FaultKind.KEY, 0.0), ("broken", FaultKind.TRANSIENT, 0.0)],
)
async def test_a_refusal_is_a_fault_of_its_kind(
    party: Party, server: ModelServer, about: str, kind: FaultKind, retry_after_s: float, streamed: bool
) -> None:
    set_up(server, about)
    ask = party.ask(about, stream=streamed)
    with pytest.raises(Fault) as caught:
        if streamed:
            await everything(party, ask)
        else:
            async with ask.watch:
                await party.provider.whole(ask)
    assert (caught.value.kind, caught.value.retry_after_s) == (kind, retry_after_s)


@pytest.mark.parametrize("streamed", [False, True])
async def test_silence_ends_with_a_timeout(party: Party, server: ModelServer, streamed: bool) -> None:
    set_up(server, "silent")
    ask = party.ask("silent", stream=streamed)
    with pytest.raises(Fault) as caught:
        if streamed:
            await everything(party, ask)
        else:
            async with ask.watch:
                await party.provider.whole(ask)
    assert caught.value.kind is FaultKind.TIMEOUT


async def test_embeddings_are_one_vector_per_text(party: Party) -> None:
    ask = party.raw(b'{"model":"m","input":["one","two words"]}', "embeddings")
    async with ask.watch:
        vectors, told = read_embeddings(await party.provider.whole(ask), 2)
    assert [len(vector) for vector in vectors] == [4, 4]
    assert told.usage is not None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function


class _Delta(msgspec.Struct):
    tool_calls: list[_Call] = []


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
