"""POST /v1beta/models/{model}:generateContent and :streamGenerateContent?alt=sse."""

import json
from collections.abc import Iterator

from tests.support.providers.scene import CACHED, INPUT, OUTPUT, REASONED, Json, Said, Seen

MODEL = "wire-gemini-1"


def read(body: Json) -> Seen:
    seen = Seen()
    system = body.get("systemInstruction") or {"parts": []}
    seen.system = "".join(part["text"] for part in system["parts"])  # type: ignore[index]
    for content in body["contents"]:  # type: ignore[attr-defined]
        assert content["role"] in ("user", "model"), content["role"]
        for part in content["parts"]:
            _part(seen, content["role"], part)
    for tool in body.get("tools") or []:  # type: ignore[attr-defined]
        seen.tools += [declared["name"] for declared in tool.get("functionDeclarations", [])]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}  # type: ignore[attr-defined]
    seen.forced = "".join(calling.get("allowedFunctionNames") or []) if calling.get("mode") == "ANY" else ""
    config = body.get("generationConfig") or {}
    seen.schema = config.get("responseJsonSchema") or config.get("responseSchema")  # type: ignore[attr-defined]
    assert seen.schema is None or config["responseMimeType"] == "application/json"  # type: ignore[index]
    seen.output_tokens = config.get("maxOutputTokens")  # type: ignore[attr-defined]
    seen.stops = list(config.get("stopSequences") or [])  # type: ignore[attr-defined]
    return seen


def _part(seen: Seen, role: str, part: dict[str, object]) -> None:
    if signature := part.get("thoughtSignature"):
        seen.signatures.append(str(signature))
    if part.get("thought"):
        return
    if "functionCall" in part:
        call = part["functionCall"]
        assert isinstance(call, dict)
        seen.called(call.get("id") or call["name"], call["name"], call.get("args", {}))
    elif "functionResponse" in part:
        given = part["functionResponse"]
        assert isinstance(given, dict)
        assert given["name"], "a result names its function"
        response = given["response"]
        words = str(next(iter(response.values()))) if len(response) == 1 else json.dumps(response)
        seen.resulted(given.get("id") or given["name"], words)
    elif "inlineData" in part:
        blob = part["inlineData"]
        assert isinstance(blob, dict)
        seen.images.append(len(blob["data"]))
    else:
        words = str(part["text"])
        if role == "user":
            seen.words, seen.results = words, []
        seen.spoke("assistant" if role == "model" else role, words)


def whole(said: Said) -> Json:
    return _response(_parts(said), _finish(said), said)


def stream(said: Said, _wants_usage: bool) -> Iterator[str]:
    """Server-sent events; a call comes whole."""
    parts = _parts(said)
    texts: list[Json] = [{"text": piece} for piece in said.pieces]
    pieces = (
        [part for part in parts if part.get("thought")] + texts + [part for part in parts if "functionCall" in part]
    )
    for piece in pieces[:-1]:
        yield f"data: {json.dumps(_response([piece], '', said))}\r\n\r\n"
    yield f"data: {json.dumps(_response(pieces[-1:], _finish(said), said))}\r\n\r\n"


def error(status: int, text: str) -> Json:
    names = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        529: "UNAVAILABLE",
    }
    return {"error": {"code": status, "message": text, "status": names.get(status, "INTERNAL")}}


def _parts(said: Said) -> list[Json]:
    parts: list[Json] = []
    if said.thought:
        parts.append({"text": said.thought, "thought": True, "thoughtSignature": said.signature})
    if said.pieces:
        parts.append({"text": said.text})
    return parts + [{"functionCall": {"id": id, "name": name, "args": given}} for id, name, given in said.calls]


def _finish(said: Said) -> str:
    return "MAX_TOKENS" if said.cut else "STOP"


def _response(parts: list[Json], finish: str, said: Said) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    thought = REASONED if said.thought else 0
    usage = {
        "promptTokenCount": INPUT,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUTPUT - thought,
        "thoughtsTokenCount": thought,
        "totalTokenCount": INPUT + OUTPUT,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": "wire1"}
