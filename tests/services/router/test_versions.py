"""The version of a provider's API: who names it, who is told, and what it costs a request that is translated."""

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, OPENAI_CHAT, Completion, CompletionRequest
from penstock.contracts.subjects import LLM_COMPLETE
from tests.services.router.conftest import Plane
from tests.support.model_server import json

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
BODY = {"model": "claude", "max_tokens": 9, "temperature": 0.5, "messages": [{"role": "user", "content": "Hi."}]}


async def ask(plane: Plane, surface: str, headers: dict[str, str]) -> Completion:
    request = CompletionRequest("claude", msgspec.Raw(msgspec.json.encode(BODY)), surface, headers)
    return await plane.bus.call(LLM_COMPLETE, request, plane.meta())


@pytest.mark.parametrize(
    ("version", "surface", "named", "told", "losses"),
    [
        ("", OPENAI_CHAT, "", "2023-06-01", []),
        ("2026-10-21", OPENAI_CHAT, "", "2026-10-21", ["temperature"]),
        # what a caller of another protocol says of Anthropic's means nothing
        ("", OPENAI_CHAT, "2026-10-21", "2023-06-01", []),
        ("2026-10-21", ANTHROPIC_MESSAGES, "", "2026-10-21", []),
        ("2026-10-21", ANTHROPIC_MESSAGES, "2023-06-01", "2023-06-01", []),
    ],
)
async def test_what_a_version_does_not_take_is_left_out_and_listed(
    plane: Plane, version: str, surface: str, named: str, told: str, losses: list[str]
) -> None:
    plane.deployments["c"] = {
        "provider": "anthropic",
        "base_url": plane.server.url.removesuffix("/v1"),
        "model": "c",
        "price": "free",
        "version": version,
    }
    plane.aliases["claude"] = ["c"]
    plane.server.script(json(ANSWER))
    async with plane.router():
        completion = await ask(plane, surface, {"anthropic-version": named} if named else {})
    (sent,) = plane.server.received
    assert sent.headers["anthropic-version"] == told
    assert [loss.field for loss in completion.served.losses] == losses
    assert ("temperature" in sent.fields) == (not losses)
