"""One GenerateContentResponse, whole or an event of a stream: what it holds, as far as anybody here asks. Pure."""

from typing import NamedTuple

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.gemini_generate.fields import Fields, Malformed, checked, fields, items, text, whole
from services.router.protocols.gemini_generate.finish import fault_of, stated, usage_of

CANDIDATES_MAX = 128
_LIST = ord("[")


class Candidate(NamedTuple):
    """One answer, or more of it. `reason`: "" while it goes on. `fields`: all of it."""

    number: int
    parts: list[msgspec.Raw]
    reason: str
    fields: Fields


class Response(NamedTuple):
    """`blocked`: why the prompt was not answered at all."""

    candidates: list[Candidate]
    usage: Usage | None
    id: str
    model: str
    blocked: str


def read_response(data: bytes) -> Response:
    """Raises Fault for an error in its place, Malformed for what is no response."""
    found = fields(_object(checked(data)), "the answer")
    if "error" in found:
        raise fault_of(found["error"])
    feedback = fields(found["promptFeedback"], "promptFeedback") if "promptFeedback" in found else {}
    usage = found.get("usageMetadata")
    return Response(
        [_candidate(raw, number) for number, raw in enumerate(items(found.get("candidates"), "candidates"))],
        None if usage is None else usage_of(usage),
        text(found, "responseId", ""),
        text(found, "modelVersion", ""),
        text(feedback, "blockReason", "promptFeedback"),
    )


def _object(data: bytes) -> msgspec.Raw | bytes:
    """Errors, and answers of streams that are JSON arrays, may stand in a list of one."""
    start = data.lstrip()[:1]
    if not start or start[0] != _LIST:
        return data
    held = items(msgspec.Raw(data), "the answer")
    if len(held) != 1:
        raise Malformed("the answer", "must be one object")
    return held[0]


def _candidate(raw: msgspec.Raw, number: int) -> Candidate:
    path = f"candidates.{number}"
    found = fields(raw, path)
    index = whole(found, "index", path)
    index = number if index is None else index
    if not 0 <= index < CANDIDATES_MAX:
        raise Malformed(f"{path}.index", f"must be from 0 to {CANDIDATES_MAX - 1}")
    content = found.get("content")
    held = {} if content is None else fields(content, f"{path}.content")
    return Candidate(index, items(held.get("parts"), f"{path}.content.parts"), stated(found, path), found)
