"""Every surface over every provider's protocol: what goes through is the same at the other end, or it is said."""

from collections.abc import Iterator
from itertools import product

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.answer import Answer, Begun, Ended, Finish, Finished, Grown, Opened, Piece
from services.router.protocols.fold import Fold, fold, unfold
from services.router.protocols.loss import Losses
from services.router.protocols.part import (
    CacheMark,
    Media,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from services.router.protocols.prompt import (
    Format,
    Prompt,
    Reasoning,
    Sampling,
    ServerTool,
    Tool,
    ToolChoice,
    Turn,
)
from services.router.protocols.protocol import Protocol, Shape, Target
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser
from tests.services.router.protocols.neutral import answers, prompts

unhurried = settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
pairs = pytest.mark.parametrize(("surface", "wire"), list(product(PROTOCOLS, PROTOCOLS)))
SHAPE = Shape("m", "id-1", 1_790_000_000, wants_usage=True)
TARGET = Target("model-1", "here", streamed=False)


def read_prompt(protocol: Protocol, raw: bytes) -> Prompt:
    return protocol.read(raw, "model-1").prompt()


def meant(prompt: Prompt) -> Prompt:
    """Without what means the same: whose words they are, proofs that only one endpoint honours (the router strips and
    notes those by itself), how arguments are spelled, what kind of thing an address or a file leads to, and the name
    of a schema."""
    wanted = prompt.format
    return msgspec.structs.replace(
        prompt,
        origin="",
        turns=tuple(Turn(turn.role, tuple(_meant(part) for part in turn.parts), turn.name) for turn in prompt.turns),
        tool_choice=None if prompt.tool_choice == ToolChoice("auto") else prompt.tool_choice,
        format=None if wanted is None else Format(wanted.kind, schema=wanted.schema),
    )


def _meant(part: Part) -> Part:
    match part:
        case ToolCall():
            arguments = msgspec.json.encode(msgspec.json.decode(part.arguments)).decode()
            return msgspec.structs.replace(part, signature="", arguments=arguments)
        case Refusal():
            return Text(part.text)
        case Media() if part.url or part.file:
            return Media("document", url=part.url, file=part.file)
    return part


def said(prompt: Prompt) -> bool:
    """No text is only white space, which Anthropic refuses."""
    texts = [part for turn in prompt.turns for part in turn.parts if isinstance(part, Text)]
    given = [part for turn in prompt.turns for one in turn.parts if isinstance(one, ToolResult) for part in one.parts]
    return all(part.text.strip() for part in [*texts, *given] if isinstance(part, Text))


def calls_of(prompt: Prompt) -> list[tuple[str, str]]:
    return [(part.id, part.name) for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)]


def results_of(prompt: Prompt) -> list[tuple[str, str]]:
    return [(part.call, part.name) for turn in prompt.turns for part in turn.parts if isinstance(part, ToolResult)]


def across_whole(answer: Answer, wire: Protocol, surface: Protocol) -> Answer:
    """What a caller reads of an answer that the provider gave."""
    read, _ = wire.read_answer(wire.write_answer(answer, SHAPE, Losses()))
    return surface.read_answer(surface.write_answer(read, SHAPE, Losses()))[0]


def streamed(answer: Answer, protocol: Protocol) -> bytes:
    writer = protocol.writer(SHAPE, Losses())
    return b"".join([writer.write(piece) for piece in unfold(answer)]) + writer.end()


def across_streamed(answer: Answer, wire: Protocol, surface: Protocol) -> Answer:
    """The same of a stream, piece by piece as the router passes it on."""
    reader, writer = wire.reader(), surface.writer(SHAPE, Losses())
    sent = b""
    for event in SseParser(10_000_000).feed(streamed(answer, wire)):
        sent += b"".join([writer.write(piece) for piece in reader.read(event)[1]])
    sent += b"".join([writer.write(piece) for piece in reader.end()]) + writer.end()
    return read_stream(sent, surface)


def read_stream(raw: bytes, protocol: Protocol) -> Answer:
    reader, folding = protocol.reader(), Fold()
    for event in SseParser(10_000_000).feed(raw):
        for piece in reader.read(event)[1]:
            folding.take(piece)
    for piece in reader.end():
        folding.take(piece)
    return folding.answer


@pairs
@unhurried
@given(prompt=prompts(OPENAI_CHAT))
def test_a_request_that_every_protocol_can_carry_arrives_as_it_was_meant(
    surface: str, wire: str, prompt: Prompt
) -> None:
    assume(said(prompt))
    caller, provider = PROTOCOLS[surface], PROTOCOLS[wire]
    asked = read_prompt(caller, caller.write_prompt(msgspec.structs.replace(prompt, origin=surface), TARGET, Losses()))
    losses = Losses()
    arrived = read_prompt(provider, provider.write_prompt(asked, TARGET, losses))
    assert losses.all == ()
    assert meant(arrived) == meant(asked) == meant(prompt)


@pairs
@unhurried
@given(prompt=prompts(OPENAI_CHAT))
def test_lesson_10_every_call_keeps_its_id_its_name_and_its_result(surface: str, wire: str, prompt: Prompt) -> None:
    caller, provider = PROTOCOLS[surface], PROTOCOLS[wire]
    asked = read_prompt(caller, caller.write_prompt(msgspec.structs.replace(prompt, origin=surface), TARGET, Losses()))
    arrived = read_prompt(provider, provider.write_prompt(asked, TARGET, Losses()))
    assert calls_of(arrived) == calls_of(prompt)
    assert sorted(results_of(arrived)) == sorted(results_of(prompt))
    assert {call for call, _ in results_of(arrived)} == {id for id, _ in calls_of(arrived)}


@pairs
@unhurried
@given(answer=answers())
def test_an_answer_comes_back_with_its_words_its_calls_and_its_count(surface: str, wire: str, answer: Answer) -> None:
    whole = across_whole(answer, PROTOCOLS[wire], PROTOCOLS[surface])
    assert whole.choices == answer.choices
    assert whole.usage is not None and answer.usage is not None
    assert (whole.usage.input, whole.usage.output) == (answer.usage.input, answer.usage.output)
    assert (whole.usage.cache_read, whole.usage.reasoning) == (answer.usage.cache_read, answer.usage.reasoning)


@pairs
@unhurried
@given(answer=answers())
def test_an_answer_is_the_same_streamed_and_not(surface: str, wire: str, answer: Answer) -> None:
    whole = across_whole(answer, PROTOCOLS[wire], PROTOCOLS[surface])
    flowing = across_streamed(answer, PROTOCOLS[wire], PROTOCOLS[surface])
    assert (flowing.choices, flowing.usage) == (whole.choices, whole.usage)


@pairs
@unhurried
@given(answer=answers())
def test_lesson_8_the_reason_is_tools_if_and_only_if_a_tool_is_called(surface: str, wire: str, answer: Answer) -> None:
    """Whatever the provider's word was: here it is wrong on purpose."""
    lying = msgspec.structs.replace(
        answer, choices=tuple(msgspec.structs.replace(choice, finish=Finish.STOP) for choice in answer.choices)
    )
    for told in (across_whole, across_streamed):
        for choice in told(lying, PROTOCOLS[wire], PROTOCOLS[surface]).choices:
            called = any(isinstance(part, ToolCall) for part in choice.parts)
            assert called is (choice.finish is Finish.TOOLS)


@pairs
def test_lesson_9_arguments_streamed_in_pieces_in_turns_or_at_once_arrive_whole(surface: str, wire: str) -> None:
    given_up = '{"q":"' + "é" * 40 + '","n":[1,2,{"x":null}]}'
    parts = (
        Text("so"),
        ToolCall("call_a", "f", given_up),
        ToolCall("call_b", "g", "{}"),
        ToolCall("call_c", "h", "{}"),
    )
    reader, writer = PROTOCOLS[wire].reader(), PROTOCOLS[surface].writer(SHAPE, Losses())
    raw = streamed_in_pieces(parts, PROTOCOLS[wire])
    sent = b""
    for event in SseParser(10_000_000).feed(raw):
        sent += b"".join([writer.write(piece) for piece in reader.read(event)[1]])
    sent += b"".join([writer.write(piece) for piece in reader.end()]) + writer.end()
    (choice,) = read_stream(sent, PROTOCOLS[surface]).choices
    assert choice.parts == parts
    assert choice.finish is Finish.TOOLS


def streamed_in_pieces(parts: tuple[Text | ToolCall, ...], protocol: Protocol) -> bytes:
    """Arguments of seven characters each, the calls in turns."""
    pieces: list[Piece] = [Opened("id-1", "m")]
    for number, part in enumerate(parts):
        empty = msgspec.structs.replace(part, arguments="") if isinstance(part, ToolCall) else part
        pieces.append(Begun(empty, number))
        if isinstance(part, Text):
            pieces.append(Ended(number))
    longest = max(len(part.arguments) for part in parts if isinstance(part, ToolCall))
    for start in range(0, longest, 7):
        for number, part in enumerate(parts):
            if isinstance(part, ToolCall) and (grown := part.arguments[start : start + 7]):
                pieces.append(Grown(number, arguments=grown))
    pieces += [Ended(number) for number, part in enumerate(parts) if isinstance(part, ToolCall)]
    pieces.append(Finished(Finish.TOOLS))
    assert fold(pieces).choices[0].parts == parts
    writer = protocol.writer(SHAPE, Losses())
    return b"".join([writer.write(piece) for piece in pieces]) + writer.end()


RAW = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}')
HI = Turn("user", (Text("hi"),))
ASKED = Turn("assistant", (ToolCall("call_1", "look", "{}"),))
TOOL = Tool("look", "looks", RAW)


def features(origin: str) -> Iterator[tuple[str, Prompt, bool]]:
    """One thing each that not every protocol can say, and whether it changes what the answer means."""

    def one(name: str, grave: bool, *turns: Turn, **fields: object) -> tuple[str, Prompt, bool]:
        return (
            name,
            msgspec.structs.replace(Prompt(origin=origin, turns=turns or (HI,), output_tokens=9), **fields),
            grave,
        )

    def user(*parts: Text | Media | Opaque) -> Turn:
        return Turn("user", (Text("see"), *parts))

    def result(*parts: Text | Media, **more: object) -> Turn:
        return Turn("tool", (msgspec.structs.replace(ToolResult("call_1", parts, "look"), **more),))

    yield one("image by address", True, user(Media("image", url="https://x.example/y.png")))
    yield one("image kept elsewhere", True, user(Media("image", file="file-1")))
    yield one("sound", True, user(Media("audio", "audio/wav", "UklGRg==")))
    yield one("video", True, user(Media("video", "video/mp4", "AAAA")))
    yield one("document", True, user(Media("document", "application/pdf", "JVBERi0=")))
    yield one("name of a file", False, user(Media("document", "application/pdf", "JVBERi0=", name="a.pdf")))
    yield one("document by address", True, user(Media("document", url="https://x.example/y.pdf")))
    yield one("opaque part", True, user(Opaque(origin, "strange", RAW)))
    yield one("image from a tool", False, HI, ASKED, result(Media("image", "image/png", "iVBORw0KGgo=")), HI)
    yield one("failed tool", False, HI, ASKED, result(Text("no"), failed=True), HI, tools=(TOOL,))
    yield one("cache mark", False, Turn("user", (Text("a", CacheMark("1h")),)))
    yield one("name of a speaker", False, Turn("user", (Text("a"),), "alice"))
    yield one("system in between", False, HI, Turn("assistant", (Text("a"),)), Turn("system", (Text("b"),)), HI)
    yield one("thoughts", False, HI, Turn("assistant", (Thinking("hm", "c2ln"), Text("a"))), HI)
    yield one("refusal", False, HI, Turn("assistant", (Refusal("no"),)), HI)
    yield one(
        "signed call",
        False,
        HI,
        Turn("assistant", (ToolCall("call_1", "look", "{}", signature="c2ln"),)),
        result(Text("x")),
        HI,
    )
    yield one("server tool", True, tools=(ServerTool(origin, "web_search", RAW),))
    yield one("custom tool", True, tools=(Tool("sh", "runs", custom=True),))
    yield one("strict tool", False, tools=(Tool("f", "d", RAW, True),))
    yield one("named tool", True, tools=(TOOL,), tool_choice=ToolChoice("named", "look"))
    yield one("required tool", True, tools=(TOOL,), tool_choice=ToolChoice("required"))
    yield one("no tool", True, tools=(TOOL,), tool_choice=ToolChoice("none"))
    yield one("one tool at a time", False, tools=(TOOL,), tool_choice=ToolChoice("auto", parallel=False))
    yield one("schema", True, format=Format("schema", "out", RAW, True))
    yield one("json", True, format=Format("json"))
    yield one("stop", True, stop=("END", "STOP"))
    yield one("several answers", True, choices=2)
    yield one("effort", False, reasoning=Reasoning("xhigh"))
    yield one("budget of thoughts", False, reasoning=Reasoning(budget_tokens=5000, shown=True))
    yield one("temperature", False, sampling=Sampling(temperature=0.5, top_p=0.25))
    yield one("top k", False, sampling=Sampling(top_k=40))
    yield one("seed and penalties", False, sampling=Sampling(seed=5, presence_penalty=0.5, frequency_penalty=0.25))
    yield one("logprobs", False, sampling=Sampling(logprobs=True, top_logprobs=2))
    yield one("user", False, user="u-1")
    yield one("cache key", False, cache_key="k")
    yield one("service tier", False, service_tier="flex")
    yield one("unknown field", False, extras={"x_new": msgspec.Raw(b"1")})


FEATURES = [
    (surface, wire, name, prompt, grave)
    for surface, wire in product(PROTOCOLS, PROTOCOLS)
    for name, prompt, grave in features(surface)
    if surface != wire
]


@pytest.mark.parametrize(
    ("surface", "wire", "name", "prompt", "grave"), FEATURES, ids=["-".join(case[:3]) for case in FEATURES]
)
def test_lesson_13_and_14_what_is_not_carried_is_noted_and_what_matters_is_grave(
    surface: str, wire: str, name: str, prompt: Prompt, grave: bool
) -> None:
    losses = Losses()
    provider = PROTOCOLS[wire]
    arrived = read_prompt(provider, provider.write_prompt(prompt, TARGET, losses))
    if meant(arrived) != meant(prompt):
        assert losses.all
        assert losses.gravest is not None or not grave
