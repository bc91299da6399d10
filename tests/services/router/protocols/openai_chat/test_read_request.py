"""What clients send, in the neutral form."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
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
from tests.services.router.protocols.openai_chat.wire import Json, prompt_of, turns_of

CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
FUNCTION: Json = {"name": "add", "description": "adds", "parameters": {"type": "object"}, "strict": True}


def user(*parts: object) -> Json:
    return {"role": "user", "content": list(parts)}


def test_roles_and_both_forms_of_content_are_read() -> None:
    prompt = turns_of(
        {"role": "developer", "content": "be brief"},
        user({"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c") | {"name": "alice"},
        {"role": "assistant", "content": "d", "name": "writer"},
        {"role": "system", "content": [{"type": "text", "text": "e"}]},
        {"role": "user", "content": ""},
    )
    assert prompt.turns == (
        Turn("system", (Text("be brief"),)),
        Turn("user", (Text("a"), Text("b"), Text("c")), "alice"),
        Turn("assistant", (Text("d"),), "writer"),
        Turn("system", (Text("e"),)),
        Turn("user", ()),
    )


@pytest.mark.parametrize("content", [None, "", []])
def test_calls_come_back_beside_null_or_empty_content(content: object) -> None:
    prompt = turns_of(
        {"role": "assistant", "content": content, "tool_calls": [CALL], "refusal": None, "annotations": []},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    )
    assert prompt.turns == (
        Turn("assistant", (ToolCall("call_1", "add", '{"a":1}'),)),
        Turn("tool", (ToolResult("call_1", (Text("2"),), "add"),)),
    )
    assert prompt.extras == {}


def test_results_that_follow_one_another_are_one_turn_whatever_their_order() -> None:
    prompt = turns_of(
        {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "x"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    )
    assert prompt.turns[1] == Turn("tool", (ToolResult("call_2", (Text("x"),), "add"), ToolResult("call_1", (), "add")))


def test_an_id_that_every_answer_uses_again_is_made_unique_with_its_results() -> None:
    asked: Json = {"role": "assistant", "tool_calls": [CALL | {"id": "0"}, CALL | {"id": "1"}]}
    given: list[Json] = [{"role": "tool", "tool_call_id": id, "content": id} for id in ("1", "0")]
    prompt = turns_of(asked, *given, asked, *given)
    ids = [part.id for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)]
    results = [part.call for turn in prompt.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert (ids, results) == (["0", "1", "0_2", "1_2"], ["1", "0", "1_2", "0_2"])


def test_custom_calls_signatures_and_thoughts_are_read() -> None:
    custom: Json = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}
    signed = CALL | {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    prompt = turns_of(
        {"role": "assistant", "content": "so", "reasoning_content": "hm", "tool_calls": [custom, signed]},
        {"role": "assistant", "content": None, "reasoning": "well", "refusal": "no"},
    )
    assert prompt.turns[0].parts == (
        Thinking("hm"),
        Text("so"),
        ToolCall("c", "sh", "ls -l", custom=True),
        ToolCall("call_1", "add", '{"a":1}', signature="c2ln"),
    )
    assert prompt.turns[1].parts == (Thinking("well"), Refusal("no"))


def test_reasoning_details_go_as_they_are() -> None:
    prompt = turns_of({"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text"}]})
    found = prompt.turns[0].parts[1]
    assert isinstance(found, Opaque)
    assert (found.origin, found.type, bytes(found.raw)) == (
        "openai.chat",
        "reasoning_details",
        b'[{"type":"reasoning.text"}]',
    )


def test_functions_of_old_are_tools_and_their_results_are_paired_by_name() -> None:
    prompt = prompt_of(
        messages=[
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
            {"role": "function", "name": "add", "content": "2"},
        ],
        functions=[FUNCTION],
        function_call={"name": "add"},
    )
    assert prompt.turns[1:] == (
        Turn("assistant", (ToolCall("call_1", "add", "{}"),)),
        Turn("tool", (ToolResult("call_1", (Text("2"),), "add"),)),
    )
    assert prompt.tools == (Tool("add", "adds", msgspec.Raw(b'{"type":"object"}'), True),)
    assert prompt.tool_choice == ToolChoice("named", "add")


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,iVBO+/==", "detail": "low"}},
            Media("image", "image/png", "iVBO+/==", detail="low"),
        ),
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, Media("image", url="https://x/y.png")),
        ({"type": "image_url", "image_url": "https://x/y.png"}, Media("image", url="https://x/y.png")),
        ({"type": "image_url", "image_url": {"url": "data:,x"}}, Media("image", url="data:,x")),
        ({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}, Media("video", url="https://x/y.mp4")),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, Media("audio", "audio/wav", "AA")),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}}, Media("audio", "audio/mpeg", "AA")),
        ({"type": "file", "file": {"file_id": "file-1"}}, Media("document", file="file-1")),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JV"}},
            Media("document", "application/pdf", "JV", name="a.pdf"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y"}, "cache_control": {"type": "ephemeral"}},
            Media("image", url="https://x/y", cache=CacheMark()),
        ),
    ],
)
def test_media_are_read_and_not_decoded(part: Json, media: Media) -> None:
    assert turns_of(user(part)).turns[0].parts == (media,)


def test_cache_marks_are_read_in_both_spellings() -> None:
    prompt = turns_of(
        user(
            {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
            {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        )
    )
    assert prompt.turns[0].parts == (Text("a", CacheMark("30m")), Text("b", CacheMark("1h")))


def test_tools_of_every_kind_are_read() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    prompt = prompt_of(
        tools=[
            {"type": "function", "function": FUNCTION},
            {"type": "custom", "custom": {"name": "sh", "description": "runs", "format": grammar}},
            {"type": "browser_search", "x": 1},
            {"type": "function", "function": {"name": "bare"}},
        ]
    )
    assert prompt.tools == (
        Tool("add", "adds", msgspec.Raw(b'{"type":"object"}'), True),
        Tool("sh", "runs", custom=True, grammar=msgspec.Raw(msgspec.json.encode(grammar))),
        ServerTool("openai.chat", "browser_search", msgspec.Raw(b'{"type":"browser_search","x":1}')),
        Tool("bare"),
    )


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, ToolChoice("auto")),
        ({"tool_choice": "none"}, ToolChoice("none")),
        ({"tool_choice": "required"}, ToolChoice("required")),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, ToolChoice("named", "add")),
        ({"tool_choice": {"type": "custom", "custom": {"name": "sh"}}}, ToolChoice("named", "sh")),
        ({"parallel_tool_calls": False}, ToolChoice("auto", parallel=False)),
        ({"function_call": "none"}, ToolChoice("none")),
    ],
)
def test_every_form_of_tool_choice_is_read(fields: Json, choice: ToolChoice | None) -> None:
    assert prompt_of(**fields).tool_choice == choice


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"type": "text"}, Format("text")),
        ({"type": "json_object"}, Format("json")),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"x": 1}, "strict": True, "description": "d"},
            },
            Format("schema", "a", msgspec.Raw(b'{"x":1}'), True, "d"),
        ),
    ],
)
def test_every_response_format_is_read(given: Json, found: Format) -> None:
    assert prompt_of(response_format=given).format == found


def test_numbers_limits_and_names_are_read() -> None:
    prompt = prompt_of(
        max_tokens=9,
        max_completion_tokens=7,
        stop="END",
        temperature=0.5,
        top_p=1,
        top_k=40,
        seed=5,
        presence_penalty=0.25,
        frequency_penalty=-1,
        logprobs=True,
        top_logprobs=3,
        n=2,
        user="u",
        prompt_cache_key="k",
        service_tier="flex",
        metadata={"a": "", "b": "c"},
        reasoning_effort="xhigh",
        stream_options={"include_usage": True},
    )
    bare = Prompt(origin="openai.chat", turns=prompt.turns)
    assert prompt == msgspec.structs.replace(
        bare,
        output_tokens=7,
        stop=("END",),
        sampling=Sampling(0.5, 1.0, 40, 5, 0.25, -1.0, True, 3),
        choices=2,
        user="u",
        cache_key="k",
        service_tier="flex",
        metadata={"a": "", "b": "c"},
        reasoning=Reasoning("xhigh"),
        wants_usage=True,
    )
    assert prompt_of(stop=["a", "b"]).stop == ("a", "b")
    assert prompt_of() == bare


def test_reasoning_as_openrouter_writes_it_is_read() -> None:
    assert prompt_of(reasoning={"effort": "high", "exclude": True}).reasoning == Reasoning("high", shown=False)
    assert prompt_of(reasoning={"max_tokens": 2000}).reasoning == Reasoning(budget_tokens=2000)
    assert prompt_of(reasoning={"enabled": False}).reasoning == Reasoning(budget_tokens=0)


def test_nulls_say_nothing() -> None:
    names = ("tools", "tool_choice", "stop", "temperature", "max_tokens", "n", "user", "metadata", "response_format")
    assert prompt_of(**dict.fromkeys(names), logit_bias=None) == prompt_of()


def test_what_is_not_understood_is_kept_under_its_path() -> None:
    prompt = prompt_of(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a", "new": 1}], "weight": 0},
            {"role": "assistant", "tool_calls": [CALL | {"x": 2}]},
        ],
        tools=[{"type": "function", "function": {"name": "f", "deferred": True}, "y": 3}],
        logit_bias={"50256": -100},
        store=False,
        response_format={"type": "grammar", "grammar": "x"},
        tool_choice={"type": "allowed_tools", "allowed_tools": {}},
        stream_options={"include_obfuscation": False},
    )
    assert {name: bytes(raw) for name, raw in prompt.extras.items()} == {
        "messages.0.content.0.new": b"1",
        "messages.0.weight": b"0",
        "messages.1.tool_calls.0.x": b"2",
        "tools.0.function.deferred": b"true",
        "tools.0.y": b"3",
        "logit_bias": b'{"50256":-100}',
        "store": b"false",
        "response_format": b'{"type":"grammar","grammar":"x"}',
        "tool_choice": b'{"type":"allowed_tools","allowed_tools":{}}',
        "stream_options.include_obfuscation": b"false",
    }


def test_a_search_is_asked_for_by_empty_options_too() -> None:
    assert bytes(prompt_of(web_search_options={}).extras["web_search_options"]) == b"{}"
    assert prompt_of(web_search_options=None, logit_bias={}).extras == {}


def test_a_part_of_a_kind_that_we_do_not_know_is_kept_whole() -> None:
    (found,) = turns_of(user({"type": "hologram", "url": "x"})).turns[0].parts
    assert isinstance(found, Opaque)
    assert (found.type, bytes(found.raw)) == ("hologram", b'{"type":"hologram","url":"x"}')


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [5]}, "messages.0"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages.0.content.0.file.file_data",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages.0.tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages.0.tool_calls.0.function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "x", "function": {}}]}]},
            "messages.0.tool_calls.0.function.name",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "lost", "content": "x"}]},
            "messages.0.tool_call_id",
        ),
        (
            {"messages": [{"role": "function", "name": "lost", "content": "x"}]},
            "messages.0.name",
        ),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]}, "tools.0.function.parameters"),
        ({"tools": "many"}, "tools"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"stop": [1]}, "stop"),
        ({"temperature": "hot"}, "temperature"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"user": 5}, "user"),
    ],
)
def test_a_request_of_wrong_shape_is_refused_with_its_field(fields: Json, param: str) -> None:
    with pytest.raises(Failure) as caught:
        prompt_of(**fields)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)


def test_a_second_result_for_one_call_is_refused() -> None:
    result: Json = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
    with pytest.raises(Failure) as caught:
        turns_of({"role": "assistant", "tool_calls": [CALL]}, result, result)
    assert caught.value.param == "messages.2.tool_call_id"
