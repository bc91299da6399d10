"""One usage vector for every provider's way to count, whose parts never overlap: the same streamed and not, in the
record, the price and the caller's own spelling of it."""

import pytest

from penstock.contracts.llm import Usage
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import (
    SURFACES,
    WIRES,
    Heard,
    Step,
    ask,
    both_ways,
    every_wire,
    follow,
    request,
)
from tests.support.model_server import Json, event, events, json
from tests.support.providers.scene import CACHED, INPUT, OUTPUT, REASONED

PLAIN = Usage(uncached=INPUT - CACHED, cache_read=CACHED, output=OUTPUT)
COST_NANO = (INPUT - CACHED) * 2_000 + CACHED * 200 + OUTPUT * 10_000


PRICES: Json = {
    "input_usd_per_mtok": 3,
    "output_usd_per_mtok": 15,
    "cache_read_usd_per_mtok": 0.3,
    "cache_write_usd_per_mtok": 3.75,
    "cache_write_1h_usd_per_mtok": 6,
}


def told(surface: str, heard: Heard) -> tuple[object, object, object]:
    """Input with what the cache gave, that part, and output: from the caller's own usage object."""
    usage: Json = heard.usage
    match surface:
        case "openai.chat":
            return (
                usage["prompt_tokens"],
                inner(usage, "prompt_tokens_details", "cached_tokens"),
                usage["completion_tokens"],
            )
        case "openai.responses":
            return usage["input_tokens"], inner(usage, "input_tokens_details", "cached_tokens"), usage["output_tokens"]
        case "anthropic.messages":
            parts = [
                usage["input_tokens"],
                usage.get("cache_read_input_tokens"),
                usage.get("cache_creation_input_tokens"),
            ]
            return sum(part for part in parts if isinstance(part, int)), parts[1], usage["output_tokens"]
    thoughts = usage.get("thoughtsTokenCount") or 0
    output = usage["candidatesTokenCount"]
    assert isinstance(thoughts, int) and isinstance(output, int)
    return usage["promptTokenCount"], usage.get("cachedContentTokenCount"), output + thoughts


def inner(usage: Json, details: str, name: str) -> object:
    found = usage[details]
    assert isinstance(found, dict)
    return found[name]


@pytest.mark.parametrize("wire", WIRES)
async def test_every_caller_is_told_the_same_count_streamed_and_not_and_so_are_the_books(
    plane: Plane, wire: str
) -> None:
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            for heard in await both_ways(plane, wire, surface, [Step("Say hello.")]):
                assert told(surface, heard) == (INPUT, CACHED, OUTPUT), surface
        outcomes = await plane.outcomes(2 * len(SURFACES))
    assert {outcome.usage for outcome in outcomes} == {PLAIN}
    assert {outcome.cost_nano for outcome in outcomes} == {COST_NANO}
    assert PLAIN.input == INPUT and PLAIN.total == INPUT + OUTPUT


@pytest.mark.parametrize("wire", WIRES)
async def test_thoughts_are_a_part_of_the_output_and_not_besides_it(plane: Plane, wire: str) -> None:
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            for heard in await both_ways(plane, wire, surface, [Step("think")]):
                assert told(surface, heard)[0] == INPUT
        usages = {outcome.usage for outcome in await plane.outcomes(2 * len(SURFACES))}
    assert len(usages) == 1
    (usage,) = usages
    assert usage.total == INPUT + OUTPUT
    assert usage.reasoning in (0, REASONED)
    assert usage.reasoning <= usage.output == OUTPUT


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_both_kinds_of_cache_writes_have_their_own_price(plane: Plane, streamed: bool) -> None:
    plane.deploy("claude", "one", provider="anthropic", price=PRICES)
    plane.deployments["one"]["base_url"] = plane.server.url.removesuffix("/v1")
    usage: Json = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 7,
    }
    whole: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    content = [{"type": "text", "text": "Hi."}]
    started = {
        "type": "message_start",
        "message": {**whole, "content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}},
    }
    stream = [
        started,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    async with plane.router():
        body = request("anthropic.messages", [Step("hi")], streamed=streamed)
        if streamed:
            plane.server.script(events(*map(event, stream)))
            await follow(plane, "claude", "anthropic.messages", body)
        else:
            plane.server.script(json({**whole, "content": content, "stop_reason": "end_turn", "usage": usage}))
            await ask(plane, "claude", "anthropic.messages", body)
        (outcome,) = await plane.outcomes(1)
    assert outcome.usage == Usage(uncached=10, cache_read=100, cache_write=30, cache_write_1h=20, output=7)
    assert outcome.usage.input == 160
    assert outcome.cost_nano == 10 * 3_000 + 100 * 300 + 30 * 3_750 + 20 * 6_000 + 7 * 15_000
