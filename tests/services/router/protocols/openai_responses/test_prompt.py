"""Requests of real clients in the neutral form, and back."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from services.router.protocols.loss import Loss, Losses
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.tools import flat
from services.router.protocols.part import CacheMark, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
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
from services.router.protocols.protocol import Target
from tests.services.router.protocols.openai_responses.wire import CODEX, LLAMA_INDEX, Json, encoded

CODEX_TOOLS = msgspec.json.decode(encoded(CODEX["tools"]))
TARGET = Target("gpt", "openai", streamed=False)


def read(**fields: object) -> Prompt:
    return PROTOCOL.read(encoded({"model": "m", "input": "Hi"} | fields)).prompt()


def refused(**fields: object) -> tuple[str, str]:
    with pytest.raises(Failure) as caught:
        read(**fields)
    assert caught.value.code is Code.INVALID
    return caught.value.param, caught.value.detail


def written(prompt: Prompt) -> tuple[Json, tuple[Loss, ...]]:
    losses = Losses()
    fields: Json = msgspec.json.decode(PROTOCOL.write_prompt(prompt, TARGET, losses), type=dict[str, object])
    return fields, losses.all


def test_a_string_is_what_the_user_says() -> None:
    assert read(input="Hi", instructions="Be brief.").turns == (
        Turn("system", (Text("Be brief."),)),
        Turn("user", (Text("Hi"),)),
    )


def test_a_request_of_codex_is_read_whole() -> None:
    prompt = PROTOCOL.read(encoded(CODEX)).prompt()
    assert prompt.turns == (
        Turn("system", (Text("Be brief."),)),
        Turn("user", (Text("Which files are there?"),)),
        Turn(
            "assistant",
            (
                Thinking("Look.", sealed="gAAAA1", id="rs_"),
                ToolCall("call_1", "exec_command", '{"cmd":"ls"}'),
                ToolCall("call_2", "multi_agent_v1__spawn", "{}", namespace="multi_agent_v1"),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult("call_1", (Text("a.txt"),), "exec_command"),
                ToolResult(
                    "call_2",
                    (Text("done"), Media("image", "image/png", "iVBO", detail="high")),
                    "multi_agent_v1__spawn",
                ),
            ),
        ),
    )
    command, spawn, search, patch = prompt.tools
    assert isinstance(command, Tool) and (command.name, command.strict) == ("exec_command", None)
    assert spawn == Tool("multi_agent_v1__spawn", "Starts one.", msgspec.Raw(b"{}"), namespace="multi_agent_v1")
    assert isinstance(search, ServerTool) and (search.origin, search.type) == (OPENAI_RESPONSES, "web_search")
    assert isinstance(patch, Tool) and patch.custom and patch.grammar is not None
    assert prompt.tool_choice == ToolChoice("auto", parallel=True)
    assert prompt.reasoning == Reasoning("xhigh", shown=True, summary="auto", kept=True)
    assert prompt.cache_key == "thread-1"
    assert {name: bytes(raw) for name, raw in prompt.extras.items()} == {
        "store": b"false",
        "client_metadata": b'{"originator":"codex_exec"}',
        "namespaces": b'{"multi_agent_v1":"Other agents."}',
    }


def test_a_request_of_codex_is_the_same_when_it_was_written_anew() -> None:
    prompt = PROTOCOL.read(encoded(CODEX)).prompt()
    fields, losses = written(prompt)
    assert losses == ()
    assert PROTOCOL.read(encoded(fields)).prompt() == prompt
    tools = fields["tools"]
    assert isinstance(tools, list)
    assert [tool["type"] for tool in tools] == ["function", "namespace", "web_search", "custom"]
    assert tools[0] == CODEX_TOOLS[0]
    assert tools[1] == CODEX_TOOLS[1] | {"tools": [CODEX_TOOLS[1]["tools"][0] | {"strict": False}]}
    assert tools[2:] == CODEX_TOOLS[2:]
    assert fields["store"] is False
    assert fields["include"] == ["reasoning.encrypted_content"]


def test_nulls_say_nothing() -> None:
    assert PROTOCOL.read(encoded(LLAMA_INDEX)).prompt() == Prompt(
        origin=OPENAI_RESPONSES,
        turns=(Turn("user", (Text("Hello"),)),),
        sampling=Sampling(temperature=0.1),
    )


def test_items_and_parts_of_unknown_types_are_carried_raw() -> None:
    odd = {"type": "hologram_call", "id": "h_1", "beam": [1]}
    given = {"type": "hologram_call_output", "call_id": "h_1"}
    part = {"type": "input_smell", "data": "x"}
    prompt = read(input=[odd, given, {"role": "user", "content": [part]}])
    assert prompt.turns == (
        Turn("assistant", (Opaque(OPENAI_RESPONSES, "hologram_call", msgspec.Raw(encoded(odd))),)),
        Turn("user", (Opaque(OPENAI_RESPONSES, "hologram_call_output", msgspec.Raw(encoded(given))),)),
        Turn("user", (Opaque(OPENAI_RESPONSES, "message.input_smell", msgspec.Raw(encoded(part))),)),
    )
    fields, losses = written(prompt)
    assert losses == ()
    assert fields["input"] == [odd, given, {"type": "message", "role": "user", "content": [part]}]


def test_a_history_of_words_refusals_and_custom_calls_is_read() -> None:
    prompt = read(
        input=[
            {"role": "user", "content": "Patch it."},
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Yes.", "annotations": []},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin", "id": "ctc_1"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ]
    )
    assert prompt.turns[1:] == (
        Turn("assistant", (Text("Yes."), Refusal("No."), ToolCall("c1", "apply_patch", "*** Begin", custom=True))),
        Turn("tool", (ToolResult("c1", (Text("ok"),), "apply_patch"),)),
    )
    fields, losses = written(prompt)
    assert losses == ()
    items = fields["input"]
    assert isinstance(items, list)
    assert [item["type"] for item in items] == ["message", "message", "custom_tool_call", "custom_tool_call_output"]


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "input_image", "image_url": "https://x/a.png"}, Media("image", url="https://x/a.png")),
        ({"type": "input_image", "file_id": "file_1", "detail": "low"}, Media("image", file="file_1", detail="low")),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
            Media("document", "application/pdf", "JVBE", name="a.pdf"),
        ),
        ({"type": "input_file", "file_url": "https://x/a.pdf"}, Media("document", url="https://x/a.pdf")),
        ({"type": "input_file", "file_id": "file_2"}, Media("document", file="file_2")),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            Media("audio", "audio/wav", "UklG"),
        ),
    ],
)
def test_media_is_read_and_written(part: Json, media: Media) -> None:
    prompt = read(input=[{"role": "user", "content": [part]}])
    assert prompt.turns == (Turn("user", (media,)),)
    fields, losses = written(prompt)
    assert losses == ()
    assert fields["input"] == [{"type": "message", "role": "user", "content": [part]}]


def test_structured_output_and_verbosity_are_told_apart() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}
    prompt = read(text={"format": form, "verbosity": "low"})
    assert prompt.format == Format("schema", "answer", msgspec.Raw(encoded(schema)), True)
    assert bytes(prompt.extras["text"]) == b'{"verbosity":"low"}'
    assert written(prompt)[0]["text"] == {"format": form, "verbosity": "low"}
    assert read(text={"format": {"type": "json_object"}}).format == Format("json")


TOOLS = [{"type": "function", "name": "one"}, {"type": "custom", "name": "two"}, {"type": "web_search"}]


@pytest.mark.parametrize(
    ("choice", "read_as", "left"),
    [
        ("required", ToolChoice("required"), 3),
        ("none", ToolChoice("none"), 3),
        ({"type": "function", "name": "one"}, ToolChoice("named", "one"), 3),
        ({"type": "custom", "name": "two"}, ToolChoice("named", "two"), 3),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "one"}, {"type": "web_search"}],
            },
            ToolChoice("required"),
            2,
        ),
    ],
)
def test_every_form_of_choice_is_read(choice: object, read_as: ToolChoice, left: int) -> None:
    prompt = read(tools=TOOLS, tool_choice=choice)
    assert prompt.tool_choice == read_as
    assert len(prompt.tools) == left
    assert "tool_choice" not in prompt.extras
    assert PROTOCOL.read(encoded(written(prompt)[0])).prompt() == prompt


def test_the_choice_of_a_tool_that_the_provider_runs_is_carried_as_it_is() -> None:
    prompt = read(tools=TOOLS, tool_choice={"type": "web_search_preview"}, parallel_tool_calls=False)
    assert prompt.tool_choice == ToolChoice(parallel=False)
    assert written(prompt)[0]["tool_choice"] == {"type": "web_search_preview"}


def test_names_in_groups_are_flattened_to_what_every_protocol_takes() -> None:
    assert flat("", "look") == "look"
    assert flat("mcp__files", "read") == "mcp__files__read"
    assert flat("mcp__my.server", "read") == "mcp__my_server__read_f0a32c57"
    assert len(flat("n" * 60, "tool")) == 64
    assert flat("n" * 60, "tool_a") != flat("n" * 60, "tool_b")


def test_two_groups_may_hold_tools_of_one_name() -> None:
    groups = [{"type": "namespace", "name": name, "tools": [{"type": "function", "name": "read"}]} for name in "ab"]
    prompt = read(tools=groups)
    assert [tool.name for tool in prompt.tools if isinstance(tool, Tool)] == ["a__read", "b__read"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": None}, "input"),
        ({"input": [5]}, "input.0"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": 5}]}, "input.0.content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "function_call", "name": "x"}]}, "input.0"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"id": "msg_1"}]}, "input.0"),
        ({"tools": 5}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": [1]}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "x"}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"include": "x"}, "include"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
        ({"reasoning": 5}, "reasoning"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(fields: Json, param: str) -> None:
    assert refused(**fields)[0] == param


def test_a_continuation_of_nothing_that_is_known_is_refused_in_openais_words() -> None:
    with pytest.raises(Failure) as caught:
        read(previous_response_id="resp_9")
    assert caught.value.code is Code.NOT_FOUND
    assert caught.value.detail == "Previous response with id 'resp_9' not found."


def test_a_result_without_its_call_is_refused_in_openais_words() -> None:
    _, detail = refused(input=[{"type": "function_call_output", "call_id": "call_7", "output": "x"}])
    assert detail == "No tool call found for function call output with call_id call_7."


def foreign(*turns: Turn, origin: str = ANTHROPIC_MESSAGES, **more: object) -> Prompt:
    return msgspec.structs.replace(Prompt(origin=origin, turns=turns or (Turn("user", (Text("Hi"),)),)), **more)


def test_what_is_not_carried_is_said() -> None:
    alien = Opaque(ANTHROPIC_MESSAGES, "server_tool_use", msgspec.Raw(b"{}"))
    prompt = foreign(
        Turn("user", (Text("Hi", CacheMark("5m")), Media("video", url="https://x/v.mp4")), name="Ann"),
        Turn("assistant", (Thinking("Hm.", "signed"), alien, ToolCall("c1", "look", "{}", signature="s"))),
        Turn("tool", (ToolResult("c1", (Text("x"),), failed=True),)),
        stop=("END",),
        choices=2,
        tools=(ServerTool(ANTHROPIC_MESSAGES, "web_search_20250305", msgspec.Raw(b"{}")),),
        sampling=Sampling(top_k=5, seed=1),
        service_tier="standard_only",
        extras={"container": msgspec.Raw(b'"c"')},
        reasoning=Reasoning(budget_tokens=4000),
    )
    fields, losses = written(prompt)
    assert {(loss.field, loss.grave) for loss in losses} == {
        ("messages.0.1", True),
        ("messages.1.1", True),
        ("tools.0", True),
        ("stop", True),
        ("n", True),
        ("messages.0.0.cache", False),
        ("messages.0.name", False),
        ("messages.1.0", False),
        ("messages.1.2", False),
        ("messages.2.0.failed", False),
        ("top_k", False),
        ("seed", False),
        ("service_tier", False),
        ("container", True),
        ("reasoning.budget_tokens", False),
    }
    assert fields["reasoning"] == {"effort": "medium"}
    assert "tools" not in fields


def test_a_tool_of_chat_completions_stays_as_lax_as_it_was() -> None:
    fields, losses = written(foreign(origin=OPENAI_CHAT, tools=(Tool("look"),)))
    assert fields["tools"] == [{"type": "function", "name": "look", "parameters": None, "strict": False}]
    assert losses == ()


def test_a_search_that_chat_completions_asks_for_is_a_grave_loss() -> None:
    _, losses = written(foreign(origin=OPENAI_CHAT, extras={"web_search_options": msgspec.Raw(b"{}")}))
    assert [(loss.field, loss.grave) for loss in losses] == [("web_search_options", True)]


def test_what_both_apis_of_openai_know_is_carried_from_one_to_the_other() -> None:
    extras = {
        "store": msgspec.Raw(b"false"),
        "verbosity": msgspec.Raw(b'"low"'),
        "safety_identifier": msgspec.Raw(b'"u"'),
        "prediction": msgspec.Raw(b"{}"),
    }
    fields, losses = written(foreign(origin=OPENAI_CHAT, extras=extras))
    assert (fields["store"], fields["text"], fields["safety_identifier"]) == (False, {"verbosity": "low"}, "u")
    assert [loss.field for loss in losses] == ["prediction"]


def test_the_cap_of_the_target_bounds_that_of_the_caller() -> None:
    capped = Target("gpt", "openai", streamed=True, output_tokens_max=100)
    for asked, sent in ((None, 100), (50, 50), (500, 100)):
        prompt = foreign(output_tokens=asked)
        fields = msgspec.json.decode(PROTOCOL.write_prompt(prompt, capped, Losses()))
        assert (fields["max_output_tokens"], fields["stream"]) == (sent, True)


def test_effort_is_never_lowered() -> None:
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
        assert written(read(reasoning={"effort": effort}))[0]["reasoning"] == {"effort": effort}
