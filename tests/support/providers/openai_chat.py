"""POST /v1/chat/completions."""

import json
from collections.abc import Iterator

from tests.support.providers.scene import CACHED, INPUT, OUTPUT, REASONED, Json, Said, Seen

MODEL = "wire-chat-1"


def read(body: Json) -> Seen:
    seen = Seen(streamed=body.get("stream") is True)
    for message in body["messages"]:  # type: ignore[attr-defined]  # the shape is checked by use
        _message(seen, message)
    seen.tools = [tool["function"]["name"] for tool in body.get("tools") or []]  # type: ignore[attr-defined]
    choice = body.get("tool_choice")
    seen.forced = choice["function"]["name"] if isinstance(choice, dict) else ""
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":  # type: ignore[attr-defined]
        seen.schema = form["json_schema"]["schema"]  # type: ignore[index]
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    seen.output_tokens = cap if isinstance(cap, int) else None
    stop = body.get("stop") or []
    seen.stops = [stop] if isinstance(stop, str) else list(stop)  # type: ignore[call-overload]
    return seen


def _message(seen: Seen, message: dict[str, object]) -> None:
    role, content = message["role"], message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    words = "".join(part["text"] for part in parts if part["type"] == "text")  # type: ignore[attr-defined]
    if role in ("system", "developer"):
        seen.system += words
        return
    if role == "tool":
        assert isinstance(message["tool_call_id"], str)
        seen.resulted(message["tool_call_id"], words)
        return
    if role == "user":
        seen.words, seen.results = words, []
        seen.images += [
            len(part["image_url"]["url"].partition("base64,")[2])
            for part in parts  # type: ignore[attr-defined]
            if part["type"] == "image_url"
        ]
    if words:
        seen.spoke(str(role), words)
    for call in message.get("tool_calls") or []:  # type: ignore[attr-defined]
        seen.called(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))


def whole(said: Said) -> Json:
    message: Json = {"role": "assistant", "content": said.text or None}
    if said.thought:
        message["reasoning_content"] = said.thought
    if said.calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for id, name, arguments in said.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said)}
    return _head("chat.completion") | {"choices": [choice], "usage": _usage(said)}


def stream(said: Said, wants_usage: bool) -> Iterator[str]:
    """Server-sent events."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if said.thought:
        deltas.append({"reasoning_content": said.thought})
    deltas += [{"content": piece} for piece in said.pieces]
    for index, (id, name, arguments) in enumerate(said.calls):
        text = json.dumps(arguments)
        first = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": id, "type": "function", "function": first}]})
        for part in (text[:5], text[5:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    for delta in deltas:
        yield _event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(said)}]})
    if wants_usage:
        yield _event({"choices": [], "usage": _usage(said)})
    yield "data: [DONE]\n\n"


def error(status: int, text: str) -> Json:
    kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded", 404: "model_not_found"}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": text, "type": kind, "param": None, "code": kinds.get(status)}}


def _event(more: Json) -> str:
    return f"data: {json.dumps(_head('chat.completion.chunk') | more)}\n\n"


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-wire1", "object": kind, "created": 1_790_000_000, "model": MODEL}


def _finish(said: Said) -> str:
    return "tool_calls" if said.calls else "length" if said.cut else "stop"


def _usage(said: Said) -> Json:
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "completion_tokens_details": {"reasoning_tokens": REASONED if said.thought else 0},
    }
