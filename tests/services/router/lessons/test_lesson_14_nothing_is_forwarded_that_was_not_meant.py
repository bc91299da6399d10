"""A provider gets what it is to get: no header that is not its own, no null and no field that the caller did not write;
on the diagonal what the caller wrote, known or not; effort is never lowered without a word."""

import json

import pytest

from penstock.contracts.errors import Failure
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import SURFACES, WIRES, Step, ask, every_wire, follow, request
from tests.support.model_server import Json

SENT = {
    "authorization": "Bearer psk_of_the_caller",
    "x-api-key": "psk_of_the_caller",
    "x-goog-api-key": "psk_of_the_caller",
    "cookie": "session=1",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "context-1m-2025-08-07",
    "openai-beta": "assistants=v2",
    "openai-organization": "org-1",
    "x-forwarded-for": "10.0.0.1",
    "x-stainless-lang": "python",
    "user-agent": "a client",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
OWN = {
    "openai.chat": {"openai-beta"},
    "openai.responses": {"openai-beta"},
    "anthropic.messages": {"anthropic-version", "anthropic-beta"},
    "gemini.generate": set(),
}
ADDED = {
    "openai.chat": {"model"},
    "openai.responses": {"model"},
    "anthropic.messages": {"model"},
    "gemini.generate": set(),
}
"""Top-level fields that a diagonal request may have more than it had: the name of the deployment's model."""


@pytest.mark.parametrize("wire", WIRES)
async def test_a_provider_gets_its_own_headers_and_no_others(plane: Plane, wire: str) -> None:
    async with every_wire(plane) as server, plane.router():
        for surface in SURFACES:
            await ask(plane, wire, surface, request(surface, [Step("hi")]), headers=SENT)
            got = {name.lower(): value for name, value in server.received[-1].headers.items()}
            assert {name for name in SENT if got.get(name) == SENT[name]} <= OWN[wire]
            assert "psk_of_the_caller" not in json.dumps(got)
            assert not {"cookie", "x-forwarded-for", "traceparent", "openai-organization"} & set(got)
            assert wire == "anthropic.messages" or not any(name.startswith("anthropic") for name in got)


@pytest.mark.parametrize("surface", SURFACES)
async def test_on_the_diagonal_only_the_model_changes(plane: Plane, surface: str) -> None:
    """What nobody here knows stays, at the top and deep inside; what is absent stays absent; a null stays a null."""
    body = request(surface, [Step("hi")], tools=True) | {"x_new": {"deep": [1, None, {"y": 2.50}]}, "x_null": None}
    async with every_wire(plane) as server, plane.router():
        await ask(plane, surface, surface, body)
        whole = server.received[-1].body
        await follow(plane, surface, surface, request(surface, [Step("hi")], streamed=True) | {"x_null": None})
        streamed = server.received[-1].body
    assert {name: value for name, value in whole.items() if name not in ADDED[surface]} == {
        name: value for name, value in body.items() if name not in ADDED[surface]
    }
    assert streamed["x_null"] is None
    assert set(streamed) <= set(request(surface, [Step("hi")], streamed=True)) | {"x_null"} | ADDED[surface]


@pytest.mark.parametrize("wire", WIRES)
async def test_across_protocols_no_null_and_no_empty_field_is_made_up(plane: Plane, wire: str) -> None:
    async with every_wire(plane) as server, plane.router():
        for surface in SURFACES:
            if surface == wire:
                continue
            await ask(plane, wire, surface, request(surface, [Step("hi")]))
            sent = json.dumps(server.received[-1].body)
            assert "null" not in sent, (surface, sent)
            assert "[]" not in sent and "{}" not in sent, (surface, sent)
            assert set(server.received[-1].body) <= PLAIN[wire], surface


PLAIN = {
    "openai.chat": {"model", "messages", "max_completion_tokens", "store"},
    "openai.responses": {"model", "input", "max_output_tokens", "store"},
    "anthropic.messages": {"model", "messages", "max_tokens"},
    "gemini.generate": {"contents", "generationConfig"},
}
"""What a plain question needs, at most, on each wire."""
EFFORT: dict[str, Json] = {
    "openai.chat": {"reasoning_effort": "xhigh"},
    "openai.responses": {"reasoning": {"effort": "xhigh"}},
    "anthropic.messages": {"output_config": {"effort": "max"}},
}


BUDGETS = {"xhigh": 32_768, "max": 65_536}
"""What an effort is to a model that takes tokens for thinking instead."""


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("surface", EFFORT)
async def test_effort_is_passed_on_as_it_is_or_said_to_be_changed(plane: Plane, surface: str, wire: str) -> None:
    word = "max" if surface == "anthropic.messages" else "xhigh"
    async with every_wire(plane) as server, plane.router():
        try:
            answer = await ask(plane, wire, surface, request(surface, [Step("hi")]) | EFFORT[surface])
        except Failure as failure:
            assert "effort" in failure.detail  # refused by name
            return
    sent = json.dumps(server.received[-1].body).lower()
    if not any(honoured in sent for honoured in (f'"{word}"', f'"budget_tokens": {BUDGETS[word]}')):
        assert any("effort" in f"{loss.field} {loss.what}" for loss in answer.served.losses), answer.served.losses


@pytest.mark.parametrize("wire", ["anthropic.messages", "openai.chat"])
async def test_one_message_that_is_a_string_costs_no_other_its_cache_mark(plane: Plane, wire: str) -> None:
    mark = {"type": "ephemeral"}
    body: Json = {
        "model": "m",
        "max_tokens": 50,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "messages": [
            {"role": "user", "content": "plain"},
            {"role": "assistant", "content": "so"},
            {"role": "user", "content": [{"type": "text", "text": "marked", "cache_control": mark}]},
        ],
    }
    async with every_wire(plane) as server, plane.router():
        answer = await ask(plane, wire, "anthropic.messages", body)
    sent = json.dumps(server.received[-1].body)
    if wire == "anthropic.messages":
        assert sent.count('"cache_control": {"type": "ephemeral"}') == 2
    else:
        assert "cache_control" in sent or any("cache" in loss.what for loss in answer.served.losses)
