"""Names and ids beyond what OpenAI takes: sent in another form, kept in pairs, and told back."""

import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES
from penstock.kit.obligations import merge
from penstock.kit.transform import Transform
from services.router.obliged.passage import Screened
from services.router.passage import Passage, Terms, passage
from services.router.protocols.fitted import fitted
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Tool, ToolChoice, Turn
from services.router.protocols.protocol import Shape, Target
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser

LONG = "mcp__" + "a" * 80
LONG_ID = "toolu_" + "b" * 60
REQUEST = {
    "model": "m",
    "max_tokens": 9,
    "tools": [{"name": LONG, "input_schema": {"type": "object"}}, {"name": "plain", "input_schema": {}}],
    "tool_choice": {"type": "tool", "name": LONG},
    "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": LONG_ID, "name": LONG, "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": LONG_ID, "content": "done"}]},
    ],
}


def road(surface: str, wire: str) -> Passage:
    body = PROTOCOLS[surface].read(msgspec.json.encode(REQUEST))
    shape, target = Shape("m", "id", 0), Target("up", "e", streamed=True)
    return passage(PROTOCOLS, surface, (wire,), body, target, shape, Terms("report"))


def answer(name: str) -> bytes:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return msgspec.json.encode(
        {"id": "x", "model": "up", "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    )


def redacted(way: Passage) -> Passage:
    surface, wire = PROTOCOLS[ANTHROPIC_MESSAGES], PROTOCOLS[OPENAI_CHAT]
    return Screened(way, surface, wire, Shape("m", "id", 0), Transform(merge(["redact_output:all"])))


@pytest.mark.parametrize("around", [lambda way: way, redacted], ids=["alone", "redacted"])
def test_a_long_name_is_sent_short_and_told_back_whole_and_streamed(around: Callable[[Passage], Passage]) -> None:
    way = around(road(ANTHROPIC_MESSAGES, OPENAI_CHAT))
    sent = msgspec.json.decode(way.request())
    short = sent["tools"][0]["function"]["name"]
    assert re.fullmatch(r"mcp__a{48}_[0-9a-f]{10}", short)
    assert sent["tools"][1]["function"]["name"] == "plain"
    assert sent["tool_choice"]["function"]["name"] == short
    (call,) = sent["messages"][1]["tool_calls"]
    assert call["function"]["name"] == short
    assert (len(call["id"]), sent["messages"][2]["tool_call_id"]) == (40, call["id"])
    assert [(loss.field, loss.grave) for loss in way.losses.all] == [
        ("tools.0.name", False),
        ("messages.1", False),
        ("messages.2", False),
    ]
    whole, _ = way.answer(answer(short))
    assert msgspec.json.decode(whole)["content"][0]["name"] == LONG
    delta = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": short, "arguments": "{}"}}]}
    stream = b"".join(
        b"data: "
        + msgspec.json.encode({"id": "x", "choices": [{"index": 0, "delta": piece, "finish_reason": end}]})
        + b"\n\n"
        for piece, end in ((delta, None), ({}, "tool_calls"))
    )
    conveyor = way.conveyor()
    shown = b"".join([conveyor.read(event)[1] for event in SseParser(10_000).feed(stream)]) + conveyor.end()
    assert b'"name":"%b"' % LONG.encode() in shown
    assert short.encode() not in shown


def test_responses_takes_longer_ids_and_names_of_the_same_length() -> None:
    sent = msgspec.json.decode(road(ANTHROPIC_MESSAGES, OPENAI_RESPONSES).request())
    assert len(sent["tools"][0]["name"]) == 64
    calls = [item for item in sent["input"] if "call_id" in item]
    assert [len(item["call_id"]) for item in calls] == [64, 64]
    assert calls[0]["call_id"] == calls[1]["call_id"]


def test_on_the_diagonal_nothing_changes() -> None:
    sent = msgspec.json.decode(road(ANTHROPIC_MESSAGES, ANTHROPIC_MESSAGES).request())
    assert (sent["tools"], sent["messages"]) == (REQUEST["tools"], REQUEST["messages"])


@pytest.mark.parametrize("wire", [ANTHROPIC_MESSAGES, GEMINI_GENERATE])
def test_other_providers_have_rules_of_their_own(wire: str) -> None:
    prompt = Prompt(origin=OPENAI_CHAT, turns=(), tools=(Tool(LONG),))
    assert fitted(prompt, wire, Losses()) == (prompt, {})


def test_what_fits_is_the_same_prompt() -> None:
    turns = (Turn("assistant", (ToolCall("c" * 40, "f", "{}"), Text("x"))), Turn("tool", (ToolResult("c" * 40),)))
    prompt = Prompt(origin=ANTHROPIC_MESSAGES, turns=turns, tools=(Tool("f" * 64),))
    losses = Losses()
    assert fitted(prompt, OPENAI_CHAT, losses)[0] is prompt
    assert losses.all == ()


@given(
    st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=8),
    st.sampled_from([OPENAI_CHAT, OPENAI_RESPONSES]),
)
def test_every_name_is_legal_and_every_name_comes_back(names: list[str], wire: str) -> None:
    choice = ToolChoice("named", names[0]) if names else None
    calls = tuple(ToolCall(name, name) for name in names)
    results = tuple(ToolResult(name, name=name) for name in names)
    prompt = Prompt(
        origin=GEMINI_GENERATE,
        turns=(Turn("assistant", calls), Turn("tool", results)),
        tools=tuple(Tool(name) for name in names),
        tool_choice=choice,
    )
    made, back = fitted(prompt, wire, Losses())
    sent = [tool.name for tool in made.tools if isinstance(tool, Tool)]
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in sent)
    assert [back.get(name, name) for name in sent] == names
    asked = [part for part in made.turns[0].parts if isinstance(part, ToolCall)]
    given = [part for part in made.turns[1].parts if isinstance(part, ToolResult)]
    assert [call.name for call in asked] == sent
    assert [call.id for call in asked] == [result.call for result in given]
    assert len({call.id for call in asked}) == len(names)
