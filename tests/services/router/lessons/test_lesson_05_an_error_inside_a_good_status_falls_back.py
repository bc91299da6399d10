"""An error event after a 200 and start-up events, in each protocol of a provider, is answered by the next deployment as
if nothing had been."""

import pytest

from tests.services.router.conftest import Plane
from tests.support.model_server import Reply, chunk, error_event, events, json, plain, streamed

ROLE = chunk({"role": "assistant", "content": ""})


def named(event: str, data: str) -> bytes:
    return f"event: {event}\ndata: {data}\n\n".encode()


MESSAGE_START = named(
    "message_start",
    '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"c",'
    '"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}',
)
PING = named("ping", '{"type":"ping"}')
OVERLOADED = named("error", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
CREATED = named(
    "response.created",
    '{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,'
    '"status":"in_progress","model":"m","output":[]}}',
)
FAILED = named(
    "response.failed",
    '{"type":"response.failed","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":1,'
    '"status":"failed","model":"m","output":[],"error":{"code":"server_error","message":"The server had an error"}}}',
)
UNAVAILABLE = b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\n\n'


@pytest.mark.parametrize(
    ("provider", "reply"),
    [
        ({}, events(ROLE, error_event("Overloaded"))),
        ({}, events(b": OPENROUTER PROCESSING\n\n", ROLE, error_event("rate", "rate_limit_exceeded"))),
        ({"provider": "anthropic"}, events(OVERLOADED)),
        ({"provider": "anthropic"}, events(MESSAGE_START, PING, OVERLOADED)),
        ({"protocols": ["openai.responses"]}, events(CREATED, FAILED)),
        ({"provider": "gemini"}, events(UNAVAILABLE)),
    ],
    ids=["chat", "chat, rate", "anthropic", "anthropic after a start", "responses", "gemini"],
)
async def test_an_error_event_before_content_is_answered_by_the_next(
    plane: Plane, provider: dict[str, object], reply: Reply
) -> None:
    plane.deployments["one"] |= provider
    plane.server.script(reply, model="one")
    plane.server.script(reply, model="")
    plane.server.script(streamed("Hel", "lo"), model="two")
    async with plane.router(rounds_max=1):
        seen = await plane.stream()
        assert seen.end is not None
        assert (seen.end.served.deployment, seen.end.served.attempts) == ("two", 2)
        assert (seen.text.count(b'"role":"assistant"'), seen.text.count(b"[DONE]")) == (1, 1)
        first, second = await plane.outcomes(2)
        assert (first.status, first.deployment, second.status) == ("error", "one", "ok")


async def test_an_error_inside_a_plain_answer_is_answered_by_the_next(plane: Plane) -> None:
    plane.server.script(json({"error": {"message": "Overloaded", "type": "overloaded_error"}}), model="one")
    plane.server.script(plain("hello"), model="two")
    async with plane.router():
        assert (await plane.complete()).served.deployment == "two"
