"""The real router behind the edge, and a provider that speaks chat completions: every client gets its own protocol."""

import json

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.services.gateway.conftest import EdgePlane
from tests.support import model_server as model


async def test_a_responses_client_is_served_by_a_chat_provider(plane: EdgePlane) -> None:
    async with openai.AsyncOpenAI(api_key=await plane.key(), base_url=f"{plane.url}/v1", max_retries=0) as client:
        whole = await client.responses.create(model="chat", input="hi")
        async with client.responses.stream(model="chat", input="hi") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
    assert whole.output_text == final.output_text == "".join(deltas) == "Hello!"
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens) == (9, 3)


async def test_an_anthropic_client_is_served_by_a_chat_provider(plane: EdgePlane) -> None:
    async with anthropic.AsyncAnthropic(api_key=await plane.key(), base_url=plane.url, max_retries=0) as client:
        whole = await client.messages.create(model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
        async with client.messages.stream(
            model="chat", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            final = await stream.get_final_message()
        counted = await client.messages.count_tokens(model="chat", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="nothing", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
    for message in (whole, final):
        assert [block.text for block in message.content if block.type == "text"] == ["Hello!"]
        assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 9, 3)
    assert counted.input_tokens > 0


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_a_google_client_is_served_by_a_chat_provider(plane: EdgePlane) -> None:
    whole_client = genai.Client(api_key=await plane.key(), http_options=types.HttpOptions(base_url=plane.url))
    async with whole_client.aio as client:
        whole = await client.models.generate_content(model="chat", contents="hi")
        texts = [
            chunk.text or "" async for chunk in await client.models.generate_content_stream(model="chat", contents="hi")
        ]
        counted = await client.models.count_tokens(model="chat", contents="hi")
    whole_client.close()
    assert whole.text == "".join(texts) == "Hello!"
    assert counted.total_tokens and counted.total_tokens > 0


async def test_what_a_translation_loses_is_said_or_refused_as_the_caller_likes(plane: EdgePlane) -> None:
    ask = {"model": "chat", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "top_k": 5}
    async with plane.client(await plane.key()) as client:
        told = await client.post("/v1/messages", json=ask)
        streamed = await client.post("/v1/messages", json=ask | {"stream": True})
        refused = await client.post("/v1/messages", json=ask, headers={"x-penstock-losses": "refuse"})
    assert told.headers["x-penstock-losses"].startswith('"top_k";what="')
    assert streamed.headers["x-penstock-losses"] == told.headers["x-penstock-losses"]
    assert streamed.headers["x-penstock-deployment"] == "one"
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "top_k" in refused.json()["error"]["message"]


async def test_a_stream_that_breaks_is_an_error_event_of_the_callers_protocol(plane: EdgePlane) -> None:
    plane.provider.script(
        model.events(model.chunk({"content": "half"}), model.chunk({"content": "."}), pause_s=0.2, then="cut"),
        model="stall",
    )
    ask = {"model": "stalling", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with plane.client(await plane.key()) as client:
        answer = await client.post("/v1/messages", json=ask)
    assert "half" in answer.text
    assert answer.text.count("event: message_start") == 1
    assert "event: message_stop" not in answer.text
    assert answer.text.strip().rpartition("\n\n")[2].startswith('event: error\ndata: {"type":"error","error":{')


@anthropic.beta_async_tool
async def stock(item: str) -> str:
    """How many are there?

    Args:
        item: what to count
    """
    return f"3 of {item}"


async def test_anthropics_tool_runner_does_its_task_over_a_chat_provider(plane: EdgePlane) -> None:
    plane.provider.script(model.calls("stock", '{"item":"valves"}'), model.usual(), model="one")
    async with anthropic.AsyncAnthropic(api_key=await plane.key(), base_url=plane.url, max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            model="chat",
            max_tokens=50,
            messages=[{"role": "user", "content": "how many valves?"}],
            tools=[stock],
            stream=True,
        )
        async for turn in runner:
            message = await turn.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == ["Hello!"]
    asked = [json.loads(received.body) for received in plane.provider.received]
    assert len(asked) == 2
    assert [one["role"] for one in asked[1]["messages"]] == ["user", "assistant", "tool"]
    assert asked[1]["messages"][2]["content"] == "3 of valves"
