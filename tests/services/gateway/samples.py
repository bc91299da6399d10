"""Whole answers and streams in each protocol, as providers send them, cut short to what clients need."""

import json


def events(*data: dict[str, object], named: bool) -> list[bytes]:
    """One frame for each; `named` with an `event:` line."""
    return [
        (b"event: %b\n" % str(one["type"]).encode() if named else b"") + b"data: " + json.dumps(one).encode() + b"\n\n"
        for one in data
    ]


def _chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "chat",
        "choices": [choice],
    }


CHAT = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }
).encode()
CHAT_FRAMES = [
    *events(
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"content": "Hel"}),
        _chunk({"content": "lo!"}),
        _chunk({}, "stop"),
        named=False,
    ),
    b"data: [DONE]\n\n",
]

_MESSAGE_ITEM: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello!", "annotations": []}],
}
_RESPONSE: dict[str, object] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_790_000_000,
    "status": "completed",
    "model": "chat",
    "output": [_MESSAGE_ITEM],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    },
}
_AT: dict[str, object] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_EMPTY_PART: dict[str, object] = {"type": "output_text", "text": "", "annotations": []}
RESPONSE = json.dumps(_RESPONSE).encode()
RESPONSE_FRAMES = events(
    {"type": "response.created", "sequence_number": 0, "response": _RESPONSE | {"status": "in_progress", "output": []}},
    {
        "type": "response.output_item.added",
        "sequence_number": 1,
        "output_index": 0,
        "item": _MESSAGE_ITEM | {"content": [], "status": "in_progress"},
    },
    {"type": "response.content_part.added", "sequence_number": 2, **_AT, "part": _EMPTY_PART},
    {"type": "response.output_text.delta", "sequence_number": 3, **_AT, "delta": "Hel", "logprobs": []},
    {"type": "response.output_text.delta", "sequence_number": 4, **_AT, "delta": "lo!", "logprobs": []},
    {"type": "response.output_text.done", "sequence_number": 5, **_AT, "text": "Hello!", "logprobs": []},
    {
        "type": "response.content_part.done",
        "sequence_number": 6,
        **_AT,
        "part": {"type": "output_text", "text": "Hello!", "annotations": []},
    },
    {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": _MESSAGE_ITEM},
    {"type": "response.completed", "sequence_number": 8, "response": _RESPONSE},
    named=True,
)

_MESSAGE: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "chat",
    "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}
MESSAGE = json.dumps(_MESSAGE).encode()
MESSAGE_FRAMES = events(
    {"type": "message_start", "message": _MESSAGE | {"content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo!"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 3},
    },
    {"type": "message_stop"},
    named=True,
)


def _candidate(text: str, finish: str | None = None) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "chat", "responseId": "r1"}


GEMINI = json.dumps(_candidate("Hello!", "STOP")).encode()
GEMINI_FRAMES = events(_candidate("Hel"), _candidate("lo!", "STOP"), named=False)
