"""What fuzzing begins with: a request, an answer and a stream of each protocol, with as many fields as can be."""

import json
from collections.abc import Iterator, Mapping

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_RESPONSES

Json = dict[str, object]

_SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_IMAGE = "data:image/png;base64,iVBORw0KGgo="

REQUESTS: Mapping[str, Json] = {
    OPENAI_CHAT: {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": _IMAGE, "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "reasoning_content": "Hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city":"Paris"}'}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "x"}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "F", "parameters": _SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA, "strict": True}},
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "stop": ["END"],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "high",
        "metadata": {"a": "b"},
        "user": "u",
    },
    OPENAI_RESPONSES: {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "hi"},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": _IMAGE, "detail": "auto"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "gAAA",
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": _SCHEMA, "strict": False},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": _SCHEMA}]},
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "text": {"format": {"type": "json_schema", "name": "s", "schema": _SCHEMA}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
        "max_output_tokens": 100,
        "prompt_cache_key": "k",
    },
    ANTHROPIC_MESSAGES: {
        "model": "m",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}, "title": "t"},
                ],
            },
            {"role": "system", "content": "later"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "eHl6"},
                    {"type": "text", "text": "So."},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "Paris"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": False,
                        "content": [{"type": "text", "text": "sunny"}],
                    },
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
        "tools": [
            {"name": "f", "description": "F", "input_schema": _SCHEMA},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 50},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": _SCHEMA}},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "stream": True,
    },
    GEMINI_GENERATE: {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Hm", "thought": True, "thoughtSignature": "QQ=="},
                    {"functionCall": {"id": "c", "name": "f", "args": {"city": "Paris"}}, "thoughtSignature": "Qg=="},
                    {"functionCall": {"name": "f", "args": {}}},
                    {"executableCode": {"code": "1"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c", "name": "f", "response": {"output": "sunny"}}},
                    {"function_response": {"name": "f", "response": {"error": "no"}}},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.org/a.pdf"}},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
                    {"name": "g", "parametersJsonSchema": _SCHEMA},
                ]
            },
            {"googleSearch": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}},
        "generationConfig": {
            "temperature": 0.5,
            "topK": 40.0,
            "maxOutputTokens": 100,
            "candidateCount": 2,
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "nullable": True, "properties": {"a": {"type": "STRING"}}},
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 10},
        },
        "safetySettings": [{"category": "c", "threshold": "t"}],
    },
}

ANSWERS: Mapping[str, Json] = {
    OPENAI_CHAT: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "logprobs": None,
                "message": {
                    "role": "assistant",
                    "content": "So.",
                    "refusal": None,
                    "reasoning_content": "Hm",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    },
    OPENAI_RESPONSES: {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "error": None,
        "incomplete_details": None,
        "output": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "gAAA",
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "So.", "annotations": []}],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
        ],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
        },
    },
    ANTHROPIC_MESSAGES: {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "text", "text": "So."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "Paris"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
            "output_tokens": 5,
        },
    },
    GEMINI_GENERATE: {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hm", "thought": True},
                        {"text": "So.", "thoughtSignature": "QQ=="},
                        {"functionCall": {"name": "f", "args": {"city": "Paris"}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
                "groundingMetadata": {"a": 1},
            }
        ],
        "promptFeedback": {"safetyRatings": []},
        "usageMetadata": {
            "promptTokenCount": 10,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 15,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        },
        "modelVersion": "m",
        "responseId": "r",
    },
}


def _delta(**delta: object) -> Json:
    return {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _call(**call: object) -> Json:
    return _delta(tool_calls=[{"index": 0, **call}])


STREAMS: Mapping[str, list[Json]] = {
    OPENAI_CHAT: [
        _delta(role="assistant", content=""),
        _delta(reasoning_content="Hm"),
        _delta(content="So."),
        _call(id="c1", type="function", function={"name": "f", "arguments": ""}),
        _call(function={"arguments": "{}"}),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": ANSWERS[OPENAI_CHAT]["usage"]},
    ],
    OPENAI_RESPONSES: [
        {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "m", "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []},
        },
        {
            "type": "response.content_part.added",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "output_text", "text": ""},
        },
        {
            "type": "response.output_text.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "So.",
        },
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 1, "delta": "{}"},
        {
            "type": "response.output_item.done",
            "output_index": 1,
            "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        },
        {"type": "response.completed", "response": ANSWERS[OPENAI_RESPONSES]},
    ],
    ANTHROPIC_MESSAGES: [
        {
            "type": "message_start",
            "message": {"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 6, "output_tokens": 1}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "ping"},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ],
    GEMINI_GENERATE: [
        {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}], "responseId": "r"},
        {"candidates": [{"content": {"parts": [{"text": "So"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": ".", "thoughtSignature": "QQ=="}]}, "index": 0}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}}]},
        {
            "candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}],
            "usageMetadata": ANSWERS[GEMINI_GENERATE]["usageMetadata"],
        },
    ],
}

EMBEDDINGS: Mapping[str, Json] = {
    "openai": {
        "data": [{"index": 1, "embedding": [1, 2.5]}, {"index": 0, "embedding": [3, 4]}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    },
    "gemini": {"embeddings": [{"values": [1, 2.5]}, {"values": [3, 4]}], "usageMetadata": {"promptTokenCount": 3}},
}

_ERROR: Json = {"error": {"code": 429, "message": "m", "type": "overloaded_error", "status": "RESOURCE_EXHAUSTED"}}
_FRAMES = b": comment\r\n\r\ndata: a\ndata: b\n\nevent: x\rdata:c\r\rid: 1\r\n\n\ndata: \xc3\xa9"


def documents(target: str) -> list[Json] | None:
    """The JSON of a target: one document, or the data of the events of a stream, in order. None where it takes none."""
    name, _, kind = target.rpartition(".")
    match kind:
        case "request":
            return [REQUESTS[name]]
        case "answer":
            return [ANSWERS[name]]
        case "stream":
            return STREAMS[name]
        case "embeddings":
            return [EMBEDDINGS[name]]
        case _:
            return None


def encoded(target: str, found: list[Json]) -> bytes:
    """Documents as the target takes them."""
    name, _, kind = target.rpartition(".")
    if kind != "stream":
        return json.dumps(found[0]).encode()
    events = [_event(name, one) for one in found]
    return b"".join(events) + (b"data: [DONE]\n\n" if name == OPENAI_CHAT else b"")


def seeds(target: str) -> Iterator[bytes]:
    """What the target takes, well formed and not."""
    found = documents(target)
    if found is None:
        yield _FRAMES
        return
    yield encoded(target, found)
    yield encoded(target, [_ERROR])
    yield encoded(target, [{"type": "error", **_ERROR}])
    yield b""


def _event(name: str, data: Json) -> bytes:
    named = name in (OPENAI_RESPONSES, ANTHROPIC_MESSAGES) and isinstance(data.get("type"), str)
    head = b"event: " + str(data["type"]).encode() + b"\n" if named else b""
    return head + b"data: " + json.dumps(data).encode() + b"\n\n"
