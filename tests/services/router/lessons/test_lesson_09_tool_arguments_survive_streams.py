"""The arguments of a streamed tool call, put together, are those of the whole answer: a golden corpus of ways in which
providers send them, in every caller's protocol."""

import json

import pytest

from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import (
    SURFACES,
    WIRES,
    Step,
    both_ways,
    every_wire,
    follow,
    hear_stream,
    request,
)
from tests.support.model_server import Json, chunk, events, usage_chunk

LONG = json.dumps({"city": "München 🌍", "note": 'a "quoted"\nline', "days": list(range(40))})


def call(index: int, id: str = "", name: str = "", arguments: str | None = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value not in (None, "")}
    head: Json = {"id": id, "type": "function"} if id else {}
    return {"index": index, **head, "function": function}


def tools(*calls: Json, **more: object) -> bytes:
    return chunk({"tool_calls": list(calls)} | more)


def pieces(index: int, text: str, size: int) -> list[bytes]:
    return [tools(call(index, arguments=text[start : start + size])) for start in range(0, len(text), size)]


PARIS, OSLO = '{"city":"Paris"}', '{"city":"Oslo"}'
CORPUS: dict[str, tuple[list[bytes], str, list[str]]] = {
    "one call in pieces of one character": ([tools(call(0, "call_a", "weather")), *pieces(0, LONG, 1)], "", [LONG]),
    "all at once": ([tools(call(0, "call_a", "weather", PARIS))], "", [PARIS]),
    "no arguments": ([tools(call(0, "call_a", "weather"))], "", ["{}"]),
    "empty arguments": ([tools(call(0, "call_a", "weather", "")), tools(call(0, arguments=""))], "", ["{}"]),
    "parallel one after the other": (
        [
            tools(call(0, "call_a", "weather")),
            *pieces(0, PARIS, 5),
            tools(call(1, "call_b", "weather")),
            *pieces(1, OSLO, 5),
        ],
        "",
        [PARIS, OSLO],
    ),
    "parallel in one chunk": (
        [tools(call(0, "call_a", "weather", PARIS), call(1, "call_b", "weather", OSLO))],
        "",
        [PARIS, OSLO],
    ),
    "parallel in turns": (
        [
            tools(call(0, "call_a", "weather"), call(1, "call_b", "weather")),
            *[piece for pair in zip(pieces(0, PARIS, 4), pieces(1, OSLO.ljust(16), 4), strict=True) for piece in pair],
        ],
        "",
        [PARIS, OSLO],
    ),
    "words and a call in one chunk": (
        [
            chunk({"content": "I will"}),
            tools(call(0, "call_a", "weather", PARIS), call(1, "call_b", "weather"), content=" look."),
            *pieces(1, OSLO, 6),
        ],
        "I will look.",
        [PARIS, OSLO],
    ),
    "words after the call": (
        [tools(call(0, "call_a", "weather", PARIS)), chunk({"content": "Wait."})],
        "Wait.",
        [PARIS],
    ),
    "eight at once": (
        [tools(call(n, f"call_{n}", "weather")) for n in range(8)]
        + [piece for n in range(8) for piece in pieces(n, json.dumps({"city": f"c{n}"}), 3)],
        "",
        [json.dumps({"city": f"c{n}"}) for n in range(8)],
    ),
}


@pytest.mark.parametrize("name", CORPUS)
async def test_every_way_to_stream_arguments_gives_the_same_in_every_protocol(plane: Plane, name: str) -> None:
    sent, text, arguments = CORPUS[name]
    stream = [chunk({"role": "assistant", "content": None}), *sent, chunk({}, "tool_calls")]
    plane.server.script(events(*stream, usage_chunk(9, 3, 0), b"data: [DONE]\n\n"))
    plane.deploy("wire", "one", protocols=["openai.chat"])
    async with plane.router():
        for surface in SURFACES:
            body = request(surface, [Step("weather")], tools=True, streamed=True)
            raw, _ = await follow(plane, "wire", surface, body)
            heard = hear_stream(surface, raw)
            assert heard.text == text, surface
            assert [given for _, given in heard.called] == [json.loads(each) for each in arguments], surface
            assert len({id for id, _, _ in heard.calls if id}) in (0, len(arguments)), surface


@pytest.mark.parametrize("wire", WIRES)
async def test_arguments_of_parallel_calls_are_the_same_streamed_and_whole_over_every_provider(
    plane: Plane, wire: str
) -> None:
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            whole, streamed = await both_ways(plane, wire, surface, [Step("weather in both")], tools=True)
            assert whole.called == streamed.called
            assert whole.called == [("weather", {"city": "Paris"}), ("weather", {"city": "Oslo", "days": [1, 2]})]
