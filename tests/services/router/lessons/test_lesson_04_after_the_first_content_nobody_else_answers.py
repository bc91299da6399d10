"""After the first content a failure ends the stream: no other provider, no second beginning, no false end, and the
caller is told what went wrong at the first provider."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import (
    ANTHROPIC_MESSAGES,
    GEMINI_GENERATE,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    CompletionRequest,
)
from penstock.contracts.subjects import LLM_STREAM
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import Step, request
from tests.support.model_server import chunk, error_event, events, streamed

ROLE = chunk({"role": "assistant", "content": ""})
ENDS = {
    OPENAI_CHAT: (b'"role":"assistant"', b"[DONE]"),
    OPENAI_RESPONSES: (b'"type":"response.created"', b'"type":"response.completed"'),
    ANTHROPIC_MESSAGES: (b'"type":"message_start"', b'"type":"message_stop"'),
    GEMINI_GENERATE: (b'"text":"Hel"', b'"finishReason":"STOP"'),
}
"""How a stream of each protocol begins, and how one that is whole ends."""


@pytest.mark.parametrize("surface", ENDS)
@pytest.mark.parametrize(
    ("how", "code", "detail"),
    [
        ([error_event("Overloaded")], Code.UPSTREAM, "the provider reported an error in its answer"),
        ([error_event("slow", "rate_limit_exceeded")], Code.RATE_LIMITED, "the provider limits our rate"),
        ("cut", Code.UPSTREAM, "the provider's answer was cut short"),
        ("reset", Code.UPSTREAM, "the provider's answer was cut short"),
        ("end", Code.UPSTREAM, "the provider's stream ended early"),
    ],
    ids=["error", "429", "cut", "reset", "early end"],
)
async def test_one_beginning_no_false_end_and_the_first_provider_s_failure(
    plane: Plane, surface: str, how: str | list[bytes], code: Code, detail: str
) -> None:
    more, then = ([], how) if isinstance(how, str) else (how, "end")
    shown = [ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"})]
    plane.server.script(events(*shown, *more, then=then, pause_s=0.05), model="one")
    plane.server.script(streamed("never"), model="two")
    body = request(surface, [Step(user="Say hello.")], streamed=True)
    asked = CompletionRequest("chat", msgspec.Raw(msgspec.json.encode(body)), surface)
    text = b""
    async with plane.router(attempts_max=10, rounds_max=3):
        with pytest.raises(Failure) as caught:
            async with plane.bus.stream(LLM_STREAM, asked, plane.meta()) as reader:
                async for frame in reader:
                    text += bytes(frame)
        (outcome,) = await plane.outcomes(1)
    begins, ends = ENDS[surface]
    assert (text.count(begins), text.count(ends)) == (1, 0)
    assert b"never" not in text
    assert (caught.value.code, caught.value.detail) == (code, detail)
    assert (outcome.status, outcome.code, outcome.deployment) == ("error", code.value, "one")
    assert (plane.server.asked("one"), plane.server.asked("two")) == (1, 0)
