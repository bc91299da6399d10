"""The parts of a content, in Gemini's spelling. Pure."""

from collections.abc import Iterable

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.fields import Malformed, json_object, on_one_line
from services.router.protocols.gemini_generate.parts import read_response, type_by_name
from services.router.protocols.loss import Losses
from services.router.protocols.part import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult

Spelled = dict[str, object]
"""One part, ready to be encoded."""

WRAPPED = "input"
"""Gemini's arguments are objects: others are put under this name."""
NAMESPACE_END = ":"
"""May stand in names here, and in none of the protocols that have namespaces."""
CANDIDATE_FIELDS = frozenset({"groundingMetadata", "citationMetadata", "urlContextMetadata", "logprobsResult"})
"""What stands beside the content of a candidate. It is kept as an Opaque part of this type."""


def wire_name(name: str, namespace: str) -> str:
    """One name for a function in its namespace, out of which an answer's reader finds both again."""
    return f"{namespace}{NAMESPACE_END}{name}" if namespace else name


def spell_parts(parts: Iterable[Part], path: str, losses: Losses, *, foreign: bool) -> list[Spelled]:
    """The parts of one content. `foreign`: they were not written in this protocol, and files kept by other providers
    mean nothing here. A signature without a text of its own goes back onto the words (or the medium) before it."""
    made: list[Spelled] = []
    takes = False
    for number, part in enumerate(parts):
        if takes and isinstance(part, Thinking) and part.signature and not part.text:
            made[-1]["thoughtSignature"] = part.signature
            takes = False
            continue
        spelled = spell_part(part, f"{path}.{number}", losses, foreign=foreign)
        if spelled is not None:
            made.append(spelled)
        takes = spelled is not None and isinstance(part, Text | Media)
    return made


def spell_part(part: Part, path: str, losses: Losses, *, foreign: bool = True) -> Spelled | None:
    """One part; None when nothing of it can be said."""
    match part:
        case Text():
            if part.cache is not None:
                losses.note(path, "the cache mark is left out: Gemini caches by itself")
            return {"text": part.text}
        case Refusal():
            losses.note(path, "a refusal is written as text")
            return {"text": part.text}
        case Thinking():
            return _thinking(part, path, losses)
        case ToolCall():
            return _call(part, path, losses)
        case ToolResult():
            return {"functionResponse": _result(part, path, losses, foreign=foreign)}
        case Media():
            return _media(part, path, losses, foreign=foreign)
        case Opaque():
            return _opaque(part, path, losses)


def _thinking(part: Thinking, path: str, losses: Losses) -> Spelled | None:
    if part.sealed:
        losses.note(path, "sealed reasoning is left out: only the endpoint that made it can read it")
    if part.text:
        made: Spelled = {"text": part.text, "thought": True}
        return made | ({"thoughtSignature": part.signature} if part.signature else {})
    return {"text": "", "thoughtSignature": part.signature} if part.signature else None


def _call(part: ToolCall, path: str, losses: Losses) -> Spelled:
    call: Spelled = {"id": part.id} if part.id else {}
    call |= {"name": wire_name(part.name, part.namespace), "args": _arguments(part, path, losses)}
    return {"functionCall": call} | ({"thoughtSignature": part.signature} if part.signature else {})


def _arguments(part: ToolCall, path: str, losses: Losses) -> object:
    if not part.arguments.strip():
        return {}
    if not part.custom and json_object(part.arguments) is not None:
        return on_one_line(msgspec.Raw(part.arguments.strip().encode()))
    losses.grave(path, f"arguments that are no JSON object are put into one, as {WRAPPED!r}")
    try:
        return {WRAPPED: on_one_line(msgspec.Raw(msgspec.json.encode(msgspec.json.decode(part.arguments))))}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {WRAPPED: part.arguments}


def _result(part: ToolResult, path: str, losses: Losses, *, foreign: bool) -> Spelled:
    if part.cache is not None:
        losses.note(path, "the cache mark is left out: Gemini caches by itself")
    words = "\n".join([held.text for held in part.parts if isinstance(held, Text)])
    made: Spelled = {"id": part.call} if part.call else {}
    made |= {"name": part.name, "response": _response(words, failed=part.failed)}
    shown = [
        spelled
        for number, held in enumerate(part.parts)
        if isinstance(held, Media)
        and (spelled := _media(held, f"{path}.content.{number}", losses, foreign=foreign)) is not None
    ]
    return made | ({"parts": shown} if shown else {})


def _response(words: str, *, failed: bool) -> object:
    """An object that a reader takes for the same words again: the tool's own one where it gave one."""
    if words and json_object(words) is not None:
        raw = msgspec.Raw(words.strip().encode())
        try:
            if read_response(raw, "response") == (words, failed):
                return raw
        except Malformed:
            pass
    if not words and not failed:
        return {}
    return {"error" if failed else "output": words}


def _media(part: Media, path: str, losses: Losses, *, foreign: bool) -> Spelled | None:
    if part.cache is not None:
        losses.note(path, "the cache mark is left out: Gemini caches by itself")
    if part.detail:
        losses.note(path, "the detail wanted of an image is left out")
    mime = part.type or (type_by_name(part.url) if foreign else "")
    if not mime and foreign and not part.file:
        losses.note(path, f"nobody said what type the {part.kind} is of: Gemini may not take it")
    made: Spelled = {"mimeType": mime} if mime else {}
    if part.name and foreign:
        losses.note(path, "the name of a file is left out")
    elif part.name:
        made["displayName"] = part.name
    if part.file and foreign:
        losses.grave(path, f"a {part.kind} that another provider keeps cannot be shown")
        return None
    if part.file or part.url:
        return {"fileData": made | {"fileUri": part.file or part.url}}
    return {"inlineData": made | {"data": part.data}}


def _opaque(part: Opaque, path: str, losses: Losses) -> Spelled | None:
    if part.origin != GEMINI_GENERATE:
        losses.grave(path, f"a part of the type {part.type[:60]!r} is left out: only {part.origin} knows it")
        return None
    try:
        found = msgspec.json.decode(part.raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        losses.grave(path, "a part that is no JSON object is left out")
        return None
    if part.type in CANDIDATE_FIELDS:
        losses.note(path, f"{part.type} is left out: it is no part of a message")
        return None
    return {name: on_one_line(value) for name, value in found.items()}
