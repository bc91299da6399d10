"""What providers of this wire are sent, and what is said of the rest."""

from dataclasses import replace

import msgspec
import pytest

from services.router.protocols.loss import Losses
from services.router.protocols.part import (
    CacheMark,
    Media,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from services.router.protocols.prompt import (
    Format,
    Prompt,
    Reasoning,
    Sampling,
    ServerTool,
    Tool,
    ToolChoice,
    Turn,
)
from tests.services.router.protocols.openai_chat.wire import TARGET, Json, within, written

HI = (Turn("user", (Text("hi"),)),)
RAW = msgspec.Raw(b'{"x":1}')


def losses_of(prompt: Prompt) -> tuple[list[str], list[str]]:
    """The fields of the grave ones, and of the others."""
    losses = Losses()
    written(prompt, losses=losses)
    return [loss.field for loss in losses.all if loss.grave], [loss.field for loss in losses.all if not loss.grave]


def anthropic(*turns: Turn, **fields: object) -> Prompt:
    return msgspec.structs.replace(Prompt(origin="anthropic.messages", turns=turns or HI), **fields)


def assistant(*parts: Part) -> Turn:
    return Turn("assistant", parts)


def messages(*turns: Turn, losses: Losses | None = None, thoughts_field: str = "") -> object:
    return written(anthropic(*turns), replace(TARGET, thoughts_field=thoughts_field), losses)["messages"]


def test_what_is_absent_stays_absent() -> None:
    assert written(anthropic()) == {"model": "model-1", "messages": [{"role": "user", "content": "hi"}]}


def test_a_stream_asks_for_usage_where_the_target_knows_how() -> None:
    streamed = replace(TARGET, streamed=True)
    assert written(anthropic(), streamed)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in written(anthropic(), replace(streamed, stream_usage=False))


def test_the_output_is_bounded_under_the_target_s_name_for_it() -> None:
    capped = replace(TARGET, output_tokens_max=100, output_tokens_field="max_completion_tokens")
    assert written(anthropic(), capped)["max_completion_tokens"] == 100
    assert written(anthropic(output_tokens=500), capped)["max_completion_tokens"] == 100
    assert written(anthropic(output_tokens=50), capped)["max_completion_tokens"] == 50
    assert written(anthropic(output_tokens=50))["max_tokens"] == 50


def test_an_assistant_s_turn_is_one_message() -> None:
    turn = assistant(Text("so"), ToolCall("a", "add", ""), ToolCall("b", "sh", "ls", custom=True))
    result = Turn("tool", (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"), Text("3")))))
    assert messages(turn, result) == [
        {
            "role": "assistant",
            "content": "so",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}},
                {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}],
        },
    ]
    assert within(messages(assistant(ToolCall("a", "add")), *HI), 0, "content") is None
    assert within(messages(assistant(Refusal("no")), *HI), 0) == {
        "role": "assistant",
        "content": None,
        "refusal": "no",
    }


def test_thoughts_go_back_only_to_those_who_take_them() -> None:
    losses = Losses()
    turn = assistant(Thinking("hm", "sig"), Text("so"))
    assert messages(turn, *HI, losses=losses) == [
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": "hi"},
    ]
    assert [loss.field for loss in losses.all] == ["messages.0.content.0"]
    told = messages(assistant(Thinking("hm"), Text("so")), *HI, losses=Losses(), thoughts_field="reasoning_content")
    assert told == [
        {"role": "assistant", "content": "so", "reasoning_content": "hm"},
        {"role": "user", "content": "hi"},
    ]


def test_a_picture_that_a_tool_gave_is_shown_by_the_user() -> None:
    losses = Losses()
    call = assistant(ToolCall("a", "look"), ToolCall("b", "look"))
    result = Turn("tool", (ToolResult("a", (Text("see"), Media("image", "image/png", "AA"))), ToolResult("b", ())))
    sent = written(anthropic(call, result, *HI), losses=losses)["messages"]
    assert isinstance(sent, list)
    assert sent[1:4] == [
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "text", "text": "[image: shown in the next message]"},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The image that the tool call a gave:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
    ]
    assert [loss.field for loss in losses.all] == ["messages.1.0.content.1"]


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (Media("image", url="https://x", detail="low"), {"image_url": {"url": "https://x", "detail": "low"}}),
        (Media("audio", "audio/mpeg", "AA"), {"input_audio": {"data": "AA", "format": "mp3"}}),
        (Media("video", url="https://x"), {"video_url": {"url": "https://x"}}),
        (Media("document", file="file-1"), {"file": {"file_id": "file-1"}}),
        (
            Media("document", "application/pdf", "JV", name="a.pdf"),
            {"file": {"file_data": "data:application/pdf;base64,JV", "filename": "a.pdf"}},
        ),
    ],
)
def test_media_are_written(media: Media, part: Json) -> None:
    assert (
        within(written(anthropic(Turn("user", (media,)))), "messages", 0, "content", 0)
        == {"type": next(iter(part))} | part
    )


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        (Turn("user", (Media("image", file="f"),)), "messages.0.content.0"),
        (Turn("user", (Media("audio", url="https://x"),)), "messages.0.content.0"),
        (Turn("user", (Media("document", url="https://x"),)), "messages.0.content.0"),
        (Turn("assistant", (Text("a"), Media("image", "image/png", "AA"))), "messages.0.content.1"),
        (Turn("user", (Opaque("anthropic.messages", "search_result", RAW),)), "messages.0.content.0"),
    ],
)
def test_parts_that_cannot_be_said_are_grave_losses(turn: Turn, field: str) -> None:
    assert losses_of(anthropic(turn, *HI)) == ([field], [])


def test_tools_are_written_and_a_server_s_own_are_a_grave_loss() -> None:
    tools = (
        Tool("f", "does", RAW, True, cache=CacheMark()),
        Tool("sh", custom=True, grammar=RAW),
        ServerTool("anthropic.messages", "web_search_20250305", RAW),
    )
    prompt = anthropic(tools=tools, tool_choice=ToolChoice("named", "sh", parallel=False))
    sent = written(prompt)
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"x": 1}, "strict": True}},
        {"type": "custom", "custom": {"name": "sh", "format": {"x": 1}}},
    ]
    assert sent["tool_choice"] == {"type": "custom", "custom": {"name": "sh"}}
    assert sent["parallel_tool_calls"] is False
    assert losses_of(prompt) == (["tools.2"], ["tools.0.cache_control"])


def test_tools_of_two_groups_with_one_name_are_told_apart_in_the_list_and_in_the_history() -> None:
    tools = (Tool("read", namespace="fs"), Tool("read", namespace="db"), Tool("write", namespace="fs"))
    calls = assistant(ToolCall("a", "read", namespace="db"), ToolCall("b", "write", namespace="fs"))
    sent = msgspec.json.encode(written(anthropic(calls, *HI, tools=tools)))
    assert sent.count(b'"name":"db__read"') == 2
    assert sent.count(b'"name":"fs__read"') == 1
    assert sent.count(b'"name":"write"') == 2


def test_a_choice_without_tools_is_not_sent() -> None:
    assert "tool_choice" not in written(anthropic(tool_choice=ToolChoice("auto")))
    assert losses_of(anthropic(tool_choice=ToolChoice("required"))) == (["tool_choice"], [])


def test_formats_are_written() -> None:
    assert written(anthropic(format=Format("json")))["response_format"] == {"type": "json_object"}
    assert written(anthropic(format=Format("schema", schema=RAW)))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"x": 1}},
    }


@pytest.mark.parametrize(
    ("wanted", "effort", "light"),
    [
        (Reasoning("max"), "max", []),
        (Reasoning("low", 9000), "low", ["reasoning.budget_tokens"]),
        (Reasoning(budget_tokens=0), "none", ["reasoning.budget_tokens"]),
        (Reasoning(budget_tokens=2000), "low", ["reasoning.budget_tokens"]),
        (Reasoning(budget_tokens=30_000), "high", ["reasoning.budget_tokens"]),
        (Reasoning(budget_tokens=-1), None, []),
        (Reasoning("high", kept=True), "high", ["reasoning.encrypted_content"]),
    ],
)
def test_effort_is_never_changed_silently(wanted: Reasoning, effort: str | None, light: list[str]) -> None:
    prompt = anthropic(reasoning=wanted)
    assert written(prompt).get("reasoning_effort") == effort
    assert losses_of(prompt) == ([], light)


def test_what_only_others_know_is_noted() -> None:
    prompt = anthropic(
        sampling=Sampling(temperature=0.5, top_k=40, logprobs=True),
        service_tier="standard_only",
        cache_key="k",
        metadata={"a": "b"},
        cache=CacheMark(),
        extras={"context_management": RAW, "container": RAW, "store": msgspec.Raw(b"false")},
    )
    assert set(written(prompt)) == {"model", "messages", "temperature"}
    assert losses_of(prompt) == (
        ["container"],
        ["top_k", "logprobs", "prompt_cache_key", "service_tier", "prompt.cache_control", "context_management"],
    )


def test_what_responses_says_alike_is_carried() -> None:
    prompt = msgspec.structs.replace(
        anthropic(service_tier="flex", cache_key="k", metadata={"a": "b"}, user="u"),
        origin="openai.responses",
        extras={"verbosity": msgspec.Raw(b'"low"'), "truncation": msgspec.Raw(b'"auto"')},
    )
    sent = written(prompt)
    assert {name: sent[name] for name in ("service_tier", "prompt_cache_key", "metadata", "user", "verbosity")} == {
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "metadata": {"a": "b"},
        "user": "u",
        "verbosity": "low",
    }
    assert losses_of(prompt) == ([], ["truncation"])


def test_the_beginning_of_an_answer_is_a_grave_loss() -> None:
    assert losses_of(anthropic(*HI, assistant(Text("{")))) == (["messages.1"], [])


def test_a_tool_that_failed_is_noted() -> None:
    call = assistant(ToolCall("a", "f"))
    result = Turn("tool", (ToolResult("a", (Text("no"),), failed=True, cache=CacheMark()),))
    assert losses_of(anthropic(call, result, *HI)) == ([], ["messages.1.0.cache_control", "messages.1.0.is_error"])
