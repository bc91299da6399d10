"""Callers of all four protocols, written from their documentation alone: requests, and what is heard of an answer.

Nothing of the router's own protocols is used here: what these readers hear is what clients will.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from penstock.contracts.llm import (
    ANTHROPIC_MESSAGES,
    GEMINI_GENERATE,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    Completion,
    CompletionEnd,
    CompletionRequest,
)
from penstock.contracts.subjects import LLM_COMPLETE, LLM_STREAM
from tests.services.router.conftest import PRICE, QUICK, Plane
from tests.support.providers.server import KEY, Providers, providers

Json = dict[str, object]
SURFACES = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI_GENERATE)
WIRES = SURFACES
PROVIDER = {
    OPENAI_CHAT: "openai_compatible",
    OPENAI_RESPONSES: "openai",
    ANTHROPIC_MESSAGES: "anthropic",
    GEMINI_GENERATE: "gemini",
}
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
}


@dataclass
class Heard:
    """An answer as a client has it. `calls`: id, name, arguments as JSON text. `usage`: the protocol's own object."""

    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    stop: str = ""
    usage: Json = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)

    @property
    def called(self) -> list[tuple[str, object]]:
        """Names and arguments, read."""
        return [(name, json.loads(arguments or "{}")) for _, name, arguments in self.calls]


@dataclass(frozen=True)
class Step:
    """One turn of a conversation, whoever's. `calls`: id, name, arguments; `results`: id, name, words."""

    user: str = ""
    assistant: str = ""
    calls: Sequence[tuple[str, str, Json]] = ()
    results: Sequence[tuple[str, str, str]] = ()


TOOLS_STOP = {
    OPENAI_CHAT: "tool_calls",
    OPENAI_RESPONSES: "function_call",
    ANTHROPIC_MESSAGES: "tool_use",
    GEMINI_GENERATE: "function_call",
}
"""Responses and Gemini say it by what the answer holds: `stop` is made from that."""


# Asking --------------------------------------------------------------------------------------------------------------


def request(surface: str, steps: Sequence[Step], *, tools: bool = False, streamed: bool = False) -> Json:
    """The body of a request."""
    body = _BODIES[surface](steps, tools)
    if surface != GEMINI_GENERATE:
        body |= {"model": "m"}
        if streamed:
            body |= {"stream": True}
    if surface == OPENAI_CHAT and streamed:
        body |= {"stream_options": {"include_usage": True}}
    return body


def _chat(steps: Sequence[Step], tools: bool) -> Json:
    messages: list[Json] = []
    for step in steps:
        if step.user:
            messages.append({"role": "user", "content": step.user})
        if step.assistant or step.calls:
            said: Json = {"role": "assistant", "content": step.assistant or None}
            if step.calls:
                said["tool_calls"] = [
                    {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                    for id, name, given in step.calls
                ]
            messages.append(said)
        messages += [{"role": "tool", "tool_call_id": id, "content": words} for id, _, words in step.results]
    function = {"name": "weather", "description": "looks", "parameters": WEATHER}
    made: Json = {"messages": messages}
    return made | ({"tools": [{"type": "function", "function": function}]} if tools else {})


def _responses(steps: Sequence[Step], tools: bool) -> Json:
    items: list[Json] = []
    for step in steps:
        if step.user:
            items.append({"role": "user", "content": step.user})
        if step.assistant:
            items.append({"role": "assistant", "content": step.assistant})
        items += [
            {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(given)}
            for id, name, given in step.calls
        ]
        items += [{"type": "function_call_output", "call_id": id, "output": words} for id, _, words in step.results]
    tool = {"type": "function", "name": "weather", "description": "looks", "parameters": WEATHER}
    return {"input": items, "store": False} | ({"tools": [tool]} if tools else {})


def _messages(steps: Sequence[Step], tools: bool) -> Json:
    messages: list[Json] = []
    for step in steps:
        said: list[Json] = []
        if step.assistant:
            said.append({"type": "text", "text": step.assistant})
        said += [{"type": "tool_use", "id": id, "name": name, "input": given} for id, name, given in step.calls]
        if step.user:
            messages.append({"role": "user", "content": [{"type": "text", "text": step.user}]})
        if said:
            messages.append({"role": "assistant", "content": said})
        if step.results:
            results = [{"type": "tool_result", "tool_use_id": id, "content": words} for id, _, words in step.results]
            messages.append({"role": "user", "content": results})
    tool = {"name": "weather", "description": "looks", "input_schema": WEATHER}
    return {"max_tokens": 100, "messages": messages} | ({"tools": [tool]} if tools else {})


def _gemini(steps: Sequence[Step], tools: bool) -> Json:
    contents: list[Json] = []
    for step in steps:
        if step.user:
            contents.append({"role": "user", "parts": [{"text": step.user}]})
        parts: list[Json] = [{"text": step.assistant}] if step.assistant else []
        parts += [{"functionCall": {"id": id, "name": name, "args": given}} for id, name, given in step.calls]
        if parts:
            contents.append({"role": "model", "parts": parts})
        if step.results:
            results = [
                {"functionResponse": {"id": id, "name": name, "response": {"output": words}}}
                for id, name, words in step.results
            ]
            contents.append({"role": "user", "parts": results})
    declared = {"functionDeclarations": [{"name": "weather", "description": "looks", "parameters": WEATHER}]}
    made: Json = {"contents": contents}
    return made | ({"tools": [declared]} if tools else {})


_BODIES: dict[str, Callable[[Sequence[Step], bool], Json]] = {
    OPENAI_CHAT: _chat,
    OPENAI_RESPONSES: _responses,
    ANTHROPIC_MESSAGES: _messages,
    GEMINI_GENERATE: _gemini,
}


# Hearing -------------------------------------------------------------------------------------------------------------


def hear(surface: str, body: bytes) -> Heard:
    """A whole answer."""
    answer = json.loads(body)
    heard = Heard()
    if surface == OPENAI_CHAT:
        message = answer["choices"][0]["message"]
        heard.text, heard.stop = message["content"] or "", answer["choices"][0]["finish_reason"]
        for call in message.get("tool_calls") or []:
            heard.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
        heard.usage = answer["usage"]
    elif surface == OPENAI_RESPONSES:
        _response(heard, body.decode())
    elif surface == ANTHROPIC_MESSAGES:
        for block in answer["content"]:
            if block["type"] == "text":
                heard.text += block["text"]
            elif block["type"] == "tool_use":
                heard.calls.append((block["id"], block["name"], json.dumps(block["input"])))
        heard.stop, heard.usage = answer["stop_reason"], answer["usage"]
    else:
        _gemini_piece(heard, body.decode())
    heard.ids.add(str(answer.get("id") or answer.get("responseId") or ""))
    return heard


def hear_stream(surface: str, raw: bytes) -> Heard:
    """A stream of well-framed events."""
    heard = Heard()
    if surface == OPENAI_CHAT:
        _chat_stream(heard, raw)
    elif surface == OPENAI_RESPONSES:
        _response_stream(heard, raw)
    elif surface == ANTHROPIC_MESSAGES:
        _messages_stream(heard, raw)
    else:
        for text in events(raw):
            _gemini_piece(heard, text)
            heard.ids.add(json.loads(text)["responseId"])
    return heard


def events(raw: bytes) -> Iterator[str]:
    """The JSON text of each event; `[DONE]` and comments are left out."""
    raw = raw.replace(b"\r\n", b"\n")
    assert raw.endswith(b"\n\n")
    for block in raw.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        data = [line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")]
        if data and data != ["[DONE]"]:
            yield "\n".join(data)


def _chat_stream(heard: Heard, raw: bytes) -> None:
    assert raw.endswith(b"data: [DONE]\n\n")
    calls: dict[int, list[str]] = {}
    for event in map(json.loads, events(raw)):
        heard.ids.add(event["id"])
        heard.usage = event.get("usage") or heard.usage
        for choice in event["choices"]:
            heard.text += choice["delta"].get("content") or ""
            heard.stop = choice["finish_reason"] or heard.stop
            for piece in choice["delta"].get("tool_calls") or []:
                call = calls.setdefault(piece["index"], ["", "", ""])
                call[0] += piece.get("id") or ""
                call[1] += piece["function"].get("name") or ""
                call[2] += piece["function"].get("arguments") or ""
    heard.calls = [(call[0], call[1], call[2]) for _, call in sorted(calls.items())]


def _response(heard: Heard, text: str) -> None:
    answer = json.loads(text)
    for item in answer["output"]:
        if item["type"] == "message":
            heard.text += "".join(part["text"] for part in item["content"] if part["type"] == "output_text")
        elif item["type"] == "function_call":
            heard.calls.append((item["call_id"], item["name"], item["arguments"]))
    cut = (answer["incomplete_details"] or {}).get("reason")
    heard.stop = cut or (TOOLS_STOP[OPENAI_RESPONSES] if heard.calls else answer["status"])
    heard.usage = answer["usage"] or {}


def _response_stream(heard: Heard, raw: bytes) -> None:
    """The deltas must say what the last event says."""
    text, last = "", "{}"
    arguments: dict[int, str] = {}
    for number, event in enumerate(map(json.loads, events(raw))):
        assert event["sequence_number"] == number
        kind = event["type"]
        if "response" in event:
            heard.ids.add(event["response"]["id"])
            last = json.dumps(event["response"])
        if kind == "response.output_text.delta":
            text += event["delta"]
        elif kind == "response.function_call_arguments.delta":
            arguments[event["output_index"]] = arguments.get(event["output_index"], "") + event["delta"]
    _response(heard, last)
    assert text == heard.text
    assert [given for _, given in sorted(arguments.items())] == [given for _, _, given in heard.calls]


def _messages_stream(heard: Heard, raw: bytes) -> None:
    blocks: dict[int, Json] = {}
    kinds: list[str] = []
    for event in map(json.loads, events(raw)):
        kind = event["type"]
        kinds.append(kind)
        if kind == "message_start":
            heard.ids.add(event["message"]["id"])
            heard.usage = dict(event["message"]["usage"])
        elif kind == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"]) | {"json": ""}
        elif kind == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                heard.text += delta["text"]
            elif delta["type"] == "input_json_delta":
                block["json"] = str(block["json"]) + delta["partial_json"]
        elif kind == "message_delta":
            heard.stop = event["delta"]["stop_reason"]
            heard.usage |= {name: count for name, count in event["usage"].items() if count is not None}
    assert (kinds.count("message_start"), kinds.count("message_delta"), kinds[-1]) == (1, 1, "message_stop")
    heard.calls = [
        (str(block["id"]), str(block["name"]), str(block["json"]) or "{}")
        for _, block in sorted(blocks.items())
        if block["type"] == "tool_use"
    ]


def _gemini_piece(heard: Heard, text: str) -> None:
    event = json.loads(text)
    heard.usage = event.get("usageMetadata") or heard.usage
    for candidate in event.get("candidates") or []:
        for part in (candidate.get("content") or {}).get("parts") or []:
            if "functionCall" in part:
                call = part["functionCall"]
                heard.calls.append((call.get("id") or "", call["name"], json.dumps(call.get("args") or {})))
            elif not part.get("thought"):
                heard.text += part.get("text") or ""
        heard.stop = candidate.get("finishReason") or heard.stop
    if heard.stop == "STOP" and heard.calls:
        heard.stop = TOOLS_STOP[GEMINI_GENERATE]


# Over the bus --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def every_wire(plane: Plane) -> AsyncIterator[Providers]:
    """For each wire an alias and a deployment of its name."""
    (plane.folder / "provider.key").write_text(KEY)
    async with providers() as server:
        for wire in WIRES:
            plane.deployments[wire] = {
                "provider": PROVIDER[wire],
                "base_url": server.url + ("/v1" if wire.startswith("openai") else ""),
                "protocols": [wire],
                "model": "m",
                "key": "file:provider.key",
                "price": PRICE,
                "timeouts": QUICK,
            }
            plane.aliases[wire] = [wire]
        yield server


async def ask(plane: Plane, alias: str, surface: str, body: Json, **more: object) -> Completion:
    """A whole answer."""
    asked = CompletionRequest(alias, msgspec.Raw(msgspec.json.encode(body)), surface, **more)  # type: ignore[arg-type]  # by name
    return await plane.bus.call(LLM_COMPLETE, asked, plane.meta())


async def follow(plane: Plane, alias: str, surface: str, body: Json, **more: object) -> tuple[bytes, CompletionEnd]:
    """A streamed one, to its end."""
    asked = CompletionRequest(alias, msgspec.Raw(msgspec.json.encode(body)), surface, **more)  # type: ignore[arg-type]  # by name
    text = b""
    async with plane.bus.stream(LLM_STREAM, asked, plane.meta()) as reader:
        async for frame in reader:
            text += bytes(frame)
        end = reader.end
    assert end is not None
    return text, end


async def both_ways(
    plane: Plane, alias: str, surface: str, steps: Sequence[Step], *, tools: bool = False
) -> list[Heard]:
    """The whole answer, and the streamed one."""
    whole = await ask(plane, alias, surface, request(surface, steps, tools=tools))
    text, _ = await follow(plane, alias, surface, request(surface, steps, tools=tools, streamed=True))
    return [hear(surface, bytes(whole.body)), hear_stream(surface, text)]
