"""Prompts of other protocols as Anthropic takes them: what is carried, where it stands, and what is said to be lost."""

import base64
from collections.abc import Mapping
from typing import TypedDict, Unpack

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.anthropic_messages.effort import (
    BUDGETS,
    effort_of,
    takes_adaptive,
    takes_sampling,
    takes_system_turns,
)
from services.router.protocols.loss import Losses
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import (
    Effort,
    Format,
    Prompt,
    Reasoning,
    Sampling,
    ServerTool,
    Tool,
    ToolChoice,
    Turn,
)
from services.router.protocols.protocol import Target
from tests.services.router.protocols.anthropic_messages.requests import (
    BILLING,
    CLAUDE_CODE,
    EPHEMERAL,
    claude_code,
    encoded,
)

NEW, OLD, OTHER = "claude-opus-5", "claude-haiku-4-5-20251001", "some-model"
HELLO = Turn("user", (Text("hello"),))
Wire = dict[str, object]


class More(TypedDict, total=False):
    """Of a prompt, what a test may set."""

    tools: tuple[Tool | ServerTool, ...]
    tool_choice: ToolChoice
    output_tokens: int
    stop: tuple[str, ...]
    sampling: Sampling
    format: Format
    reasoning: Reasoning
    choices: int
    user: str
    cache_key: str
    cache: CacheMark
    service_tier: str
    metadata: Mapping[str, str]
    extras: Mapping[str, msgspec.Raw]


def at(value: object, *path: str | int) -> object:
    """What stands there; None where nothing does."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            return None
    return value


def each(value: object, name: str) -> list[object]:
    """The field of every item."""
    assert isinstance(value, list)
    return [at(item, name) for item in value]


def write(
    *turns: Turn, model: str = NEW, origin: str = OPENAI_CHAT, losses: Losses | None = None, **fields: Unpack[More]
) -> Wire:
    prompt = Prompt(origin=origin, turns=turns or (HELLO,), **fields)
    return sent(prompt, Target(model, "e", streamed=False), losses)


def sent(prompt: Prompt, target: Target, losses: Losses | None = None) -> Wire:
    return msgspec.json.decode(PROTOCOL.write_prompt(prompt, target, losses or Losses()), type=Wire)


def lost(*turns: Turn, model: str = NEW, **fields: Unpack[More]) -> list[tuple[str, bool]]:
    losses = Losses()
    write(*turns, model=model, losses=losses, **fields)
    return [(loss.field, loss.grave) for loss in losses.all]


def text(words: str) -> Wire:
    return {"type": "text", "text": words}


def call(id: str, name: str = "f") -> ToolCall:
    return ToolCall(id, name, "{}")


def result(id: str) -> ToolResult:
    return ToolResult(id, (Text(f"of {id}"),))


def test_a_small_prompt_is_a_small_request() -> None:
    assert write() == {
        "model": NEW,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [text("hello")]}],
    }


def test_the_cap_is_the_prompt_s_within_the_target_s() -> None:
    def cap(own: int | None, most: int) -> object:
        prompt = Prompt(origin=OPENAI_CHAT, turns=(HELLO,), output_tokens=own)
        return sent(prompt, Target(NEW, "e", streamed=True, output_tokens_max=most))["max_tokens"]

    assert [cap(None, 0), cap(None, 500), cap(100, 500), cap(900, 500), cap(900, 0)] == [4096, 500, 100, 500, 900]


def test_a_stream_is_asked_for_by_the_target() -> None:
    prompt = Prompt(origin=OPENAI_CHAT, turns=(HELLO,))
    assert sent(prompt, Target(NEW, "e", streamed=True))["stream"] is True
    assert "stream" not in sent(prompt, Target(NEW, "e", streamed=False))


def test_leading_system_turns_become_system_and_keep_their_marks() -> None:
    made = write(Turn("system", (Text("a"), Text("b", CacheMark("1h")))), Turn("system", (Text("c"),)), HELLO)
    marked = text("b") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert made["system"] == [text("a"), marked, text("c")]


def test_a_system_turn_within_the_conversation_stays_where_it_is() -> None:
    made = write(HELLO, Turn("system", (Text("s"),)), Turn("assistant", (Text("a"),)), HELLO)
    assert each(made["messages"], "role") == ["user", "system", "assistant", "user"]


def test_a_system_turn_behind_the_assistant_waits_for_the_user() -> None:
    turns = (HELLO, Turn("assistant", (Text("a"),)), Turn("system", (Text("s"),)), HELLO)
    assert each(write(*turns)["messages"], "role") == ["user", "assistant", "user", "system"]
    assert lost(*turns) == [("messages.2.content", False)]


@pytest.mark.parametrize("model", [OLD, OTHER])
def test_a_model_without_system_turns_reads_them_as_the_user_s_words(model: str) -> None:
    turns = (HELLO, Turn("system", (Text("s"),)), Turn("assistant", (Text("a"),)), HELLO)
    made = write(*turns, model=model)["messages"]
    assert at(made, 0, "content") == [text("hello"), text("<system-reminder>\ns\n</system-reminder>")]
    assert lost(*turns, model=model) == [("messages.1.content", False)]


def test_turns_of_one_role_become_one_message() -> None:
    made = write(HELLO, HELLO, Turn("assistant", (Text("a"),)), Turn("assistant", (Refusal("b"),)), HELLO)
    assert each(made["messages"], "role") == ["user", "assistant", "user"]
    assert at(made, "messages", 0, "content") == [text("hello"), text("hello")]
    assert at(made, "messages", 1, "content") == [text("a"), text("b")]


def test_results_stand_first_in_the_message_after_their_calls() -> None:
    """Lesson 10: also those that another protocol let come later."""
    made = write(
        HELLO,
        Turn("assistant", (call("a"), call("b"))),
        Turn("tool", (result("b"),)),
        Turn("user", (Text("meanwhile"),)),
        Turn("tool", (result("a"),)),
    )["messages"]
    assert each(made, "role") == ["user", "assistant", "user"]
    assert each(at(made, 2, "content"), "tool_use_id") == ["b", "a", None]


def test_a_result_that_comes_much_later_is_moved_to_its_call() -> None:
    made = write(
        HELLO, Turn("assistant", (call("a"),)), HELLO, Turn("assistant", (Text("x"),)), Turn("tool", (result("a"),))
    )["messages"]
    assert each(at(made, 2, "content"), "type") == ["tool_result", "text"]


def test_a_call_without_a_result_and_a_result_without_a_call_are_grave() -> None:
    assert lost(HELLO, Turn("assistant", (call("a"),)), HELLO) == [("messages", True)]
    assert lost(HELLO, Turn("tool", (result("a"),))) == [("messages.1.content.0", True)]


def test_a_call_without_a_result_is_answered_so_that_anthropic_takes_the_rest() -> None:
    made = write(HELLO, Turn("assistant", (call("a"), call("b"))), Turn("tool", (result("b"),)), HELLO)
    assert at(made, "messages", 2, "content") == [
        {"type": "tool_result", "tool_use_id": "b", "content": [text("of b")]},
        {"type": "tool_result", "tool_use_id": "a", "content": [text("(There is no result.)")], "is_error": True},
        text("hello"),
    ]


def test_call_ids_that_begin_anew_in_every_turn_keep_their_own_results() -> None:
    """Lesson 10: Anthropic wants every id once in a conversation."""
    turns: list[Turn] = []
    for n in range(3):
        turns += [Turn("user", (Text(f"q{n}"),)), Turn("assistant", (call("call_0"), call("call_0")))]
        turns.append(Turn("tool", (ToolResult("call_0", (Text(f"x{n}"),)), ToolResult("call_0", (Text(f"y{n}"),)))))
    made = write(*turns)["messages"]
    assert lost(*turns) == []
    pairs = [(each(at(made, n, "content"), "id"), each(at(made, n + 1, "content"), "tool_use_id")) for n in (1, 3, 5)]
    assert pairs == [
        (["call_0", "call_0_X_1"], ["call_0", "call_0_X_1", None]),
        (["call_0_X_2", "call_0_X_3"], ["call_0_X_2", "call_0_X_3", None]),
        (["call_0_X_4", "call_0_X_5"], ["call_0_X_4", "call_0_X_5"]),
    ]


def test_no_empty_text_is_written() -> None:
    turns = (Turn("user", (Text(""), Text("hello"))), Turn("assistant", (Text(""),)), HELLO)
    assert write(*turns)["messages"] == [{"role": "user", "content": [text("hello"), text("hello")]}]
    assert lost(*turns) == []
    assert lost(Turn("user", (Text(" \n"), Text("x")))) == [("messages.0.content.0", False)]


def test_a_conversation_begins_with_the_user() -> None:
    made = write(Turn("system", (Text("s"),)), Turn("assistant", (Text("Welcome"),)), HELLO)["messages"]
    assert each(made, "role") == ["user", "assistant", "user"]
    assert at(made, 0, "content") == [text("(The conversation begins.)")]
    assert lost(Turn("system", (Text("s"),))) == [("messages.0", False)]


def test_a_failed_tool_is_said_to_have_failed() -> None:
    failed = ToolResult("a", (), failed=True, cache=CacheMark())
    made = write(HELLO, Turn("assistant", (call("a"),)), Turn("tool", (failed,)))
    assert at(made, "messages", 2, "content") == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [text("(no output)")],
            "is_error": True,
            "cache_control": EPHEMERAL,
        }
    ]


def test_arguments_that_are_no_object_are_shown_as_words() -> None:
    turns = (HELLO, Turn("assistant", (ToolCall("a", "f", '{"broken'),)), Turn("tool", (result("a"),)))
    assert at(write(*turns), "messages", 1, "content", 0, "input") == {"arguments": '{"broken'}
    assert lost(*turns) == [("messages.1.content.0.arguments", False)]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Media("image", "image/png", data="iVBORw0KGgoA"), {"media_type": "image/png", "data": "iVBORw0KGgoA"}),
        (Media("image", data="/9j/4AAQ"), {"media_type": "image/jpeg", "data": "/9j/4AAQ"}),
        (Media("image", "image/jpg", data="/9j/4AAQ"), {"media_type": "image/jpeg", "data": "/9j/4AAQ"}),
        (Media("document", "application/pdf", data="JVBERi0x"), {"media_type": "application/pdf", "data": "JVBERi0x"}),
    ],
)
def test_media_in_line_are_carried(part: Media, block: Wire) -> None:
    made = at(write(Turn("user", (part,))), "messages", 0, "content")
    assert made == [{"type": part.kind, "source": {"type": "base64"} | block}]


def test_media_elsewhere_and_texts_are_carried() -> None:
    image = Media("image", url="https://x/y.png", cache=CacheMark())
    note = Media("document", "text/markdown", data=base64.b64encode("né".encode()).decode(), name="n.md")
    made = at(write(Turn("user", (image, note))), "messages", 0, "content")
    assert made == [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": EPHEMERAL},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "né"},
            "title": "n.md",
        },
    ]


@pytest.mark.parametrize(
    "part",
    [
        Media("audio", "audio/wav", data="UklGRg"),
        Media("video", url="https://x"),
        Media("image", "image/svg+xml", data="PHN2Zz4"),
        Media("document", "application/zip", data="UEsDBA"),
        Media("document", "text/plain", data="!!"),
        Media("image", file="file-abc"),
        Opaque(OPENAI_CHAT, "input_x", msgspec.Raw(b"{}")),
    ],
)
def test_what_cannot_be_shown_is_a_grave_loss(part: Part) -> None:
    assert lost(Turn("user", (Text("see"), part))) == [("messages.0.content.1", True)]


def test_detail_and_names_are_light_losses() -> None:
    image = Media("image", "image/png", data="iVBORw0KGgoA", detail="low")
    assert lost(Turn("user", (image,), "Ann")) == [("messages.0.name", False), ("messages.0.content.0.detail", False)]


def test_signed_thoughts_go_back_byte_for_byte_and_others_do_not() -> None:
    """Lesson 11: blocks that are a signature and nothing else survive."""
    thoughts = (Thinking("", "EqQB+/=="), Thinking("I see", "Sig"), Thinking(sealed="EmwK"))
    turns = (HELLO, Turn("assistant", (*thoughts, Text("a"))), HELLO)
    assert at(write(*turns), "messages", 1, "content") == [
        {"type": "thinking", "thinking": "", "signature": "EqQB+/=="},
        {"type": "thinking", "thinking": "I see", "signature": "Sig"},
        {"type": "redacted_thinking", "data": "EmwK"},
        text("a"),
    ]
    foreign = (Thinking("unsigned"), Thinking("summary", sealed="gAAAA", id="rs_1"))
    assert lost(HELLO, Turn("assistant", (*foreign, Text("a"))), HELLO) == [
        ("messages.1.content.0", False),
        ("messages.1.content.1", False),
    ]


def test_a_prompt_of_this_protocol_is_written_as_it_was() -> None:
    """Lesson 14: its books' line first, every cache mark where it was, its own fields kept."""
    made = sent(PROTOCOL.read(claude_code()).prompt(), Target(NEW, "e", streamed=True))
    assert at(made, "system", 0) == text(BILLING)
    assert made["system"] == CLAUDE_CODE["system"]
    assert made["context_management"] == CLAUDE_CODE["context_management"]
    assert (made["thinking"], made["output_config"]) == (CLAUDE_CODE["thinking"], CLAUDE_CODE["output_config"])
    assert made["metadata"] == CLAUDE_CODE["metadata"]
    assert each(made["messages"], "role") == ["user", "system", "assistant", "user"]
    assert at(made, "messages", 0, "content", 1, "cache_control") == EPHEMERAL
    assert at(made, "messages", 3, "content", 1, "cache_control") == EPHEMERAL
    assert at(made, "tools", 1, "cache_control") == EPHEMERAL
    assert at(made, "messages", 2) == at(CLAUDE_CODE, "messages", 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 5000, "display": "omitted"}, "temperature": 1.0},
        {"thinking": {"type": "enabled", "budget_tokens": 5000}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}, "top_k": 5},
        {"thinking": {"type": "between_tools"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, "input_examples": [{}]}]},
        {"metadata": {"user_id": "u", "k": "v"}, "service_tier": "standard_only", "speed": "fast"},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}, "top_p": 0.5},
    ],
)
@pytest.mark.parametrize("model", [NEW, OLD])
def test_what_a_caller_of_this_protocol_asks_for_is_asked_for_in_the_same_words(fields: Wire, model: str) -> None:
    """Also where the request is written anew, because a part of it may not reach the target."""
    losses = Losses()
    made = sent(PROTOCOL.read(encoded(**fields)).prompt(), Target(model, "e", streamed=False), losses)
    assert {name: made[name] for name in fields} == fields
    assert set(made) == {"model", "max_tokens", "messages", *fields}
    assert losses.all == ()


def test_its_own_blocks_and_tools_go_back_raw() -> None:
    raw = msgspec.Raw(b'{"type":"server_tool_use","id":"srv","name":"web_search","input":{"n":1.10}}')
    tool = msgspec.Raw(b'{"type":"web_search_20260318","name":"web_search"}')
    made = PROTOCOL.write_prompt(
        Prompt(
            origin=ANTHROPIC_MESSAGES,
            turns=(HELLO, Turn("assistant", (Opaque(ANTHROPIC_MESSAGES, "server_tool_use", raw),)), HELLO),
            tools=(ServerTool(ANTHROPIC_MESSAGES, "web_search_20260318", tool),),
        ),
        Target(NEW, "e", streamed=False),
        Losses(),
    )
    assert b'"input":{"n":1.10}' in made
    assert bytes(tool) in made


def test_tools_are_carried_with_legal_names() -> None:
    tools = (
        Tool("files.read", "Reads", msgspec.Raw(b'{"type":"object"}'), True, cache=CacheMark()),
        Tool("run", namespace="mcp__shell"),
        Tool("bare", parameters=msgspec.Raw(b'{"properties":{}}'), strict=False),
    )
    assert write(tools=tools)["tools"] == [
        {
            "name": "files_X2E_read",
            "description": "Reads",
            "input_schema": {"type": "object"},
            "strict": True,
            "cache_control": EPHEMERAL,
        },
        {"name": "mcp__shell_X1F_run", "input_schema": {"type": "object", "properties": {}}},
        {"name": "bare", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_a_tool_that_cannot_be_offered_is_a_grave_loss() -> None:
    tools = (
        ServerTool(OPENAI_RESPONSES, "web_search", msgspec.Raw(b"{}")),
        Tool("patch", custom=True),
        Tool("x" * 129),
    )
    assert lost(tools=tools, tool_choice=ToolChoice("required")) == [
        ("tools.0", True),
        ("tools.1", True),
        ("tools.2", True),
        ("tool_choice", True),
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), {"type": "auto"}),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("required", parallel=True), {"type": "any", "disable_parallel_tool_use": False}),
        (ToolChoice("named", "f.g"), {"type": "tool", "name": "f_X2E_g"}),
        (ToolChoice("none", parallel=False), {"type": "none"}),
    ],
)
def test_the_choice_of_tools_is_carried(choice: ToolChoice, wire: Wire) -> None:
    assert write(tools=(Tool("f.g"),), tool_choice=choice)["tool_choice"] == wire
    assert "tool_choice" not in write(tool_choice=ToolChoice())


def test_a_schema_is_carried_and_any_json_is_a_grave_loss() -> None:
    """Lesson 13."""
    schema = Format("schema", "person", msgspec.Raw(b'{"type":"object"}'), True)
    wire = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert write(format=schema)["output_config"] == wire
    assert lost(format=schema) == []
    assert lost(format=Format("json")) == [("response_format", True)]
    assert lost(format=Format("text")) == []


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort"),
    [
        (Reasoning("low"), {"type": "adaptive"}, "low"),
        (Reasoning("xhigh", shown=True), {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (Reasoning("max", shown=False), {"type": "adaptive", "display": "omitted"}, "max"),
        (Reasoning("minimal"), {"type": "adaptive"}, "low"),
        (Reasoning(budget_tokens=9000), {"type": "adaptive"}, "high"),
        (Reasoning(budget_tokens=-1), {"type": "adaptive"}, None),
        (Reasoning(budget_tokens=0), {"type": "disabled"}, None),
        (Reasoning("none"), {"type": "disabled"}, None),
        (Reasoning(), None, None),
        (Reasoning(kept=True), None, None),
    ],
)
def test_effort_is_carried_and_never_lowered(reasoning: Reasoning, thinking: Wire | None, effort: str | None) -> None:
    made = write(reasoning=reasoning)
    assert made.get("thinking") == thinking
    assert at(made, "output_config", "effort") == effort


@pytest.mark.parametrize(
    ("effort", "budget"), [("minimal", 1024), ("low", 4096), ("medium", 8192), ("high", 16384), ("xhigh", 32768)]
)
def test_an_older_model_thinks_by_a_budget_on_top_of_the_answer(effort: Effort, budget: int) -> None:
    made = write(model=OLD, reasoning=Reasoning(effort))
    assert made["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert made["max_tokens"] == budget + 4096
    assert "output_config" not in made


def test_a_budget_stays_within_the_caller_s_cap_and_that_is_said() -> None:
    made = write(model=OLD, reasoning=Reasoning("high"), output_tokens=5000)
    assert at(made, "thinking", "budget_tokens") == 4999
    assert lost(model=OLD, reasoning=Reasoning("high"), output_tokens=5000) == [("reasoning", False)]
    assert "thinking" not in write(model=OLD, reasoning=Reasoning("high"), output_tokens=500)
    assert lost(model=OLD, reasoning=Reasoning("high"), output_tokens=500) == [("reasoning", False)]


def test_effort_and_budget_are_one_table() -> None:
    assert all(effort_of(tokens) == effort for effort, tokens in BUDGETS.items())
    assert [effort_of(n) for n in (1, 1025, 8193, 70_000)] == ["minimal", "low", "high", "max"]


def test_an_older_model_does_not_think_on_without_its_thoughts() -> None:
    turns = (HELLO, Turn("assistant", (call("a"),)), Turn("tool", (result("a"),)))
    assert "thinking" not in write(*turns, model=OLD, reasoning=Reasoning("high"))
    assert lost(*turns, model=OLD, reasoning=Reasoning("high")) == [("reasoning", False)]
    assert "thinking" in write(*turns, model=NEW, reasoning=Reasoning("high"))


def test_a_model_that_must_call_a_tool_does_not_think() -> None:
    fields: More = {"tools": (Tool("f"),), "tool_choice": ToolChoice("required"), "reasoning": Reasoning("high")}
    made = write(**fields)
    assert "thinking" not in made
    assert made["output_config"] == {"effort": "high"}
    assert lost(**fields) == [("reasoning", False)]


def test_sampling_goes_to_models_that_take_it() -> None:
    sampling = Sampling(0.2, 0.9, 40)
    made = write(model=OLD, sampling=sampling)
    assert (made["temperature"], made["top_p"], made["top_k"]) == (0.2, 0.9, 40)
    assert lost(model=OLD, sampling=sampling) == []
    assert lost(model=NEW, sampling=sampling) == [("temperature", False), ("top_p", False), ("top_k", False)]
    assert lost(model=OLD, sampling=Sampling(1.7)) == [("temperature", False)]
    assert write(model=OLD, sampling=Sampling(1.7))["temperature"] == 1.0


def test_under_the_new_version_there_is_no_sampling() -> None:
    prompt = Prompt(origin=OPENAI_CHAT, turns=(HELLO,), sampling=Sampling(0.0))
    losses = Losses()
    made = sent(prompt, Target(OLD, "e", streamed=False, version="2026-10-21"), losses)
    assert "temperature" not in made
    assert [(loss.field, loss.grave) for loss in losses.all] == [("temperature", False)]
    assert sent(prompt, Target(OLD, "e", streamed=False, version="2023-06-01"))["temperature"] == 0.0


def test_history_and_tools_that_anthropic_has_no_place_for_are_grave_losses() -> None:
    found = lost(extras={"web_search_options": msgspec.Raw(b"{}"), "cachedContent": msgspec.Raw(b'"c"')})
    assert found == [("web_search_options", True), ("cachedContent", True)]


def test_what_anthropic_has_no_place_for_is_said() -> None:
    found = lost(
        model=OLD,
        sampling=Sampling(seed=1, presence_penalty=0.5, frequency_penalty=0.0, logprobs=False),
        choices=2,
        stop=("END", "\n"),
        user="u" * 257,
        cache_key="k",
        service_tier="flex",
        metadata={"a": "b"},
        extras={"verbosity": msgspec.Raw(b'"low"'), "store": msgspec.Raw(b"false")},
    )
    assert found[0] == ("n", True)
    assert {field for field, grave in found if not grave} == {
        "seed",
        "presence_penalty",
        "stop",
        "user",
        "prompt_cache_key",
        "service_tier",
        "metadata.a",
        "verbosity",
    }


def test_the_rest_has_its_place() -> None:
    made = write(stop=("END",), user="u1", service_tier="default", cache=CacheMark("5m"))
    assert made["stop_sequences"] == ["END"]
    assert made["metadata"] == {"user_id": "u1"}
    assert made["service_tier"] == "standard_only"
    assert made["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


@pytest.mark.parametrize(
    ("model", "adaptive", "sampling", "system_turns"),
    [
        ("claude-3-5-sonnet-20241022", False, True, False),
        ("claude-3-haiku-20240307", False, True, False),
        ("claude-opus-4-20250514", False, True, False),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", False, True, False),
        ("claude-opus-4-6", True, True, False),
        ("claude-opus-4-7", True, False, False),
        ("claude-opus-4-8-20260528", True, False, True),
        ("claude-sonnet-5", True, False, True),
        ("claude-opus-5-5", True, False, True),
        ("anthropic/claude-opus-4.5", False, True, False),
        ("claude-next", True, False, True),
        ("claude-instant-1", False, True, False),
        ("deepseek-v4", False, True, False),
    ],
)
def test_what_a_model_takes_is_told_by_its_name(model: str, adaptive: bool, sampling: bool, system_turns: bool) -> None:
    assert (takes_adaptive(model), takes_sampling(model), takes_system_turns(model)) == (
        adaptive,
        sampling,
        system_turns,
    )
