"""Lesson 19: whatever a provider reports, by its own conventions, becomes one vector whose parts never overlap."""

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES, Usage
from services.router.protocols.answer import Answer, Choice
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text
from services.router.protocols.protocol import Shape
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser

Json = dict[str, object]

REPORTED: list[tuple[str, Json, Usage, int]] = [
    (
        OPENAI_CHAT,  # the prompt includes what was cached and heard, the completion includes reasoning and sound
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 8},
        },
        Usage(uncached=25, cache_read=60, cache_write=10, output=50, reasoning=20, audio_input=5, audio_output=8),
        150,
    ),
    (
        OPENAI_RESPONSES,
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 150,
        },
        Usage(uncached=30, cache_read=60, cache_write=10, output=50, reasoning=20),
        150,
    ),
    (
        ANTHROPIC_MESSAGES,  # the input excludes what the cache read and wrote
        {
            "input_tokens": 30,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 20},
        },
        Usage(uncached=30, cache_read=60, cache_write=3, cache_write_1h=7, output=50, reasoning=20),
        150,
    ),
    (
        GEMINI_GENERATE,  # the prompt includes what was cached, not what tools read; candidates exclude thoughts
        {
            "promptTokenCount": 90,
            "cachedContentTokenCount": 60,
            "toolUsePromptTokenCount": 10,
            "candidatesTokenCount": 30,
            "thoughtsTokenCount": 20,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 85},
                {"modality": "AUDIO", "tokenCount": 5},
            ],
            "totalTokenCount": 150,
        },
        Usage(uncached=35, cache_read=60, output=50, reasoning=20, audio_input=5),
        150,
    ),
]
cases = pytest.mark.parametrize(("name", "usage", "vector", "total"), REPORTED, ids=[name for name, *_ in REPORTED])


def whole(name: str, usage: Json) -> bytes:
    """The smallest answer of the protocol that reports this."""
    message: Json = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    bodies: dict[str, Json] = {
        OPENAI_CHAT: {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage},
        OPENAI_RESPONSES: {"id": "resp_1", "status": "completed", "output": [message], "usage": usage},
        ANTHROPIC_MESSAGES: {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "text", "text": "x"}],
            "stop_reason": "end_turn",
            "usage": usage,
        },
        GEMINI_GENERATE: {
            "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
            "usageMetadata": usage,
        },
    }
    return msgspec.json.encode(bodies[name])


def events(*documents: Json) -> bytes:
    """Each under the name that its `type` gives it, where it has one."""
    lines: list[bytes] = []
    for document in documents:
        if kind := document.get("type"):
            lines.append(f"event: {kind}\n".encode())
        lines.append(b"data: " + msgspec.json.encode(document) + b"\n\n")
    return b"".join(lines)


def streamed(name: str, usage: Json) -> bytes:
    """The smallest stream that reports this, in pieces where the protocol counts in pieces."""
    if name == OPENAI_CHAT:
        said: Json = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}
        return events(said, {"choices": [], "usage": usage}) + b"data: [DONE]\n\n"
    if name == GEMINI_GENERATE:
        growing: Json = {
            "candidates": [{"content": {"parts": [{"text": "x"}]}}],
            "usageMetadata": {"promptTokenCount": 1},
        }
        return events(growing, msgspec.json.decode(whole(name, usage), type=Json))
    if name == OPENAI_RESPONSES:
        final = msgspec.json.decode(whole(name, usage), type=Json)
        return events(
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
            {"type": "response.completed", "response": final},
        )
    begun = usage | {"output_tokens": 1, "output_tokens_details": None}
    ended = {key: usage[key] for key in ("output_tokens", "output_tokens_details")}
    text: Json = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    return events(
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "usage": begun}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        text,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ended},
        {"type": "message_stop"},
    )


@cases
def test_lesson_19_the_parts_of_every_providers_usage_add_up_to_its_own_total(
    name: str, usage: Json, vector: Usage, total: int
) -> None:
    answer, told = PROTOCOLS[name].read_answer(whole(name, usage))
    assert answer.usage == told.usage == vector
    assert PROTOCOLS[name].read_told(whole(name, usage)).usage == vector
    assert vector.total == total
    parts = (vector.uncached, vector.cache_read, vector.cache_write, vector.cache_write_1h, vector.audio_input)
    assert sum(parts) == vector.input == total - vector.output
    assert vector.reasoning + vector.audio_output <= vector.output


@cases
def test_lesson_19_usage_is_the_same_streamed_and_not(name: str, usage: Json, vector: Usage, total: int) -> None:
    tap, reader = PROTOCOLS[name].tap(strip_usage=False), PROTOCOLS[name].reader()
    for event in SseParser(100_000).feed(streamed(name, usage)):
        tap.read(event)
        reader.read(event)
    reader.end()
    assert tap.told.usage == vector
    assert reader.told.usage == vector


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_vector_keeps_its_total_in_every_protocol(name: str) -> None:
    """What a protocol has no word for is told as part of what it is nearest to, never lost and never told twice."""
    full = Usage(1, 20, 300, 4_000, 50, cache_write_1h=600, audio_input=70, audio_output=80)
    answer = Answer((Choice((Text("x"),)),), usage=full)
    raw = PROTOCOLS[name].write_answer(answer, Shape("m", "id", 1), Losses())
    read = PROTOCOLS[name].read_told(raw).usage
    assert read is not None
    assert (read.input, read.output, read.total) == (full.input, full.output, full.total)
    assert (read.cache_read, read.reasoning) == (full.cache_read, full.reasoning)
