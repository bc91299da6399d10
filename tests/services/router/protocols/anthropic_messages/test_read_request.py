"""What callers of this protocol send, in the neutral form."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages import PROTOCOL
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
from tests.services.router.protocols.anthropic_messages.requests import (
    BILLING,
    EPHEMERAL,
    HOUR,
    assistant,
    claude_code,
    encoded,
    user,
)

MARK = CacheMark()


def prompt(**changes: object) -> Prompt:
    return PROTOCOL.read(encoded(**changes)).prompt()


def parts(*blocks: dict[str, object]) -> tuple[Part, ...]:
    """Of the user's message."""
    return prompt(messages=[user(list(blocks))]).turns[0].parts


def refused(raw: bytes) -> tuple[Code, str]:
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(raw).prompt()
    return caught.value.code, caught.value.param


def test_a_request_of_claude_code_is_read_whole() -> None:
    found = PROTOCOL.read(claude_code()).prompt()
    assert found.turns == (
        Turn("system", (Text("You are an agent.", MARK), Text("Be brief.", CacheMark("1h")))),
        Turn("user", (Text("<system-reminder>today</system-reminder>"), Text("List the files", MARK))),
        Turn("system", (Text("The user prefers short answers."),)),
        Turn(
            "assistant",
            (
                Thinking("", "EqQBCkYIBxgCKkA"),
                Thinking(sealed="EmwKAhgB"),
                Text("I look."),
                ToolCall("toolu_1", "Bash", '{"command":"ls","n":1.5}'),
                ToolCall("toolu_2", "Read", "{}"),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult("toolu_2", (Text("no file"),), "Read", failed=True),
                ToolResult("toolu_1", (Text("a.py"),), "Bash", cache=MARK),
            ),
        ),
        Turn("user", (Text("Go on"),)),
    )
    assert [tool.name for tool in found.tools if isinstance(tool, Tool)] == ["Bash", "Read"]
    assert isinstance(found.tools[1], Tool) and (found.tools[1].strict, found.tools[1].cache) == (True, MARK)
    assert found.reasoning == Reasoning("high", -1, shown=False)
    assert found.output_tokens == 32000
    assert found.user == '{"device_id":"d","session_id":"s"}'
    assert (found.origin, found.choices, found.metadata) == (ANTHROPIC_MESSAGES, 1, {})


def test_the_line_for_anthropic_s_books_is_no_part_of_the_prompt() -> None:
    """Lesson 14: it is for no other model to read, and goes back only to Anthropic."""
    found = PROTOCOL.read(claude_code()).prompt()
    assert msgspec.json.decode(found.extras["x-anthropic-billing-header"]) == BILLING
    assert not any(BILLING in str(turn) for turn in found.turns)
    assert set(found.extras) == {"x-anthropic-billing-header", "context_management"}


def test_the_input_of_a_call_is_kept_byte_for_byte() -> None:
    raw = b"""{"model":"m","messages":[{"role":"assistant","content":[
        {"type":"tool_use","id":"a","name":"f","input":{ "x" : 1.10, "big":12345678901234567890 }}]}]}"""
    found = PROTOCOL.read(raw).prompt().turns[0].parts[0]
    assert isinstance(found, ToolCall)
    assert found.arguments == '{ "x" : 1.10, "big":12345678901234567890 }'


def test_absent_stays_absent() -> None:
    found = prompt()
    assert (found.tool_choice, found.reasoning, found.format, found.cache) == (None, None, None, None)
    assert (found.stop, found.tools, found.extras, found.sampling) == ((), (), {}, Sampling())
    assert (found.service_tier, found.user) == ("", "")
    assert PROTOCOL.read(b'{"messages":[]}').prompt().output_tokens is None


def test_a_null_is_as_good_as_absent() -> None:
    names = ("system", "tools", "tool_choice", "thinking", "output_config", "metadata", "cache_control", "thread", "x")
    assert prompt(**dict.fromkeys(names)) == prompt()


def test_system_is_a_text_or_blocks() -> None:
    assert prompt(system="Be kind.").turns[0] == Turn("system", (Text("Be kind."),))
    blocks = [{"type": "text", "text": "Be kind.", "cache_control": HOUR}]
    assert prompt(system=blocks).turns[0] == Turn("system", (Text("Be kind.", CacheMark("1h")),))


@pytest.mark.parametrize(
    ("block", "media"),
    [
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
            Media("image", "image/png", data="iVBO"),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": EPHEMERAL},
            Media("image", url="https://x/y.png", cache=MARK),
        ),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, Media("image", file="file_1")),
        (
            {
                "type": "document",
                "title": "Report",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            },
            Media("document", "application/pdf", data="JVBE", name="Report"),
        ),
        ({"type": "document", "source": {"type": "url", "url": "https://x"}}, Media("document", url="https://x")),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, Media("document", file="f")),
    ],
)
def test_images_and_documents_are_read(block: dict[str, object], media: Media) -> None:
    assert parts(block) == (media,)


def test_documents_of_plain_text_and_of_blocks_become_words() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Once."}
    assert parts({"type": "document", "title": "Tale", "source": source}) == (Text("Tale\n\nOnce."),)
    content = [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    made = parts({"type": "document", "source": {"type": "content", "content": content}, "cache_control": EPHEMERAL})
    assert made == (Text("One"), Text("Two", MARK))


def test_results_come_before_words_whatever_their_order() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    content = [{"type": "text", "text": "and"}, {"type": "tool_result", "tool_use_id": "a"}]
    found = prompt(messages=[user("x"), assistant(call), user(content)]).turns[2:]
    assert found == (Turn("tool", (ToolResult("a", (), "f"),)), Turn("user", (Text("and"),)))


def test_what_a_result_holds_beside_words_and_media_is_shown_as_it_is() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    found_block = {"type": "search_result", "title": "T", "content": []}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [image, found_block]}
    turn = prompt(messages=[user("x"), assistant(call), user([result])]).turns[2]
    shown = (Media("image", "image/png", data="iVBO"), Text('{"type":"search_result","title":"T","content":[]}'))
    assert turn == Turn("tool", (ToolResult("a", shown, "f"),))


def test_blocks_that_only_anthropic_knows_are_kept_whole() -> None:
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    turn = prompt(messages=[user("x"), assistant(server, result)]).turns[1]
    assert [(part.origin, part.type) for part in turn.parts if isinstance(part, Opaque)] == [
        (ANTHROPIC_MESSAGES, "server_tool_use"),
        (ANTHROPIC_MESSAGES, "web_search_tool_result"),
    ]
    assert isinstance(turn.parts[0], Opaque) and msgspec.json.decode(turn.parts[0].raw) == server


def test_details_that_have_no_place_are_kept_under_their_path() -> None:
    text = {"type": "text", "text": "a", "citations": [{"type": "char_location"}]}
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "cache_control": EPHEMERAL}
    tool = {"name": "f", "input_schema": {}, "defer_loading": True, "allowed_callers": None}
    found = prompt(messages=[user("x"), assistant(text, call)], tools=[tool], metadata={"n": 1, "k": "v"})
    assert set(found.extras) == {
        "messages.1.content.0.citations",
        "messages.1.content.1.cache_control",
        "tools.0.defer_loading",
        "metadata.n",
    }
    assert found.metadata == {"k": "v"}


def test_tools_of_the_server_are_kept_in_its_words() -> None:
    tool = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
    found = prompt(tools=[tool, {"type": "custom", "name": "f", "input_schema": {"type": "object"}}]).tools
    assert isinstance(found[0], ServerTool) and (found[0].type, found[0].origin) == (
        "web_search_20260318",
        ANTHROPIC_MESSAGES,
    )
    assert found[1] == Tool("f", "", msgspec.Raw(b'{"type":"object"}'))


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(parallel=False)),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required", parallel=True)),
        ({"type": "tool", "name": "f"}, ToolChoice("named", "f")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_the_choice_of_tools_is_read(wire: dict[str, object], choice: ToolChoice) -> None:
    assert prompt(tool_choice=wire).tool_choice == choice


@pytest.mark.parametrize(
    ("thinking", "config", "reasoning"),
    [
        ({"type": "adaptive"}, None, Reasoning(None, -1)),
        ({"type": "adaptive", "display": "summarized"}, {"effort": "xhigh"}, Reasoning("xhigh", -1, True)),
        ({"type": "enabled", "budget_tokens": 5000}, None, Reasoning("medium", 5000)),
        ({"type": "enabled", "budget_tokens": 4096}, {"effort": "max"}, Reasoning("max", 4096)),
        ({"type": "enabled", "budget_tokens": 100_000}, None, Reasoning("max", 100_000)),
        ({"type": "disabled"}, {"effort": "high"}, Reasoning("none", 0)),
        ({"type": "between_tools"}, None, Reasoning("none", 0)),
        (None, {"effort": "low"}, Reasoning("low")),
        (None, {}, None),
    ],
)
def test_thinking_is_read(thinking: object, config: object, reasoning: Reasoning | None) -> None:
    assert prompt(thinking=thinking, output_config=config).reasoning == reasoning


def test_a_schema_is_read_in_both_of_its_places() -> None:
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    wanted = Format("schema", schema=msgspec.Raw(b'{"type":"object"}'))
    assert prompt(output_config={"format": schema}).format == wanted
    assert prompt(output_format=schema).format == wanted


def test_sampling_stops_and_the_rest_are_read() -> None:
    found = prompt(
        temperature=0.5,
        top_p=1,
        top_k=40,
        stop_sequences=["END"],
        service_tier="auto",
        cache_control=HOUR,
        speed="fast",
    )
    assert found.sampling == Sampling(0.5, 1.0, 40)
    assert (found.stop, found.service_tier, found.cache) == (("END",), "auto", CacheMark("1h"))
    assert found.extras == {"speed": msgspec.Raw(b'"fast"')}


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_a_thread_is_refused_by_name(thread: dict[str, object]) -> None:
    """Its second request would come without its history: only Anthropic can answer that."""
    assert refused(encoded(thread=thread)) == (Code.INVALID, "thread")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": [7]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"content": "x"}]}, "messages.0"),
        ({"messages": [user(5)]}, "messages.0.content"),
        ({"messages": [user([{"text": "x"}])]}, "messages.0.content.0"),
        ({"messages": [user([{"type": "text", "text": 5}])]}, "messages.0.content.0.text"),
        ({"messages": [user([{"type": "tool_use", "id": "a", "name": "f"}])]}, "messages.0.content.0.type"),
        ({"messages": [user([{"type": "thinking", "thinking": "x"}])]}, "messages.0.content.0.type"),
        ({"messages": [assistant({"type": "tool_result", "tool_use_id": "a"})]}, "messages.0.content.0.type"),
        ({"messages": [user([{"type": "tool_result", "tool_use_id": "a"}])]}, "messages.0.content.0.tool_use_id"),
        ({"messages": [user([{"type": "image", "source": {"type": "x"}}])]}, "messages.0.content.0.source.type"),
        ({"messages": [user([{"type": "image", "source": {"type": "url"}}])]}, "messages.0.content.0.source"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "text"}]}, "system.0"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"description": "x"}]}, "tools.0.name"),
        ({"tools": [{"name": "f", "strict": "yes"}]}, "tools.0.strict"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["a", 5]}, "stop_sequences.1"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(changes: dict[str, object], param: str) -> None:
    assert refused(encoded(**changes)) == (Code.INVALID, param)


def test_a_call_id_that_stands_twice_is_refused() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert refused(encoded(messages=[assistant(call, call)])) == (Code.INVALID, "messages.0.content.1.id")


def test_a_result_that_stands_twice_is_refused() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a"}
    found = refused(encoded(messages=[assistant(call), user([result, result])]))
    assert found == (Code.INVALID, "messages.1.content.1.tool_use_id")


@pytest.mark.parametrize("at", ["messages", "tools", "system", "metadata", "x"])
def test_deep_nesting_is_refused_or_passed_and_never_a_crash(at: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    raw = b'{"messages":[],"' + at.encode() + b'":' + deep + b"}"
    with pytest.raises(Failure):
        PROTOCOL.read(raw).prompt()


def test_ten_thousand_tools_are_read() -> None:
    tools = [{"name": f"t{n}", "input_schema": {"type": "object"}} for n in range(10_000)]
    assert len(prompt(tools=tools).tools) == 10_000


def test_words_of_a_request_are_never_in_the_refusal() -> None:
    with pytest.raises(Failure) as caught:
        prompt(messages=[user([{"type": "text", "text": {"secret": "hunter2"}}])])
    assert "hunter2" not in caught.value.detail
