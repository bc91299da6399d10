"""POST /v1/messages."""

import json
from collections.abc import Iterator
from itertools import pairwise

from tests.support.providers.scene import CACHED, INPUT, OUTPUT, Json, Said, Seen

MODEL = "wire-claude-1"


def read(body: Json) -> Seen:
    seen = Seen(streamed=body.get("stream") is True)
    assert isinstance(body["max_tokens"], int)
    seen.output_tokens = body["max_tokens"]
    seen.system = _words(body.get("system") or "")
    roles: list[str] = []
    for message in body["messages"]:  # type: ignore[attr-defined]
        roles.append(message["role"])
        _message(seen, message)
    assert roles[0] == "user", roles
    assert all(a != b for a, b in pairwise(roles)), roles
    seen.tools = [tool["name"] for tool in body.get("tools") or [] if "input_schema" in tool]  # type: ignore[attr-defined]
    choice = body.get("tool_choice") or {}
    seen.forced = choice.get("name", "")  # type: ignore[attr-defined]
    form = (body.get("output_config") or {}).get("format")  # type: ignore[attr-defined]
    seen.schema = form["schema"] if form else None
    seen.stops = list(body.get("stop_sequences") or [])  # type: ignore[call-overload]
    return seen


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    for block in content:
        assert block["type"] != "text" or block["text"], "an empty text block is refused"
    return "".join(block["text"] for block in content if block["type"] == "text")


def _message(seen: Seen, message: dict[str, object]) -> None:
    role, content = message["role"], message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role == "user" and any(block["type"] == "text" for block in blocks):  # type: ignore[attr-defined]
        seen.words = ""
    for block in blocks:  # type: ignore[attr-defined]
        match block["type"]:
            case "tool_use":
                seen.called(block["id"], block["name"], block["input"])
            case "tool_result":
                seen.resulted(block["tool_use_id"], _words(block.get("content") or ""))
            case "thinking":
                seen.signatures.append(block["signature"])
            case "image":
                seen.images.append(len(block["source"]["data"]))
            case "text":
                if role == "user":
                    seen.words, seen.results = seen.words + block["text"], []
                seen.spoke(str(role), block["text"])


def whole(said: Said) -> Json:
    return {
        "id": "msg_wire1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": _content(said),
        "stop_reason": _stop(said),
        "stop_sequence": None,
        "usage": _input() | {"output_tokens": OUTPUT},
    }


def stream(said: Said, _wants_usage: bool) -> Iterator[str]:
    """Server-sent events."""
    start = whole(said) | {"content": [], "stop_reason": None, "usage": _input() | {"output_tokens": 1}}
    yield _event("message_start", message=start)
    for index, block in enumerate(_content(said)):
        empty: dict[str, Json] = {
            "text": {"type": "text", "text": ""},
            "thinking": {"type": "thinking", "thinking": "", "signature": ""},
            "tool_use": {**block, "input": {}},
        }
        yield _event("content_block_start", index=index, content_block=empty[str(block["type"])])
        if index == 0:
            yield _event("ping")
        for delta in _deltas(said, block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta", delta={"stop_reason": _stop(said), "stop_sequence": None}, usage={"output_tokens": OUTPUT}
    )
    yield _event("message_stop")


def error(status: int, text: str) -> Json:
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    return {
        "type": "error",
        "error": {"type": kinds.get(status, "api_error"), "message": text},
        "request_id": "req_wire1",
    }


def _deltas(said: Said, block: Json) -> list[Json]:
    match block["type"]:
        case "text":
            return [{"type": "text_delta", "text": piece} for piece in said.pieces]
        case "thinking":
            return [
                {"type": "thinking_delta", "thinking": said.thought},
                {"type": "signature_delta", "signature": said.signature},
            ]
    text = json.dumps(block["input"])
    return [{"type": "input_json_delta", "partial_json": part} for part in ("", text[:6], text[6:])]


def _content(said: Said) -> list[Json]:
    blocks: list[Json] = []
    if said.thought:
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": said.signature})
    if said.pieces:
        blocks.append({"type": "text", "text": said.text})
    return blocks + [{"type": "tool_use", "id": id, "name": name, "input": given} for id, name, given in said.calls]


def _stop(said: Said) -> str:
    return "tool_use" if said.calls else "max_tokens" if said.cut else "end_turn"


def _input() -> Json:
    """`input_tokens` leaves out what the cache gave."""
    return {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0}


def _event(kind: str, **more: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"
