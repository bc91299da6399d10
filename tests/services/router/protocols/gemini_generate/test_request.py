"""Requests of Gemini, both ways."""

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT
from services.router.protocols.gemini_generate import PROTOCOL
from services.router.protocols.gemini_generate.history import PLACEHOLDER
from services.router.protocols.loss import Losses
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult
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
from tests.services.router.protocols.gemini_generate.unhurried import unhurried
from tests.services.router.protocols.neutral import prompts

TARGET = Target("gemini-3-pro", "google", False)
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')


def read(**body: object) -> Prompt:
    return PROTOCOL.read(json.dumps({"contents": [], **body}).encode(), "m").prompt()


def written(prompt: Prompt, losses: Losses | None = None) -> dict[str, object]:
    found = json.loads(PROTOCOL.write_prompt(prompt, TARGET, losses or Losses()))
    assert isinstance(found, dict)
    return found


def again(prompt: Prompt, losses: Losses | None = None) -> Prompt:
    return PROTOCOL.read(PROTOCOL.write_prompt(prompt, TARGET, losses or Losses()), "m").prompt()


def asked(*turns: Turn, origin: str = GEMINI_GENERATE, **more: object) -> Prompt:
    made = Prompt(origin=origin, turns=turns or (Turn("user", (Text("hi"),)),))
    return msgspec.structs.replace(made, **more)


def user(*parts: object) -> dict[str, object]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: object) -> dict[str, object]:
    return {"role": "model", "parts": list(parts)}


def pairs(prompt: Prompt) -> Counter[tuple[str, str]]:
    calls = {part.id: part.name for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)}
    results = [part for turn in prompt.turns for part in turn.parts if isinstance(part, ToolResult)]
    return Counter((result.call, calls[result.call]) for result in results)


@unhurried
@given(prompts(GEMINI_GENERATE))
def test_a_prompt_that_is_written_and_read_is_the_same(prompt: Prompt) -> None:
    losses = Losses()
    assert again(prompt, losses) == prompt
    assert losses.all == ()


@unhurried
@given(prompts(OPENAI_CHAT))
def test_calls_and_results_of_other_protocols_stay_together(prompt: Prompt) -> None:
    assert pairs(again(prompt)) == pairs(prompt)


def test_what_the_real_clients_send_is_read() -> None:
    prompt = read(
        systemInstruction={"parts": [{"text": "Be brief."}], "role": "user"},
        contents=[
            {"parts": [{"text": "Weather?"}]},
            model(
                {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "S="}
            ),
            user({"functionResponse": {"id": "c1", "name": "weather", "response": {"output": "sunny"}}}),
        ],
        tools=[
            {"functionDeclarations": [{"name": "a", "description": "A.", "parametersJsonSchema": {"type": "object"}}]},
            {"function_declarations": [{"name": "b", "parameters_json_schema": {"type": "object"}}]},
            {"googleSearch": {}},
        ],
        toolConfig={"functionCallingConfig": {"mode": "ANY"}},
        generationConfig={
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40.0,
            "maxOutputTokens": 100,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
            "responseModalities": ["TEXT"],
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
            "stopSequences": ["END"],
            "seed": 7,
        },
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        cachedContent="cachedContents/x",
    )
    assert prompt.turns == (
        Turn("system", (Text("Be brief."),)),
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (ToolCall("c1", "weather", '{"city": "Paris"}', signature="S="),)),
        Turn("tool", (ToolResult("c1", (Text("sunny"),), "weather"),)),
    )
    names = [tool.name if isinstance(tool, Tool) else tool.type for tool in prompt.tools]
    assert names == ["a", "b", "googleSearch"]
    assert prompt.tool_choice == ToolChoice("required")
    assert prompt.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=7)
    assert (prompt.output_tokens, prompt.stop) == (100, ("END",))
    assert prompt.format == Format("schema", schema=msgspec.Raw(b'{"type": "object"}'))
    assert prompt.reasoning == Reasoning("high", None, True)
    assert sorted(prompt.extras) == ["cachedContent", "generationConfig.responseModalities", "safetySettings"]


def test_a_request_in_snake_case_says_the_same() -> None:
    camel = read(
        systemInstruction={"parts": [{"text": "x"}]},
        generationConfig={"maxOutputTokens": 5, "stopSequences": ["a"], "thinkingConfig": {"thinkingBudget": -1}},
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        contents=[user({"inlineData": {"mimeType": "image/png", "data": "iVBO"}})],
    )
    snake = read(
        system_instruction={"parts": [{"text": "x"}]},
        generation_config={
            "max_output_tokens": "5",
            "stop_sequences": ["a"],
            "thinking_config": {"thinking_budget": -1},
        },
        tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        contents=[user({"inline_data": {"mime_type": "image/png", "data": "iVBO"}})],
    )
    assert camel == snake
    assert camel.tool_choice == ToolChoice("named", "f")


def test_null_is_absent() -> None:
    assert read(generationConfig=None, tools=None, systemInstruction=None, toolConfig=None) == read()


def test_a_single_content_is_taken_for_a_list() -> None:
    assert read(contents=user({"text": "x"})).turns == (Turn("user", (Text("x"),)),)


def test_a_request_to_count_tokens_may_hold_a_whole_request() -> None:
    inner = {"model": "models/m", "contents": [user({"text": "x" * 300})], "tools": [{"codeExecution": {}}]}
    body = PROTOCOL.read(json.dumps({"generateContentRequest": inner}).encode(), "m")
    assert body.size.at_most > 100
    assert body.needs.tools


def test_the_pieces_of_a_streamed_answer_are_one_turn_with_its_calls_in_their_order() -> None:
    prompt = read(
        contents=[
            user({"text": "go"}),
            model({"text": "I will"}),
            model({"text": " look."}),
            model({"functionCall": {"name": "f", "args": {"n": 1}}}),
            model({"functionCall": {"name": "f", "args": {"n": 2}}}),
            model({"text": ""}),
            user(
                {"functionResponse": {"name": "f", "response": {"output": "first"}}},
                {"functionResponse": {"name": "f", "response": {"output": "second"}}},
            ),
        ]
    )
    _, said, told = prompt.turns
    assert said == Turn(
        "assistant",
        (Text("I will look."), ToolCall("call_1_0", "f", '{"n": 1}'), ToolCall("call_1_0_1", "f", '{"n": 2}')),
    )
    assert told == Turn(
        "tool", (ToolResult("call_1_0", (Text("first"),), "f"), ToolResult("call_1_0_1", (Text("second"),), "f"))
    )


def test_words_that_follow_an_empty_piece_are_kept() -> None:
    pieces = [model({"functionCall": {"name": "f"}}), model({"text": ""}), model({"text": "a"}), model({"text": "b"})]
    (said,) = read(contents=pieces).turns
    assert said.parts == (ToolCall("call_0_0", "f", "{}"), Text("ab"))


def test_calls_without_ids_are_paired_by_name_and_order() -> None:
    prompt = read(
        contents=[
            user({"text": "go"}),
            model(
                {"functionCall": {"name": "f", "args": {"n": 1}}},
                {"functionCall": {"name": "g"}},
                {"functionCall": {"name": "f", "args": {"n": 2}}},
            ),
            user(
                {"functionResponse": {"name": "g", "response": {"output": "G"}}},
                {"functionResponse": {"name": "f", "response": {"output": "first"}}},
                {"functionResponse": {"name": "f", "response": {"output": "second"}}},
            ),
            model({"functionCall": {"name": "f"}}),
            user({"functionResponse": {"name": "f", "response": {"output": "third"}}}, {"text": "and?"}),
        ]
    )
    calls = {part.id: part for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)}
    results = [part for turn in prompt.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert len(calls) == 4
    assert [(calls[result.call].name, calls[result.call].arguments) for result in results] == [
        ("g", "{}"),
        ("f", '{"n": 1}'),
        ("f", '{"n": 2}'),
        ("f", "{}"),
    ]
    assert [turn.role for turn in prompt.turns] == ["user", "assistant", "tool", "assistant", "tool", "user"]


def test_an_unanswered_call_does_not_take_the_result_of_a_later_one() -> None:
    prompt = read(
        contents=[
            model({"functionCall": {"name": "f", "args": {"n": 1}}}),
            user({"text": "never mind"}),
            model({"functionCall": {"name": "f", "args": {"n": 2}}}),
            user({"functionResponse": {"name": "f", "response": {}}}),
        ]
    )
    ids = [part.id for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)]
    assert prompt.turns[-1].parts == (ToolResult(ids[1], (), "f"),)


def test_ids_that_a_history_gives_twice_are_told_apart_and_stay_the_same() -> None:
    contents = [
        model({"functionCall": {"id": "x", "name": "f"}}),
        user({"functionResponse": {"id": "x", "name": "f", "response": {"output": "1"}}}),
        model({"functionCall": {"id": "x", "name": "f"}}),
        user({"functionResponse": {"id": "x", "name": "f", "response": {"output": "2"}}}),
    ]
    prompt = read(contents=contents)
    calls = [part.id for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)]
    results = [part.call for turn in prompt.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert calls == results
    assert len(set(calls)) == 2
    assert read(contents=[*contents, user({"text": "more"})]).turns[:4] == prompt.turns


@pytest.mark.parametrize(
    "response",
    [
        {"output": "words"},
        {"output": ""},
        {"output": {"a": 1}},
        {"output": "x", "more": 1},
        {"error": "no"},
        {"error": ""},
        {"error": {"code": 1}},
        {"result": [1, 2.50]},
        {},
    ],
)
def test_what_a_tool_gave_comes_back_as_it_was(response: dict[str, object]) -> None:
    contents = [
        model({"functionCall": {"id": "c", "name": "f"}}),
        user({"functionResponse": {"id": "c", "name": "f", "response": response}}),
    ]
    prompt = read(contents=contents)
    (result,) = prompt.turns[1].parts
    assert isinstance(result, ToolResult)
    assert result.failed == ("error" in response)
    assert again(prompt) == prompt
    if response != {"output": ""}:
        assert written(prompt)["contents"][1] == contents[1]  # type: ignore[index]  # JSON of a known shape


@pytest.mark.parametrize(
    "words", ["plain", '{"output":"x"}', '{"error":"x"}', "{}", '{"a": 1}', "[1]", '{"error":null}']
)
@pytest.mark.parametrize("failed", [False, True])
def test_any_words_of_a_tool_survive(words: str, failed: bool) -> None:
    call, result = ToolCall("c", "f", "{}"), ToolResult("c", (Text(words),), "f", failed)
    prompt = asked(Turn("assistant", (call,)), Turn("tool", (result,)))
    assert again(prompt) == prompt


def test_results_in_several_turns_are_sent_as_one_content() -> None:
    prompt = asked(
        Turn("user", (Text("x"),)),
        Turn("assistant", (ToolCall("a", "f"), ToolCall("b", "g"))),
        Turn("tool", (ToolResult("a", (Text("1"),)),)),
        Turn("tool", (ToolResult("b", (Text("2"), Media("image", "image/png", "iVBO"))),)),
        origin=OPENAI_CHAT,
    )
    assert written(prompt)["contents"] == [
        user({"text": "x"}),
        model(
            {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": PLACEHOLDER},
            {"functionCall": {"id": "b", "name": "g", "args": {}}},
        ),
        user(
            {"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}},
            {
                "functionResponse": {
                    "id": "b",
                    "name": "g",
                    "response": {"output": "2"},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}],
                }
            },
        ),
    ]


def test_a_signature_is_never_made_up_for_a_history_of_this_protocol() -> None:
    prompt = read(contents=[model({"functionCall": {"id": "c", "name": "f"}}), user({"text": "x"})])
    assert "thoughtSignature" not in json.dumps(written(prompt))


def test_signatures_stay_on_their_parts() -> None:
    contents = [
        model(
            {"text": "Hm", "thought": True, "thoughtSignature": "A+/="},
            {"text": "Hi", "thoughtSignature": "B"},
            {"inlineData": {"mimeType": "image/png", "data": "iVBO"}, "thoughtSignature": "C"},
            {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "D"},
            {"text": "", "thoughtSignature": "E"},
        ),
        user({"text": "x"}),
    ]
    prompt = read(contents=contents)
    assert prompt.turns[0].parts == (
        Thinking("Hm", "A+/="),
        Text("Hi"),
        Thinking(signature="B"),
        Media("image", "image/png", "iVBO"),
        Thinking(signature="C"),
        ToolCall("c", "f", "{}", signature="D"),
        Thinking(signature="E"),
    )
    assert written(prompt)["contents"] == contents


def test_media_are_told_by_their_types() -> None:
    prompt = read(
        contents=[
            user(
                {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "JVBE", "displayName": "a.pdf"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/v.mp4"}},
                {
                    "fileData": {
                        "mimeType": "image/png",
                        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                    }
                },
                {"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png"}},
            )
        ]
    )
    assert prompt.turns[0].parts == (
        Media("audio", "audio/wav", "UklG"),
        Media("document", "application/pdf", "JVBE", name="a.pdf"),
        Media("video", "video/mp4", file="gs://bucket/v.mp4"),
        Media("image", "image/png", file="https://generativelanguage.googleapis.com/v1beta/files/abc"),
        Media("image", "image/png", url="https://example.org/a.png"),
    )
    assert again(prompt) == prompt


def test_a_schema_of_gemini_becomes_a_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["a", "b"]},
            "n": {"type": "INTEGER", "minimum": 1, "max_items": "3"},
            "list": {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "1"},
            "any": {"any_of": [{"type": "BOOLEAN"}, {"type": "STRING"}]},
        },
        "propertyOrdering": ["n", "type"],
        "required": ["n"],
    }
    (tool,) = read(tools=[{"functionDeclarations": [{"name": "f", "parameters": schema}]}]).tools
    assert isinstance(tool, Tool)
    assert tool.parameters is not None
    assert json.loads(bytes(tool.parameters)) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", "b", None]},
            "n": {"type": "integer", "minimum": 1, "maxItems": 3},
            "list": {"type": "array", "items": {"type": "number"}, "minItems": 1},
            "any": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
        },
        "required": ["n"],
    }
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}}
    assert read(generationConfig=config).format == Format("schema", schema=msgspec.Raw(b'{"type":"string"}'))


def test_only_the_functions_that_are_allowed_are_tools() -> None:
    tools = [{"functionDeclarations": [{"name": name} for name in "abc"]}, {"codeExecution": {}}]
    some = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "c"]}}
    prompt = read(tools=tools, toolConfig=some)
    assert [tool.name if isinstance(tool, Tool) else tool.type for tool in prompt.tools] == ["a", "c", "codeExecution"]
    assert prompt.tool_choice == ToolChoice("required")
    checked = read(tools=tools, toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}})
    assert checked.tool_choice == ToolChoice("auto")
    assert [tool.strict for tool in checked.tools if isinstance(tool, Tool)] == [True, True, True]
    assert written(checked)["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


@pytest.mark.parametrize(
    "choice", [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), ToolChoice("named", "f")]
)
def test_the_choice_of_tools_survives(choice: ToolChoice) -> None:
    prompt = asked(tools=(Tool("f", "F.", SCHEMA), Tool("g")), tool_choice=choice)
    assert again(prompt) == prompt


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling": Sampling(0.5, 0.9, 40, 7, 0.1, -0.1, True, 5)},
        {"reasoning": Reasoning("minimal")},
        {"reasoning": Reasoning("xhigh", shown=True)},
        {"reasoning": Reasoning(budget_tokens=-1, shown=False)},
        {"format": Format("json")},
        {"format": Format("text")},
        {"format": Format("schema", schema=SCHEMA)},
        {"stop": ("a", "b"), "choices": 3, "service_tier": "flex"},
        {"extras": {"safetySettings": msgspec.Raw(b"[]"), "cachedContent": msgspec.Raw(b'"c"')}},
        {"extras": {"generationConfig.speechConfig": msgspec.Raw(b'{"a":1}')}},
        {"extras": {"toolConfig.retrievalConfig": msgspec.Raw(b'{"a":1}')}},
        {"tools": (ServerTool(GEMINI_GENERATE, "googleSearch", msgspec.Raw(b"{}")), Tool("f"), Tool("g"))},
    ],
)
def test_settings_survive(settings: dict[str, object]) -> None:
    losses = Losses()
    prompt = msgspec.structs.replace(asked(), **settings)
    assert again(prompt, losses) == prompt
    assert losses.all == ()


def test_what_stands_inside_parts_and_has_no_place_is_kept_and_noted() -> None:
    prompt = read(contents=[user({"text": "x", "videoMetadata": {"fps": 1}}), user({"executableCode": {"code": "1"}})])
    assert prompt.extras == {"contents.0.parts.0.videoMetadata": msgspec.Raw(b'{"fps": 1}')}
    opaque = msgspec.Raw(b'{"executableCode": {"code": "1"}}')
    assert prompt.turns[1].parts == (Opaque(GEMINI_GENERATE, "executableCode", opaque),)
    losses = Losses()
    assert written(prompt, losses)["contents"] == [user({"text": "x"}), user({"executableCode": {"code": "1"}})]
    assert [loss.field for loss in losses.all] == ["contents.0.parts.0.videoMetadata"]


def test_a_search_that_chat_completions_asks_for_by_empty_options_is_a_grave_loss() -> None:
    losses = Losses()
    written(asked(origin=OPENAI_CHAT, extras={"web_search_options": msgspec.Raw(b"{}")}), losses)
    assert [(loss.field, loss.grave) for loss in losses.all] == [("web_search_options", True)]


def test_losses_are_named_and_graded() -> None:
    losses = Losses()
    parts: tuple[Part, ...] = (
        Text("x", CacheMark()),
        Media("image", file="file-1"),
        Media("document", "application/pdf", "JV", name="a.pdf"),
        Opaque(ANTHROPIC_MESSAGES, "search_result", msgspec.Raw(b"{}")),
    )
    prompt = asked(
        Turn("system", (Text("s"),)),
        Turn("user", parts, name="Ann"),
        Turn("system", (Text("later"),)),
        origin=ANTHROPIC_MESSAGES,
        tools=(
            Tool("free", custom=True),
            ServerTool(ANTHROPIC_MESSAGES, "web_search", msgspec.Raw(b"{}")),
            Tool("f", cache=CacheMark()),
        ),
        tool_choice=ToolChoice("auto", parallel=False),
        reasoning=Reasoning("max", 100),
        user="u",
        cache_key="k",
        metadata={"a": "b"},
        extras={
            "mcp_servers": msgspec.Raw(b'[{"url":"x"}]'),
            "inference_geo": msgspec.Raw(b'"us"'),
            "store": msgspec.Raw(b"false"),
        },
        service_tier="scale",
    )
    found = written(prompt, losses)
    graves = [loss.field for loss in losses.all if loss.grave]
    lights = sorted(loss.field for loss in losses.all if not loss.grave)
    assert graves == ["messages.1.content.1", "messages.1.content.3", "tools.0", "tools.1", "mcp_servers"]
    assert lights == [
        "inference_geo",
        "messages.1.content.0",
        "messages.1.content.2",
        "messages.1.name",
        "messages.2.role",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning.effort",
        "service_tier",
        "thinking.budget_tokens",
        "tools.2",
        "user",
    ]
    assert found["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert found["systemInstruction"] == {"parts": [{"text": "s"}]}


def test_the_cap_of_a_deployment_bounds_the_answer() -> None:
    target = Target("m", "e", False, output_tokens_max=50)
    for asked_for, sent in ((None, 50), (20, 20), (100, 50)):
        found = json.loads(PROTOCOL.write_prompt(asked(output_tokens=asked_for), target, Losses()))
        assert found["generationConfig"]["maxOutputTokens"] == sent


def test_a_tool_in_a_namespace_is_found_again_by_its_call() -> None:
    tool = Tool("spawn", namespace="multi_agent_v1")
    prompt = asked(tools=(tool,), tool_choice=ToolChoice("named", "spawn"), origin=OPENAI_CHAT)
    found = written(prompt)
    assert found["tools"] == [{"functionDeclarations": [{"name": "multi_agent_v1:spawn"}]}]
    assert found["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["multi_agent_v1:spawn"]}
    }
    raw = json.dumps(
        {"candidates": [{"content": {"parts": [{"functionCall": {"id": "c", "name": "multi_agent_v1:spawn"}}]}}]}
    )
    (call,) = PROTOCOL.read_answer(raw.encode())[0].choices[0].parts
    assert call == ToolCall("c", "spawn", "{}", namespace="multi_agent_v1")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": [{"role": "robot", "parts": []}]}, "contents.0.role"),
        ({"contents": [1]}, "contents.0"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents.0.parts.0.text"),
        ({"contents": [{"parts": {"text": "x"}}]}, "contents.0.parts"),
        ({"contents": [model({"functionCall": {"args": {}}})]}, "contents.0.parts.0.functionCall.name"),
        ({"contents": [model({"functionCall": {"name": "f", "args": 1}})]}, "contents.0.parts.0.functionCall.args"),
        ({"contents": [user({"functionResponse": {"name": "f", "response": {}}})]}, "contents.0"),
        ({"contents": [user({"functionCall": {"name": "f"}})]}, "contents.0"),
        ({"systemInstruction": "x"}, "systemInstruction"),
        ({"systemInstruction": {"parts": [{"inlineData": {"data": ""}}]}}, "systemInstruction.parts.0"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools.0.functionDeclarations.0.name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"generationConfig": []}, "generationConfig"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"topK": 1.5}}, "generationConfig.topK"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"candidateCount": 1000}}, "generationConfig.candidateCount"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "DEEP"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
    ],
)
def test_a_request_that_is_none_is_refused_by_the_name_of_its_field(body: dict[str, object], param: str) -> None:
    with pytest.raises(Failure) as caught:
        read(**body)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)


def test_a_result_whose_id_nobody_gave_goes_to_a_call_without_one() -> None:
    contents = [
        model({"functionCall": {"id": "x", "name": "f"}}, {"functionCall": {"name": "f"}}),
        user({"functionResponse": {"id": "made-up", "name": "f", "response": {"output": "second"}}}),
        user({"functionResponse": {"id": "x", "name": "f", "response": {"output": "first"}}}),
    ]
    prompt = read(contents=contents)
    first, second = (part.id for part in prompt.turns[0].parts if isinstance(part, ToolCall))
    assert [part.call for turn in prompt.turns[1:] for part in turn.parts if isinstance(part, ToolResult)] == [
        second,
        first,
    ]


def test_a_result_without_id_and_name_goes_to_the_first_call_that_waits() -> None:
    contents = [
        model({"functionCall": {"id": "x", "name": "f"}}, {"functionCall": {"id": "y", "name": "g"}}),
        user({"functionResponse": {"response": {}}}, {"functionResponse": {"response": {}}}),
    ]
    assert read(contents=contents).turns[1].parts == (ToolResult("x", (), "f"), ToolResult("y", (), "g"))


def test_twenty_thousand_calls_without_ids_are_paired() -> None:
    calls = [{"functionCall": {"name": "f"}}] * 20_000
    results = [{"functionResponse": {"name": "f", "response": {}}}] * 20_000
    prompt = read(contents=[model(*calls), user(*results)])
    last = prompt.turns[1].parts[-1]
    assert last == ToolResult("call_0_19999", (), "f")


@pytest.mark.parametrize(
    ("url", "sent", "noted"),
    [
        ("https://example.org/a.PNG?x=1", {"mimeType": "image/png", "fileUri": "https://example.org/a.PNG?x=1"}, False),
        ("https://example.org/a", {"fileUri": "https://example.org/a"}, True),
    ],
)
def test_an_address_tells_the_type_where_nobody_else_does(url: str, sent: dict[str, object], noted: bool) -> None:
    losses = Losses()
    prompt = asked(Turn("user", (Media("image", url=url),)), origin=OPENAI_CHAT)
    assert written(prompt, losses)["contents"] == [user({"fileData": sent})]
    assert bool(losses.all) is noted
    kept = read(contents=[user({"fileData": {"fileUri": url}})])
    assert kept.turns[0].parts == (Media("document" if noted else "image", url=url),)
    assert written(kept)["contents"] == [user({"fileData": {"fileUri": url}})]


def test_several_first_messages_of_the_system_are_one_instruction() -> None:
    losses = Losses()
    prompt = asked(Turn("system", (Text("a"),)), Turn("system", (Text("b"),)), Turn("user", (Text("x"),)))
    assert written(prompt, losses)["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert losses.all == ()


def test_a_result_without_its_call_is_a_grave_loss() -> None:
    losses = Losses()
    written(asked(Turn("tool", (ToolResult("gone", (Text("x"),)),)), origin=OPENAI_CHAT), losses)
    assert losses.gravest is not None
    assert losses.gravest.field == "messages.0.content.0"


def test_a_result_has_the_name_that_its_call_has_on_the_wire() -> None:
    call = ToolCall("c", "spawn", "{}", namespace="agents")
    prompt = asked(Turn("assistant", (call,)), Turn("tool", (ToolResult("c", (), "spawn"),)), origin=OPENAI_CHAT)
    held = json.dumps(written(prompt)["contents"])
    assert held.count('"name": "agents:spawn"') == 2
