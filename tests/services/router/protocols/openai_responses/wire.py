"""What callers and OpenAI say, as it stands on the wire."""

import msgspec

from services.router.sse import SseEvent, SseParser

Json = dict[str, object]


def encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def sse(*events: Json) -> bytes:
    """A stream in which every event is numbered."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), encoded(event | {"sequence_number": at}))
        for at, event in enumerate(events)
    )


def parsed(stream: bytes) -> list[SseEvent]:
    parser = SseParser(1 << 20)
    return parser.feed(stream) + parser.finish()


CODEX: Json = {
    "model": "gpt-5.3-codex",
    "stream": True,
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which files are there?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look."}], "encrypted_content": "gAAAA1"},
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": "call_1"},
        {
            "type": "function_call",
            "name": "spawn",
            "namespace": "multi_agent_v1",
            "arguments": "{}",
            "call_id": "call_2",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [
                {"type": "input_text", "text": "done"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
            ],
        },
    ],
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs it.",
            "strict": False,
            "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
        },
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Other agents.",
            "tools": [{"type": "function", "name": "spawn", "description": "Starts one.", "parameters": {}}],
        },
        {"type": "web_search", "external_web_access": True},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "xhigh", "summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "thread-1",
    "client_metadata": {"originator": "codex_exec"},
}

LLAMA_INDEX: Json = {
    "model": "gpt-4o-mini",
    "input": [{"role": "user", "content": "Hello"}],
    "stream": False,
    "previous_response_id": None,
    "instructions": None,
    "include": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": None,
    "reasoning": None,
    "store": None,
    "temperature": 0.1,
    "text": None,
    "tool_choice": None,
    "tools": None,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
    "background": None,
}

SEARCH: Json = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "weather"},
}
THOUGHT: Json = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
    "encrypted_content": "gAAAA2",
}
SAID: Json = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It is dry.", "annotations": [], "logprobs": []}],
}
CALLED: Json = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "name": "look",
    "call_id": "call_1",
    "arguments": '{"at":"Rome"}',
}
USAGE: Json = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 130,
}


def response(**more: object) -> Json:
    made: Json = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5.3-2026-06-01",
        "output": [SEARCH, THOUGHT, SAID, CALLED],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
    }
    return made | more


def at(index: int, item: str, kind: str, **more: object) -> Json:
    return {"type": f"response.{kind}", "output_index": index, "item_id": item} | more


STREAM: tuple[Json, ...] = (
    {"type": "response.created", "response": response(status="in_progress", output=[], usage=None)},
    {"type": "response.in_progress", "response": response(status="in_progress", output=[], usage=None)},
    {"type": "response.output_item.added", "output_index": 0, "item": SEARCH | {"status": "in_progress"}},
    at(0, "ws_1", "web_search_call.in_progress"),
    at(0, "ws_1", "web_search_call.completed"),
    {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"id": "rs_1", "type": "reasoning", "summary": []},
    },
    at(1, "rs_1", "reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}),
    at(1, "rs_1", "reasoning_summary_text.delta", summary_index=0, delta="Fir"),
    at(1, "rs_1", "reasoning_summary_text.delta", summary_index=0, delta="st."),
    at(1, "rs_1", "reasoning_summary_text.done", summary_index=0, text="First."),
    at(1, "rs_1", "reasoning_summary_part.added", summary_index=1, part={"type": "summary_text", "text": ""}),
    at(1, "rs_1", "reasoning_summary_text.delta", summary_index=1, delta="Then."),
    {"type": "response.output_item.done", "output_index": 1, "item": THOUGHT},
    {
        "type": "response.output_item.added",
        "output_index": 2,
        "item": SAID | {"content": [], "status": "in_progress"},
    },
    at(2, "msg_1", "content_part.added", content_index=0, part={"type": "output_text", "text": "", "annotations": []}),
    at(2, "msg_1", "output_text.delta", content_index=0, delta="It is ", logprobs=[], obfuscation="xy"),
    at(2, "msg_1", "output_text.delta", content_index=0, delta="dry.", logprobs=[]),
    at(2, "msg_1", "output_text.done", content_index=0, text="It is dry.", logprobs=[]),
    {"type": "response.output_item.done", "output_index": 2, "item": SAID},
    {
        "type": "response.output_item.added",
        "output_index": 3,
        "item": CALLED | {"arguments": "", "status": "in_progress"},
    },
    at(3, "fc_1", "function_call_arguments.delta", delta='{"at":'),
    at(3, "fc_1", "function_call_arguments.delta", delta='"Rome"}'),
    at(3, "fc_1", "function_call_arguments.done", arguments='{"at":"Rome"}'),
    {"type": "response.output_item.done", "output_index": 3, "item": CALLED},
    {"type": "response.completed", "response": response()},
)
