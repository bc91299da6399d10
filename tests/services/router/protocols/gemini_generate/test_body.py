"""Requests of Gemini that pass to a provider of the same protocol."""

import json

import pytest

from penstock.contracts.errors import Code, Failure
from services.router.protocols.gemini_generate import PROTOCOL
from services.router.protocols.protocol import Body, Needs, Target

TARGET = Target("gemini-3-pro", "google", True)


def capped(body: bytes, most: int) -> bytes:
    return PROTOCOL.read(body, "m").for_upstream(Target("m", "e", False, output_tokens_max=most))


def test_the_address_tells_the_model_and_whether_the_answer_is_streamed() -> None:
    body: Body = PROTOCOL.read(b'{"contents": []}', "models/gemini-3-pro", streamed=True)
    assert (body.model, body.streamed) == ("gemini-3-pro", True)
    assert not PROTOCOL.read(b'{"contents": []}', "m").streamed
    assert (body.choices, body.output_tokens, body.wants_usage, body.echo) == (1, 0, True, {})


def test_a_request_passes_byte_for_byte() -> None:
    raw = b'{"contents": [ {"parts":[{"text":"\\u00e9", "new": 1.50}]} ],\n "unknown": null, "system_instruction": {}}'
    assert PROTOCOL.read(raw, "alias").for_upstream(TARGET) == raw


def test_only_a_cap_that_is_too_high_or_missing_is_set() -> None:
    low = b'{"contents":[], "generationConfig":{"maxOutputTokens": 10}}'
    assert capped(low, 50) == low
    high = b'{"contents":[],"generation_config":{"max_output_tokens":"100","new":1.50}}'
    assert capped(high, 50) == b'{"contents":[],"generation_config":{"max_output_tokens":50,"new":1.50}}'
    assert capped(b'{"contents":[]}', 50) == b'{"contents":[],"generationConfig":{"maxOutputTokens":50}}'
    null = b'{"contents":[],"generationConfig":null}'
    assert capped(null, 50) == b'{"contents":[],"generationConfig":{"maxOutputTokens":50}}'


def test_a_cap_that_is_said_twice_is_set_twice() -> None:
    twice = b'{"generationConfig":{"maxOutputTokens":1},"generation_config":{"maxOutputTokens":900}}'
    assert (
        capped(twice, 50) == b'{"generationConfig":{"maxOutputTokens":50},"generation_config":{"maxOutputTokens":50}}'
    )


def test_a_model_in_the_body_is_the_providers() -> None:
    raw = b'{"model":"models/alias","contents":[]}'
    assert PROTOCOL.read(raw, "alias").for_upstream(TARGET) == b'{"model":"models/gemini-3-pro","contents":[]}'


def test_data_in_line_is_no_text() -> None:
    data = "iVBO" * 1000
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}, {"text": "what?"}]
    size = PROTOCOL.read(json.dumps({"contents": [{"parts": parts}]}).encode(), "m").size
    assert size.images == 1
    assert size.text < 150


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({}, Needs()),
        ({"tools": []}, Needs()),
        ({"tools": [{"googleSearch": {}}]}, Needs(tools=True)),
        ({"generationConfig": {"responseSchema": {}}}, Needs(schema=True)),
        ({"generation_config": {"response_json_schema": {}}}, Needs(schema=True)),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, Needs(reasoning=True)),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, Needs()),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, Needs(reasoning=True)),
        ({"contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "x"}}]}]}, Needs(images=True)),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": "x"}}]}]}, Needs(audio=True)),
        (
            {"contents": [{"parts": [{"fileData": {"mimeType": "application/pdf", "fileUri": "x"}}]}]},
            Needs(documents=True),
        ),
    ],
)
def test_what_a_request_needs_is_seen(body: dict[str, object], needs: Needs) -> None:
    assert PROTOCOL.read(json.dumps(body).encode(), "m").needs == needs


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", "the request"),
        (b"[]", "the request"),
        (b"{", "the request"),
        (b'{"contents": "x"}', "contents"),
        (b'{"contents": [], "a": "\xff"}', "the body"),
        (b'{"contents": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the request"),
        (b'{"contents": [], "generationConfig": {"maxOutputTokens": "many"}}', "generationConfig.maxOutputTokens"),
        (b'{"contents": [], "tools": 1}', "tools"),
    ],
)
def test_what_is_no_request_is_refused(raw: bytes, param: str) -> None:
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(raw, "m")
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)


def test_fifty_mebibytes_of_images_and_ten_thousand_tools_pass() -> None:
    image = b'{"inlineData":{"mimeType":"image/png","data":"' + b"iVBO" * (1 << 18) + b'"}}'
    tools = b",".join([b'{"name":"f%d","parameters":{"type":"OBJECT"}}' % number for number in range(10_000)])
    raw = (
        b'{"contents":[{"parts":['
        + b",".join([image] * 50)
        + b']}],"tools":[{"functionDeclarations":['
        + tools
        + b"]}]}"
    )
    body = PROTOCOL.read(raw, "m")
    assert body.size.images == 50
    assert body.size.text < 1_000_000
    assert body.for_upstream(TARGET) is raw
    prompt = body.prompt()
    assert len(prompt.turns[0].parts) == 50
    assert len(prompt.tools) == 10_000


def test_a_schema_without_bottom_is_refused() -> None:
    deep = b'{"type":"OBJECT","items":' * 150 + b"{}" + b"}" * 150
    raw = b'{"tools":[{"functionDeclarations":[{"name":"f","parameters":' + deep + b"}]}]}"
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(raw, "m").prompt()
    assert caught.value.param == "tools.0.functionDeclarations.0.parameters"
