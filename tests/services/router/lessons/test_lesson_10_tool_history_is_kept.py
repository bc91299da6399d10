"""Every call of a conversation reaches the provider with its result, and nothing is judged superfluous; what cannot be
paired is refused. An agent whose results are lost calls the same tool for ever."""

import json

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import SURFACES, WIRES, Step, ask, every_wire, hear, request

HISTORY = [
    Step("First."),
    Step(
        assistant="Looking.", calls=[("call_1", "weather", {"city": "Paris"}), ("call_2", "weather", {"city": "Oslo"})]
    ),
    Step(results=[("call_1", "weather", "rain"), ("call_2", "weather", "snow")]),
    Step(calls=[("call_3", "weather", {"city": "Rome"})]),
    Step(results=[("call_3", "weather", "sun")]),
    Step(assistant="All known."),
    Step("history"),
]
SEEN = [
    "user: First.",
    "assistant: Looking.",
    'call weather {"city": "Paris"}',
    'call weather {"city": "Oslo"}',
    "result rain",
    "result snow",
    'call weather {"city": "Rome"}',
    "result sun",
    "assistant: All known.",
    "user: history",
]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_provider_sees_every_call_and_every_result_of_every_caller(plane: Plane, wire: str) -> None:
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            answer = await ask(plane, wire, surface, request(surface, HISTORY))
            assert json.loads(hear(surface, bytes(answer.body)).text)[1:] == SEEN, surface


@pytest.mark.parametrize("wire", WIRES)
async def test_results_in_another_order_than_their_calls_stay_with_them(plane: Plane, wire: str) -> None:
    steps = [
        Step("Both."),
        Step(calls=[("call_b", "weather", {"city": "B"}), ("call_a", "weather", {"city": "A"})]),
        Step(results=[("call_a", "weather", "of a"), ("call_b", "weather", "of b")]),
    ]
    async with every_wire(plane) as server, plane.router():
        for surface in SURFACES:
            await ask(plane, wire, surface, request(surface, steps))
            assert paired(wire, server.received[-1].body) == [("A", "of a"), ("B", "of b")], surface


@pytest.mark.parametrize("wire", WIRES)
async def test_one_tool_called_again_with_the_same_arguments_is_two_calls(plane: Plane, wire: str) -> None:
    steps = [Step("Again and again.")]
    for number in range(3):
        steps.append(Step(calls=[(f"call_{number}", "weather", {"city": "Paris"})]))
        steps.append(Step(results=[(f"call_{number}", "weather", f"rain {number}")]))
    async with every_wire(plane) as server, plane.router():
        for surface in SURFACES:
            await ask(plane, wire, surface, request(surface, steps))
            assert [words for _, words in paired(wire, server.received[-1].body)] == ["rain 0", "rain 1", "rain 2"]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_result_without_its_call_is_refused_or_sent_and_never_dropped(plane: Plane, wire: str) -> None:
    steps = [Step("One."), Step(assistant="So?"), Step(results=[("call_lost", "weather", "rain")]), Step("history")]
    async with every_wire(plane), plane.router():
        for surface in SURFACES:
            try:
                answer = await ask(plane, wire, surface, request(surface, steps))
            except Failure as failure:
                assert failure.code is Code.INVALID
                continue
            assert "result rain" in json.loads(hear(surface, bytes(answer.body)).text), surface


def paired(wire: str, body: dict[str, object]) -> list[tuple[str, str]]:
    """City and result of each call, by the ids (or, without ids, the order) that the provider was sent."""
    calls, results = _READ[wire](json.dumps(body))
    assert len(calls) == len(results)
    if all(id for id, _ in calls):
        assert len({id for id, _ in calls}) == len(calls)
        words = dict(results)
        return sorted((city, words[id]) for id, city in calls)
    return sorted((city, words) for (_, city), (_, words) in zip(calls, results, strict=True))


Pairs = tuple[list[tuple[str, str]], list[tuple[str, str]]]


def _chat(text: str) -> Pairs:
    messages = json.loads(text)["messages"]
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    return (
        [(call["id"], json.loads(call["function"]["arguments"])["city"]) for call in calls],
        [(message["tool_call_id"], message["content"]) for message in messages if message["role"] == "tool"],
    )


def _responses(text: str) -> Pairs:
    items = json.loads(text)["input"]
    return (
        [(i["call_id"], json.loads(i["arguments"])["city"]) for i in items if i.get("type") == "function_call"],
        [(i["call_id"], i["output"]) for i in items if i.get("type") == "function_call_output"],
    )


def _messages(text: str) -> Pairs:
    contents = [message["content"] for message in json.loads(text)["messages"]]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    results = [block for block in blocks if block["type"] == "tool_result"]
    return (
        [(block["id"], block["input"]["city"]) for block in blocks if block["type"] == "tool_use"],
        [
            (b["tool_use_id"], b["content"] if isinstance(b["content"], str) else b["content"][0]["text"])
            for b in results
        ],
    )


def _gemini(text: str) -> Pairs:
    parts = [part for content in json.loads(text)["contents"] for part in content["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    return (
        [(call.get("id", ""), call["args"]["city"]) for call in calls],
        [(result.get("id", ""), str(next(iter(result["response"].values())))) for result in results],
    )


_READ = {WIRES[0]: _chat, WIRES[1]: _responses, WIRES[2]: _messages, WIRES[3]: _gemini}
