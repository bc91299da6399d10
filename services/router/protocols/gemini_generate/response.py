"""One GenerateContentResponse, whole or an event of a stream: what it holds, as far as anybody here asks. Pure."""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from penstock.contracts.llm import Usage
from services.router.fault import NOTHING, is_nothing
from services.router.protocols.gemini_generate.counts import Reported, camelled_counts, counted
from services.router.protocols.gemini_generate.fields import Fields, Malformed, checked, fields, items
from services.router.protocols.gemini_generate.finish import UNSPECIFIED, fault_of

CANDIDATES_MAX = 128
_LIST = ord("[")
_SNAKE_NAME = re.compile(rb'"[a-z]+_[a-z_]+"\s*:')


class Shown(NamedTuple):
    """One part of a content: all of it, and its fields."""

    raw: msgspec.Raw
    fields: Fields


class Candidate(NamedTuple):
    """One answer, or more of it. `reason`: "" while it goes on. `beside`: what is said of the content."""

    number: int
    parts: list[Shown]
    reason: str
    beside: Fields


class Response(NamedTuple):
    """`blocked`: why the prompt was not answered at all."""

    candidates: list[Candidate]
    usage: Usage | None
    id: str
    model: str
    blocked: str


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    index: int | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    grounding_metadata: msgspec.Raw = NOTHING
    citation_metadata: msgspec.Raw = NOTHING
    url_context_metadata: msgspec.Raw = NOTHING
    logprobs_result: msgspec.Raw = NOTHING


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Reported | None = None
    prompt_feedback: _Feedback | None = None
    response_id: str | None = None
    model_version: str | None = None
    error: msgspec.Raw = NOTHING


_DECODER = msgspec.json.Decoder(_Response, strict=False)


def read_response(data: bytes) -> Response:
    """Raises Fault for an error in its place, Malformed for what is no response."""
    held = _object(checked(data))
    try:
        # the API writes camelCase; the other spelling is brought into it first
        found = _DECODER.decode(_camelled(held) if _SNAKE_NAME.search(held) else held)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("the answer", "must be a response of the protocol") from None
    if not is_nothing(found.error):
        raise fault_of(found.error)
    feedback, usage = found.prompt_feedback, found.usage_metadata
    return Response(
        [_candidate(one, number) for number, one in enumerate(found.candidates or ())],
        None if usage is None else counted(usage),
        found.response_id or "",
        found.model_version or "",
        (feedback.block_reason if feedback is not None else None) or "",
    )


def _object(data: bytes) -> bytes:
    """Errors, and answers of streams that are JSON arrays, may stand in a list of one."""
    start = data.lstrip()[:1]
    if not start or start[0] != _LIST:
        return data
    held = items(msgspec.Raw(data), "the answer")
    if len(held) != 1:
        raise Malformed("the answer", "must be one object")
    return bytes(held[0])


def _candidate(found: _Candidate, number: int) -> Candidate:
    path = f"candidates.{number}"
    index = number if found.index is None else found.index
    if not 0 <= index < CANDIDATES_MAX:
        raise Malformed(f"{path}.index", f"must be from 0 to {CANDIDATES_MAX - 1}")
    reason = found.finish_reason or ""
    parts = (found.content.parts if found.content is not None else None) or ()
    return Candidate(
        index,
        [Shown(raw, fields(raw, f"{path}.content.parts")) for raw in parts],
        "" if reason == UNSPECIFIED else reason,
        {name: raw for name, get in _BESIDE if not is_nothing(raw := get(found))},
    )


_BESIDE: tuple[tuple[str, Callable[[_Candidate], msgspec.Raw]], ...] = (
    ("groundingMetadata", lambda found: found.grounding_metadata),
    ("citationMetadata", lambda found: found.citation_metadata),
    ("urlContextMetadata", lambda found: found.url_context_metadata),
    ("logprobsResult", lambda found: found.logprobs_result),
)


def _camelled(data: bytes) -> bytes:
    """The response with its names in camelCase, down to the parts, which are read in both spellings."""
    made: dict[str, object] = dict(fields(data, "the answer"))
    for name, value in made.items():
        if not isinstance(value, msgspec.Raw):
            continue
        if name == "candidates":
            made[name] = [fields(one, name) for one in items(value, name)]
        elif name == "usageMetadata":
            made[name] = camelled_counts(value)
        elif name == "promptFeedback":
            made[name] = fields(value, name)
    return msgspec.json.encode(made)
