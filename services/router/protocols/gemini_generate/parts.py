"""The parts of a content, out of Gemini's spelling. Pure.

A thought signature on words stands in the neutral form as a Thinking part without text behind them; on a call it is the
call's own. Calls and results come without ids where Gemini gave none: who reads a history or an answer makes them.
"""

from typing import Literal

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.fields import (
    Fields,
    Malformed,
    entries,
    fields,
    flag,
    is_null,
    items,
    text,
)
from services.router.protocols.part import Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult

Kind = Literal["image", "audio", "document", "video"]
_KINDS: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
_SIGNATURE = "thoughtSignature"
_QUOTE = ord('"')
_KNOWN = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_ABOUT = frozenset({"thought", _SIGNATURE, "partMetadata", "videoMetadata", "mediaResolution", "mediaProcessing"})
_HELD_HERE = ("generativelanguage.googleapis.com/", "gs://")


def read_part(raw: msgspec.Raw, path: str, left: Fields, found: Fields | None = None) -> tuple[Part, ...]:
    """One part, or two: words and their signature. None for an empty one. What the neutral form has no place for is
    put into `left` under its path. `found`: its fields, where they were read already. Raises Malformed."""
    found = fields(raw, path) if found is None else found
    kind = next((name for name in _KNOWN if name in found), "")
    made = _read(kind, found, path, left) if kind else _unknown(found, raw)
    for name, value in found.items():
        if kind and name not in (kind, "thought", _SIGNATURE):
            left[f"{path}.{name}"] = value
    return made


def kind_of(mime_type: str) -> Kind:
    """What a MIME type stands for."""
    return _KINDS.get(mime_type.partition("/")[0].lower(), "document")


def type_by_name(address: str) -> str:
    """The MIME type that the end of an address speaks of; "" when it speaks of none."""
    path = address.partition("?")[0].partition("#")[0]
    return _TYPES.get(path.rpartition(".")[2].lower(), "")


def _read(kind: str, found: Fields, path: str, left: Fields) -> tuple[Part, ...]:
    signature = text(found, _SIGNATURE, path)
    at = f"{path}.{kind}"
    match kind:
        case "text":
            return _words(text(found, kind, path), signature, thought=flag(found, "thought", path) is True)
        case "functionCall":
            return (_call(found[kind], at, signature, left),)
        case "functionResponse":
            return (_result(found[kind], at, left),)
        case _:
            media = _media(found[kind], at, left)
            return (media, Thinking(signature=signature)) if signature else (media,)


def _words(words: str, signature: str, *, thought: bool) -> tuple[Part, ...]:
    if thought:
        return (Thinking(words, signature),)
    if signature:
        return (Text(words), Thinking(signature=signature)) if words else (Thinking(signature=signature),)
    return (Text(words),)


def _unknown(found: Fields, raw: msgspec.Raw) -> tuple[Part, ...]:
    kind = next((name for name in found if name not in _ABOUT), "")
    if not kind and _SIGNATURE in found:
        return (Thinking(signature=text(found, _SIGNATURE, "part")),)
    return (Opaque(GEMINI_GENERATE, kind or "part", raw),) if found else ()


def _call(raw: msgspec.Raw, path: str, signature: str, left: Fields) -> ToolCall:
    found = fields(raw, path)
    name = text(found, "name", path)
    if not name:
        raise Malformed(f"{path}.name", "must name the function")
    arguments = found.get("args")
    if arguments is not None:
        entries(arguments, f"{path}.args")
    _leave(found, ("id", "name", "args"), path, left)
    # Raw JSON, not read and written anew: numbers and the order of names stay as the model wrote them.
    return ToolCall(
        text(found, "id", path),
        name,
        "{}" if arguments is None else _decoded(arguments, f"{path}.args"),
        signature=signature,
    )


def _result(raw: msgspec.Raw, path: str, left: Fields) -> ToolResult:
    found = fields(raw, path)
    response = found.get("response")
    words, failed = ("", False) if response is None else read_response(response, f"{path}.response")
    parts: list[Text | Media] = [Text(words)] if words else []
    for number, part in enumerate(items(found.get("parts"), f"{path}.parts")):
        at = f"{path}.parts.{number}"
        held = fields(part, at)
        kind = next((name for name in ("inlineData", "fileData") if name in held), "")
        if not kind:
            raise Malformed(at, "must hold inlineData or fileData")
        parts.append(_media(held[kind], f"{at}.{kind}", left))
        _leave(held, (kind,), at, left)
    _leave(found, ("id", "name", "response", "parts"), path, left)
    return ToolResult(text(found, "id", path), tuple(parts), text(found, "name", path), failed)


def read_response(raw: msgspec.Raw, path: str) -> tuple[str, bool]:
    """What a tool gave, and whether it failed. `{"output": "…"}` and `{"error": "…"}` are the words in them, any other
    object is its JSON, an empty one nothing. Raises Malformed."""
    found = entries(raw, path)
    if not found:
        return "", False
    failed = "error" in found and not is_null(found["error"])
    (name, value), *more = found.items()
    if not more and name in ("output", "error") and memoryview(value)[0] == _QUOTE:
        return text(found, name, path), failed
    return _decoded(raw, path), failed


def _media(raw: msgspec.Raw, path: str, left: Fields) -> Media:
    found = fields(raw, path)
    mime = text(found, "mimeType", path)
    name = text(found, "displayName", path)
    _leave(found, ("mimeType", "displayName", "data", "fileUri"), path, left)
    if path.endswith("inlineData"):
        return Media(kind_of(mime), mime, data=text(found, "data", path), name=name)
    uri = text(found, "fileUri", path)
    if not uri:
        raise Malformed(f"{path}.fileUri", "must be the address of a file")
    kind = kind_of(mime or type_by_name(uri))
    if any(place in uri for place in _HELD_HERE) or "://" not in uri:
        return Media(kind, mime, file=uri, name=name)
    return Media(kind, mime, url=uri, name=name)


def _leave(found: Fields, known: tuple[str, ...], path: str, left: Fields) -> None:
    for name, value in found.items():
        if name not in known:
            left[f"{path}.{name}"] = value


def _decoded(raw: msgspec.Raw, path: str) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise Malformed(path, "is not UTF-8") from None
