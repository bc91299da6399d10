"""A tool call in the answer if and only if the reason says so: every surface over every wire, streamed and not.

Agents stop without a word when the reason is wrong.
"""

import pytest

from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import (
    SURFACES,
    TOOLS_STOP,
    WIRES,
    Step,
    ask,
    both_ways,
    every_wire,
    follow,
    hear,
    hear_stream,
    request,
)
from tests.support.model_server import Json, chunk, event, events, json

ENDED = {
    "openai.chat": ("stop", "length"),
    "openai.responses": ("completed", "max_output_tokens"),
    "anthropic.messages": ("end_turn", "max_tokens"),
    "gemini.generate": ("STOP", "MAX_TOKENS"),
}
CALL: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize("wire", WIRES)
async def test_words_with_calls_end_with_the_tool_reason_and_words_alone_do_not(plane: Plane, wire: str) -> None:
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            for heard in await both_ways(plane, wire, surface, [Step("weather in both")], tools=True):
                assert (heard.text, len(heard.calls), heard.stop) == ("I will look.", 2, TOOLS_STOP[surface])
            for heard in await both_ways(plane, wire, surface, [Step("Say hello.")], tools=True):
                assert (heard.calls, heard.stop) == ([], ENDED[surface][0])
            for heard in await both_ways(plane, wire, surface, [Step("long")], tools=True):
                assert (heard.calls, heard.stop) == ([], ENDED[surface][1])


@pytest.mark.parametrize("surface", SURFACES[1:])
@pytest.mark.parametrize("word", ["stop", "tool_calls", "function_call"])
async def test_a_provider_whose_word_is_wrong_is_not_believed(plane: Plane, surface: str, word: str) -> None:
    """On the diagonal the provider's own words pass untouched: there they are its answer, not ours."""
    body = request(surface, [Step("weather")], tools=True)
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": word}]}
    flowing = [chunk({"role": "assistant"}), chunk({"tool_calls": [CALL]}), chunk({}, word), b"data: [DONE]\n\n"]
    plane.deploy("wire", "one", protocols=["openai.chat"])
    async with plane.router():
        plane.server.script(json(_USED | whole))
        heard = hear(surface, bytes((await ask(plane, "wire", surface, body)).body))
        assert (len(heard.calls), heard.stop) == (1, TOOLS_STOP[surface])
        plane.server.script(events(*flowing[:-1], event({**_USED, "choices": []}), flowing[-1]))
        streamed = request(surface, [Step("weather")], tools=True, streamed=True)
        text, _ = await follow(plane, "wire", surface, streamed)
        assert (len(hear_stream(surface, text).calls), hear_stream(surface, text).stop) == (1, TOOLS_STOP[surface])


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_call_that_the_length_cut_off_is_not_one_to_carry_out(plane: Plane, surface: str) -> None:
    cut: Json = {**CALL, "function": {"name": "weather", "arguments": '{"city":"Pa"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [cut]}
    plane.server.script(json(_USED | {"choices": [{"index": 0, "message": message, "finish_reason": "length"}]}))
    plane.deploy("wire", "one", protocols=["openai.chat"])
    async with plane.router():
        completion = await ask(plane, "wire", surface, request(surface, [Step("weather")], tools=True))
    assert hear(surface, bytes(completion.body)).stop == ENDED[surface][1]


@pytest.mark.parametrize("surface", SURFACES[1:])
async def test_a_tool_reason_without_a_call_is_none(plane: Plane, surface: str) -> None:
    message = {"role": "assistant", "content": "Done."}
    plane.server.script(json(_USED | {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}))
    plane.deploy("wire", "one", protocols=["openai.chat"])
    async with plane.router():
        completion = await ask(plane, "wire", surface, request(surface, [Step("weather")], tools=True))
    heard = hear(surface, bytes(completion.body))
    assert (heard.text, heard.calls, heard.stop) == ("Done.", [], ENDED[surface][0])


_USED: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "m",
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
