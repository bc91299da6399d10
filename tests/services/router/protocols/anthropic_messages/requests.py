"""Requests as real clients send them, shortened."""

from collections.abc import Mapping

import msgspec

BILLING = "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=sdk-cli;"
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}

CLAUDE_CODE: dict[str, object] = {
    "model": "claude-opus-5",
    "max_tokens": 32000,
    "stream": True,
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "metadata": {"user_id": '{"device_id":"d","session_id":"s"}'},
    "system": [
        {"type": "text", "text": BILLING},
        {"type": "text", "text": "You are an agent.", "cache_control": EPHEMERAL},
        {"type": "text", "text": "Be brief.", "cache_control": HOUR},
    ],
    "tools": [
        {
            "name": "Bash",
            "description": "Runs a command",
            "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
            "eager_input_streaming": True,
        },
        {"name": "Read", "input_schema": {"type": "object"}, "cache_control": EPHEMERAL, "strict": True},
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>today</system-reminder>"},
                {"type": "text", "text": "List the files", "cache_control": EPHEMERAL},
            ],
        },
        {"role": "system", "content": "The user prefers short answers."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "EqQBCkYIBxgCKkA"},
                {"type": "redacted_thinking", "data": "EmwKAhgB"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls", "n": 1.50}},
                {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no file", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "a.py"}],
                    "is_error": False,
                    "cache_control": EPHEMERAL,
                },
                {"type": "text", "text": "Go on"},
            ],
        },
    ],
}


def encoded(**changes: object) -> bytes:
    """A small request with these fields."""
    return msgspec.json.encode({"model": "m", "max_tokens": 100, "messages": [user("hello")]} | changes)


def claude_code(**changes: object) -> bytes:
    return msgspec.json.encode(CLAUDE_CODE | changes)


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def assistant(*blocks: Mapping[str, object]) -> dict[str, object]:
    return {"role": "assistant", "content": list(blocks)}
