"""Every surface over every provider's wire, against providers written from their documentation alone."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES, Usage
from services.router.attempts.watch import Watch
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Timeouts
from services.router.passage import Passage, Terms, passage
from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.fold import Fold
from services.router.protocols.loss import Losses
from services.router.protocols.part import Media, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Format, Prompt, Tool, ToolChoice, Turn
from services.router.protocols.protocol import Shape, Target
from services.router.protocols.table import PROTOCOLS
from services.router.providers.hosted import Hosted
from services.router.providers.http import Http
from services.router.providers.provider import Ask
from services.router.sse import SseParser
from tests.support.deployments import deployment
from tests.support.providers.scene import SIGNATURE
from tests.support.providers.server import KEY, Providers, providers

SURFACES = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI_GENERATE)
BASES = {OPENAI_CHAT: "/v1", OPENAI_RESPONSES: "/v1", ANTHROPIC_MESSAGES: "", GEMINI_GENERATE: ""}
PROVIDERS = {
    OPENAI_CHAT: "openai",
    OPENAI_RESPONSES: "openai",
    ANTHROPIC_MESSAGES: "anthropic",
    GEMINI_GENERATE: "gemini",
}
SHAPE = Shape("model", "id_of_ours", 1_790_000_000, wants_usage=True)
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
WEATHER = Tool("weather", "The weather of a city.", SCHEMA)

every_pair = [
    pytest.mark.parametrize("wire", SURFACES),
    pytest.mark.parametrize("surface", SURFACES),
    pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"]),
]


@pytest.fixture
async def server() -> AsyncIterator[Providers]:
    async with providers() as running:
        yield running


class Road:
    """One surface over one wire."""

    def __init__(self, server: Providers, surface: str, wire: str, streamed: bool) -> None:
        self.server = server
        self.surface = PROTOCOLS[surface]
        self.wire = wire
        self.streamed = streamed
        self.deployment = deployment(
            provider=PROVIDERS[wire], base_url=server.url + BASES[wire], key=KEY, protocols=(wire,)
        )
        self.losses = Losses()

    def way(self, prompt: Prompt, terms: str) -> Passage:
        """The caller writes its request in its own protocol."""
        target = Target("model", "endpoint", streamed=self.streamed)
        written = self.surface.write_prompt(prompt, target, Losses())
        body = self.surface.read(written, "model")
        target = Target("model", "endpoint", streamed=self.streamed)
        return passage(PROTOCOLS, self.surface.name, (self.wire,), body, target, SHAPE, Terms(terms))

    async def ask(self, prompt: Prompt, terms: str = "report") -> Answer:
        """The answer as the caller reads it."""
        way = self.way(prompt, terms)
        loop = asyncio.get_running_loop()
        http = Http(connect_timeout_s=2, keep_alive_s=1)
        hosted = Hosted(http, response_max_bytes=10_000_000)
        try:
            async with Watch(Timeouts(), loop.time() + 20, loop) as watch:
                ask = Ask(self.deployment, way.request(), watch, way.wire)
                answer = await (self._streamed(hosted, ask, way) if self.streamed else self._whole(hosted, ask, way))
        finally:
            await http.close()
        self.losses = way.losses
        return answer

    async def _whole(self, hosted: Hosted, ask: Ask, way: Passage) -> Answer:
        raw, _ = way.answer(await hosted.whole(ask))
        return self.surface.read_answer(raw)[0]

    async def _streamed(self, hosted: Hosted, ask: Ask, way: Passage) -> Answer:
        conveyor, parser = way.conveyor(), SseParser(1_000_000)
        text = b""
        async with hosted.stream(ask) as pieces:
            async for piece in pieces:
                for event in parser.feed(piece):
                    text += conveyor.read(event)[1]
        for event in parser.finish():
            text += conveyor.read(event)[1]
        assert conveyor.whole
        return self.read(text + conveyor.end())

    def read(self, text: bytes) -> Answer:
        """A stream as the caller's own SDK would gather it."""
        reader, parser, folding = self.surface.reader(), SseParser(1_000_000), Fold()
        for event in (*parser.feed(text), *parser.finish()):
            for piece in reader.read(event)[1]:
                folding.take(piece)
        for piece in reader.end():
            folding.take(piece)
        return folding.answer


def prompt(*turns: Turn, tools: tuple[Tool, ...] = (), **more: object) -> Prompt:
    made = Prompt(origin="", turns=turns, tools=tools, output_tokens=500)
    return msgspec.structs.replace(made, **more)


def user(words: str) -> Turn:
    return Turn("user", (Text(words),))


def text_of(answer: Answer) -> str:
    return "".join(part.text for part in answer.choices[0].parts if isinstance(part, Text))


def calls_of(answer: Answer) -> list[tuple[str, str, object]]:
    parts = answer.choices[0].parts
    return [(part.id, part.name, json.loads(part.arguments)) for part in parts if isinstance(part, ToolCall)]


@every_pair[0]
@every_pair[1]
@every_pair[2]
class TestEveryPair:
    """Surface by wire, whole and streamed."""

    @pytest.fixture
    def road(self, server: Providers, surface: str, wire: str, streamed: bool) -> Road:
        return Road(server, surface, wire, streamed)

    async def test_words_come_back_with_what_they_took(self, road: Road) -> None:
        answer = await road.ask(prompt(Turn("system", (Text("Be brief."),)), user("Say hello.")))
        assert answer.choices == (Choice((Text("Hello, wörld 🌍."),), Finish.STOP),)
        assert answer.usage == Usage(uncached=60, cache_read=40, output=20)
        (request,) = road.server.received
        assert (request.wire, request.seen.system, request.seen.words) == (road.wire, "Be brief.", "Say hello.")
        assert request.seen.output_tokens == 500

    async def test_parallel_tools_are_called_and_their_results_told(self, road: Road) -> None:
        asked = prompt(user("The weather, both please."), tools=(WEATHER,))
        answer = await road.ask(asked)
        assert answer.choices[0].finish is Finish.TOOLS
        assert text_of(answer) == "I will look."
        calls = calls_of(answer)
        assert [(name, arguments) for _, name, arguments in calls] == [
            ("weather", {"city": "Paris"}),
            ("weather", {"city": "Oslo", "days": [1, 2]}),
        ]
        assert len({id for id, _, _ in calls}) == 2
        parts = tuple(part for part in answer.choices[0].parts if not isinstance(part, Thinking))
        results = (
            ToolResult(calls[1][0], (Text("cold"),), "weather"),
            ToolResult(calls[0][0], (Text("mild"),), "weather"),
        )
        after = await road.ask(prompt(*asked.turns, Turn("assistant", parts), Turn("tool", results), tools=(WEATHER,)))
        assert (text_of(after), after.choices[0].finish) == ("The tools said: cold and mild", Finish.STOP)
        assert road.server.received[-1].seen.turns == [
            "user: The weather, both please.",
            "assistant: I will look.",
            'call weather {"city": "Paris"}',
            'call weather {"city": "Oslo", "days": [1, 2]}',
            "result cold",
            "result mild",
        ]

    async def test_an_answer_keeps_to_a_schema(self, road: Road) -> None:
        answer = await road.ask(prompt(user("A city."), format=Format("schema", "city", SCHEMA, True)))
        assert json.loads(text_of(answer)) == {"city": "Paris"}
        seen = road.server.received[0].seen.schema
        assert seen is not None
        assert seen["properties"] == {"city": {"type": "string"}}

    async def test_an_image_arrives_undecoded(self, road: Road) -> None:
        data = base64.b64encode(bytes(range(256)) * 4).decode()
        parts = (Text("What is this?"), Media("image", "image/png", data))
        answer = await road.ask(prompt(Turn("user", parts)))
        assert text_of(answer) == f"I see 1 image of {len(data)} characters."

    async def test_a_cut_answer_says_so(self, road: Road) -> None:
        answer = await road.ask(prompt(user("A long one.")))
        assert (text_of(answer), answer.choices[0].finish) == ("And then", Finish.LENGTH)

    @pytest.mark.parametrize(
        ("words", "kind"),
        [
            ("fail 400", FaultKind.CALLER),
            ("fail 401", FaultKind.KEY),
            ("fail 404", FaultKind.MISSING),
            ("fail 429", FaultKind.RATE),
            ("fail 500", FaultKind.TRANSIENT),
            ("fail 529", FaultKind.TRANSIENT),
        ],
    )
    async def test_errors_keep_their_kind(self, road: Road, words: str, kind: FaultKind) -> None:
        with pytest.raises(Fault) as caught:
            await road.ask(prompt(user(words)))
        assert caught.value.kind is kind

    async def test_a_tool_that_must_be_used_is_said(self, road: Road) -> None:
        choice = ToolChoice("named", "weather", parallel=False)
        answer = await road.ask(prompt(user("The weather."), tools=(WEATHER,), tool_choice=choice))
        assert calls_of(answer)[0][1:] == ("weather", {"city": "Paris"})
        assert road.server.received[0].seen.tools == ["weather"]

    async def test_thoughts_are_shown_where_both_ends_can(self, road: Road) -> None:
        answer = await road.ask(prompt(user("think")))
        assert text_of(answer) == "Done."
        thoughts = [part for part in answer.choices[0].parts if isinstance(part, Thinking)]
        if road.surface.name == road.wire:
            assert thoughts[0].text == "Let me see."
        if road.surface.name == road.wire in (ANTHROPIC_MESSAGES, GEMINI_GENERATE):
            assert thoughts[0].signature == SIGNATURE
