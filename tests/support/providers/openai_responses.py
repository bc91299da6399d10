"""POST /v1/responses."""

import json
from collections.abc import Iterator

from tests.support.providers.scene import CACHED, INPUT, OUTPUT, REASONED, Json, Said, Seen

MODEL = "wire-responses-1"


def read(body: Json) -> Seen:
    seen = Seen(streamed=body.get("stream") is True)
    seen.system = str(body.get("instructions") or "")
    given = body["input"]
    items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:  # type: ignore[attr-defined]
        _item(seen, item)
    seen.tools = [tool["name"] for tool in body.get("tools") or [] if tool["type"] == "function"]  # type: ignore[attr-defined]
    choice = body.get("tool_choice")
    seen.forced = choice["name"] if isinstance(choice, dict) else ""
    form = (body.get("text") or {}).get("format") or {}  # type: ignore[attr-defined]
    if form.get("type") == "json_schema":
        seen.schema = form["schema"]
    cap = body.get("max_output_tokens")
    seen.output_tokens = cap if isinstance(cap, int) else None
    return seen


def _item(seen: Seen, item: dict[str, object]) -> None:
    kind = item.get("type", "message")
    if kind == "function_call":
        seen.called(str(item["call_id"]), str(item["name"]), json.loads(str(item["arguments"])))
    elif kind == "function_call_output":
        words = str(item["output"])
        if isinstance(item["output"], list):
            words = "".join(part["text"] for part in item["output"])
        seen.resulted(str(item["call_id"]), words)
    elif kind == "reasoning":
        seen.signatures.append(str(item.get("encrypted_content") or ""))
    elif kind == "message":
        _message(seen, item)
    else:
        raise AssertionError(f"a strange item: {kind}")


def _message(seen: Seen, item: dict[str, object]) -> None:
    role, content = item["role"], item["content"]
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    words = "".join(part["text"] for part in parts if part["type"] in ("input_text", "output_text"))  # type: ignore[attr-defined]
    if role in ("system", "developer"):
        seen.system += words
        return
    if role == "user":
        seen.words, seen.results = words, []
        seen.images += [
            len(part["image_url"].partition("base64,")[2])
            for part in parts  # type: ignore[attr-defined]
            if part["type"] == "input_image"
        ]
    seen.spoke(str(role), words)


def whole(said: Said) -> Json:
    status = "incomplete" if said.cut else "completed"
    return _response(said, status, _output(said))


def stream(said: Said, _wants_usage: bool) -> Iterator[str]:
    """Server-sent events, each with its number."""
    number = 0

    def event(kind: str, **more: object) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number - 1, **more})}\n\n"

    empty = _response(said, "in_progress", [])
    yield event("response.created", response=empty)
    yield event("response.in_progress", response=empty)
    for at, item in enumerate(_output(said)):
        place = {"output_index": at, "item_id": item["id"]}
        if item["type"] == "message":
            yield event(
                "response.output_item.added", output_index=at, item=item | {"content": [], "status": "in_progress"}
            )
            part = {"type": "output_text", "text": "", "annotations": []}
            yield event("response.content_part.added", **place, content_index=0, part=part)
            for piece in said.pieces:
                yield event("response.output_text.delta", **place, content_index=0, delta=piece, logprobs=[])
            yield event("response.output_text.done", **place, content_index=0, text=said.text, logprobs=[])
            yield event("response.content_part.done", **place, content_index=0, part=part | {"text": said.text})
        elif item["type"] == "function_call":
            arguments = str(item["arguments"])
            yield event(
                "response.output_item.added", output_index=at, item=item | {"arguments": "", "status": "in_progress"}
            )
            for part_of in (arguments[:4], arguments[4:]):
                yield event("response.function_call_arguments.delta", **place, delta=part_of)
            yield event("response.function_call_arguments.done", **place, arguments=arguments, name=item["name"])
        else:
            yield event("response.output_item.added", output_index=at, item=item | {"summary": []})
            summary = {"type": "summary_text", "text": said.thought}
            yield event("response.reasoning_summary_part.added", **place, summary_index=0, part=summary | {"text": ""})
            yield event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=said.thought)
            yield event("response.reasoning_summary_text.done", **place, summary_index=0, text=said.thought)
            yield event("response.reasoning_summary_part.done", **place, summary_index=0, part=summary)
        yield event("response.output_item.done", output_index=at, item=item)
    last = "response.incomplete" if said.cut else "response.completed"
    yield event(last, response=whole(said))


def error(status: int, text: str) -> Json:
    kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded", 404: "model_not_found"}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": text, "type": kind, "param": None, "code": kinds.get(status)}}


def _output(said: Said) -> list[Json]:
    items: list[Json] = []
    if said.thought:
        summary = [{"type": "summary_text", "text": said.thought}]
        items.append(
            {
                "id": f"rs_wire{said.number}",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": said.signature,
                "status": "completed",
            }
        )
    if said.pieces:
        content = [{"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}]
        items.append(
            {
                "id": f"msg_wire{said.number}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    for id, name, arguments in said.calls:
        items.append(
            {
                "id": f"fc_{id}_{said.number}",
                "type": "function_call",
                "call_id": id,
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
        )
    return items


def _response(said: Said, status: str, output: list[Json]) -> Json:
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": REASONED if said.thought else 0},
        "total_tokens": INPUT + OUTPUT,
    }
    return {
        "id": f"resp_wire{said.number}",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": MODEL,
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if said.cut else None,
        "instructions": None,
        "metadata": {},
        "previous_response_id": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": None if status == "in_progress" else usage,
    }
