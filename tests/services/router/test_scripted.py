"""The scripted provider, through the whole chain: what demonstrations and load run on."""

import msgspec
import pytest
import yaml

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Usage
from tests.services.router.conftest import Plane

SCRIPT = {
    "rules": [
        {
            "when": {"contains": "weather", "turn": 0},
            "say": "Let me look. ",
            "calls": [{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}],
            "usage": {"input": 50, "output": 12, "cached": 40},
        },
        {"when": {"contains": "weather", "turn": 1}, "say": "It says: {tool}"},
        {"when": {"contains": "count nothing"}, "say": "one two", "count": False},
        {"when": {"contains": "break"}, "say": "one two three", "fail": {"how": "cut", "after": 2}},
        {"when": {"contains": "error"}, "say": "one two", "fail": {"how": "error", "after": 1}},
        {"when": {"contains": "refuse"}, "fail": {"status": 429, "retry_after_s": 9}},
        {"say": ["You ", "said {user}"]},
    ]
}


@pytest.fixture
def scripted(plane: Plane) -> Plane:
    (plane.folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
    plane.deployments = {"play": {"provider": "scripted", "model": "play-1", "script": "script.yaml"}}
    plane.aliases = {"chat": ["play"]}
    return plane


def user(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text}]


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[dict[str, object]] = []


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class _Answer(msgspec.Struct):
    choices: list[_Choice]


async def answer(plane: Plane, messages: list[dict[str, object]]) -> _Choice:
    completion = await plane.complete(messages=messages)
    return msgspec.json.decode(completion.body, type=_Answer).choices[0]


async def test_it_calls_a_tool_and_then_answers_from_the_result(scripted: Plane) -> None:
    async with scripted.router():
        first = await answer(scripted, user("How is the weather?"))
        assert (first.finish_reason, first.message.content) == ("tool_calls", "Let me look. ")
        (call,) = first.message.tool_calls
        assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Paris","days":2}'}
        history: list[dict[str, object]] = [
            *user("How is the weather?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
        ]
        second = await answer(scripted, history)
    assert (second.finish_reason, second.message.content) == ("stop", "It says: sunny")


async def test_what_was_said_comes_back_streamed_and_counted(scripted: Plane) -> None:
    async with scripted.router():
        seen = await scripted.stream(messages=user("hello"))
        weather = await scripted.complete(messages=user("weather"))
        await scripted.outcomes(2)
    assert seen.end is not None
    assert seen.end.finish == "stop"
    assert b'"content":"said hello"' in seen.text
    assert b"usage" not in seen.text
    assert not seen.end.served.usage.estimated
    assert (seen.end.served.cost_nano, seen.end.served.price_version) == (0, "models file")
    assert weather.served.usage == Usage(uncached=10, cache_read=40, output=12)


async def test_it_can_be_without_counts(scripted: Plane) -> None:
    async with scripted.router():
        assert (await scripted.complete(messages=user("count nothing"))).served.usage.estimated


@pytest.mark.parametrize(
    ("about", "code"),
    [("break", Code.UPSTREAM), ("error", Code.UPSTREAM), ("refuse", Code.RATE_LIMITED)],
)
async def test_it_fails_as_it_is_told_to(scripted: Plane, about: str, code: Code) -> None:
    async with scripted.router():
        with pytest.raises(Failure) as caught:
            await scripted.stream(messages=user(about))
    assert caught.value.code is code
