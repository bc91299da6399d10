"""What it costs to pass a request on as it is, and to translate it: python -m tests.bench.passage

Method. In one process, without any I/O: the CPU time (process_time) of everything that the router does to the bytes of
one request and of its answer. The request is a conversation of 4 KiB or 100 KiB with three tools. `straight` is a chat
completion for a provider of that protocol; the others are the same request by way of the neutral form. The answer is
whole, or a stream of 200 events, as the providers of tests/support/providers write them. Five rounds, the least
counts. The ratios are the result; the absolute figures are this machine's.
"""

import json
import time
from collections.abc import Callable
from functools import partial

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES
from services.router.passage import Passage, Terms, passage
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text
from services.router.protocols.prompt import Prompt, Role, Tool, Turn
from services.router.protocols.protocol import Shape, Target
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser
from tests.support.providers import anthropic_messages, gemini_generate, openai_chat, openai_responses
from tests.support.providers.scene import Json, Said

WIRES = {
    OPENAI_CHAT: openai_chat,
    OPENAI_RESPONSES: openai_responses,
    ANTHROPIC_MESSAGES: anthropic_messages,
    GEMINI_GENERATE: gemini_generate,
}
SIZES = {"4 KiB": 8, "100 KiB": 200}
EVENTS = 200
ROUNDS = 5
REPEATS = 100
SHAPE = Shape("model", "id", 1_790_000_000, wants_usage=True)
TARGET = Target("model", "endpoint", streamed=False)


def request(turns: int) -> bytes:
    """A conversation of turns of 512 bytes, with three tools, as a chat client writes it."""
    roles: tuple[Role, Role] = ("user", "assistant")
    said = tuple(Turn(roles[number % 2], (Text("word " * 100),)) for number in range(turns + 1))
    tools = tuple(Tool(name, f"What {name} does.") for name in ("search", "fetch", "write"))
    return PROTOCOLS[OPENAI_CHAT].write_prompt(Prompt(origin="", turns=said, tools=tools), TARGET, Losses())


def whole(wire: str) -> bytes:
    answer: Json = WIRES[wire].whole(Said(pieces=["word "] * EVENTS))
    return json.dumps(answer).encode()


def events(wire: str) -> bytes:
    return "".join(WIRES[wire].stream(Said(pieces=["word "] * EVENTS), True)).encode()


def way(raw: bytes, wire: str) -> Passage:
    body = PROTOCOLS[OPENAI_CHAT].read(raw)
    return passage(PROTOCOLS, OPENAI_CHAT, (wire,), body, TARGET, SHAPE, Terms("accept"))


def ask(raw: bytes, wire: str) -> None:
    way(raw, wire).request()


def least_us(action: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            action()
        best = min(best, time.process_time() - began)
    return best / repeats * 1e6


def stream(raw: bytes, wire: str, text: bytes) -> None:
    conveyor, parser = way(raw, wire).conveyor(), SseParser(1_000_000)
    for start in range(0, len(text), 1024):
        for event in parser.feed(text[start : start + 1024]):
            conveyor.read(event)
    conveyor.end()


def main() -> None:
    """Prints microseconds."""
    requests = [request(turns) for turns in SIZES.values()]
    print(f"{'':22}" + "".join(f"{name:>22}" for name in (*SIZES, "whole answer", "event of a stream")))  # noqa: T201
    for wire in WIRES:
        text, small = events(wire), requests[0]
        figures = [least_us(partial(ask, raw, wire), REPEATS) for raw in requests]
        figures.append(least_us(partial(way(small, wire).answer, whole(wire)), REPEATS))
        figures.append(least_us(partial(stream, small, wire, text), 10) / text.count(b"data: "))
        name = "straight" if wire == OPENAI_CHAT else f"to {wire}"
        print(f"{name:22}" + "".join(f"{figure:19.1f} us" for figure in figures))  # noqa: T201


if __name__ == "__main__":
    main()
