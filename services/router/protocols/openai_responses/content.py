"""Content parts of messages and of tool results, both ways. Pure."""

import re
from typing import Literal

import msgspec

from penstock.contracts.llm import OPENAI_CHAT, OPENAI_RESPONSES
from services.router.fault import NOTHING
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.reading import UNREADABLE, Json, invalid, is_null
from services.router.protocols.part import CacheMark, Media, Opaque, Refusal, Text

ContentPart = Text | Refusal | Media | Opaque
WITHIN = "message."
"""How the type of an opaque part starts that stands within a message, and is no item of its own."""
_DATA_URL = re.compile(r"data:([^;,]*);base64,")
_OPENAI = frozenset({OPENAI_CHAT, OPENAI_RESPONSES})
_LONG_TTL = "12h"


class _Breakpoint(msgspec.Struct):
    ttl: str | None = None


class _Audio(msgspec.Struct):
    data: str = ""
    format: str = ""


class _Part(msgspec.Struct):
    """Every field of every known part."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    detail: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: _Audio | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class _Kind(msgspec.Struct):
    type: str | None = None
    text: msgspec.Raw = NOTHING


_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_KNOWN = _TEXTS | {"refusal", "input_image", "input_file", "input_audio"}
_decode_content = msgspec.json.Decoder(str | list[msgspec.Raw]).decode
_decode = msgspec.json.Decoder(_Part).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode


def read_content(raw: msgspec.Raw, path: str) -> tuple[ContentPart, ...]:
    """A string, or a list of parts; null is nothing. Parts of unknown types are opaque."""
    if is_null(raw):
        return ()
    try:
        found = _decode_content(raw)
    except UNREADABLE:
        raise invalid(path, "must be a string or a list of content parts") from None
    if isinstance(found, str):
        return (Text(found),) if found else ()
    return tuple([read_part(part, f"{path}.{at}") for at, part in enumerate(found)])


def read_part(raw: msgspec.Raw, path: str) -> ContentPart:
    """One content part."""
    try:
        kind = _decode_kind(raw)
    except UNREADABLE:
        raise invalid(path, "must be an object with a type") from None
    name = kind.type or ("input_text" if not is_null(kind.text) else "")
    if name not in _KNOWN:
        return Opaque(OPENAI_RESPONSES, WITHIN + name, msgspec.Raw(bytes(raw)))
    try:
        part = _decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(path, f"is malformed: {str(error)[:200]}") from None
    except UNREADABLE:
        raise invalid(path, "is malformed") from None
    if name == "refusal":
        return Refusal(part.refusal or "")
    mark = None if part.prompt_cache_breakpoint is None else _mark(part.prompt_cache_breakpoint)
    if name in _TEXTS:
        if part.text is None:
            raise invalid(f"{path}.text", "must be a string")
        return Text(part.text, mark)
    return _media(name, part, mark, path)


def _mark(found: _Breakpoint) -> CacheMark:
    return CacheMark("1h" if found.ttl == _LONG_TTL else "")


def _media(name: str, part: _Part, mark: CacheMark | None, path: str) -> Media:
    if name == "input_audio":
        audio = part.input_audio
        if audio is None or not audio.data:
            raise invalid(f"{path}.input_audio", "must hold data and format")
        return Media("audio", f"audio/{audio.format}" if audio.format else "", audio.data, cache=mark)
    kind: Literal["image", "document"] = "image" if name == "input_image" else "document"
    address = part.image_url if kind == "image" else part.file_data or part.file_url
    if not address and not part.file_id:
        raise invalid(path, f"names no {kind}")
    mime = data = url = ""
    if address:
        mime, data, url = _split(address, in_line=kind == "document" and bool(part.file_data))
    return Media(
        kind,
        mime,
        data,
        url,
        file="" if address else part.file_id or "",
        detail=part.detail or "",
        name=part.filename or "",
        cache=mark,
    )


def _split(address: str, *, in_line: bool) -> tuple[str, str, str]:
    """MIME type, base64 data and URL of an address."""
    found = _DATA_URL.match(address)
    if found is not None:
        return found[1], address[found.end() :], ""
    return ("", address, "") if in_line else ("", "", address)


def write_input(part: ContentPart, path: str, origin: str, losses: Losses) -> Json | msgspec.Raw | None:
    """A part of what the model is given; None where it cannot be carried."""
    match part:
        case Text():
            return _marked({"type": "input_text", "text": part.text}, part.cache, path, origin, losses)
        case Refusal():
            return {"type": "input_text", "text": part.text}
        case Media():
            made = _written_media(part, path, origin, losses)
            return None if made is None else _marked(made, part.cache, path, origin, losses)
        case Opaque():
            return own(part, path, losses)


def own(part: Opaque, path: str, losses: Losses) -> msgspec.Raw | None:
    """A raw part of this protocol's own; anybody else's is lost."""
    if part.origin == OPENAI_RESPONSES:
        return part.raw
    losses.grave(path, f"a part of type {part.type[:60]!r} of another protocol is not carried")
    return None


def _marked(made: Json, mark: CacheMark | None, path: str, origin: str, losses: Losses) -> Json:
    if mark is None:
        return made
    if origin != OPENAI_RESPONSES:
        losses.note(f"{path}.cache", "cache marks are not carried; prefixes are cached without them")
        return made
    made["prompt_cache_breakpoint"] = {"mode": "explicit"} | ({"ttl": _LONG_TTL} if mark.ttl == "1h" else {})
    return made


def _written_media(part: Media, path: str, origin: str, losses: Losses) -> Json | None:
    if part.file and origin not in _OPENAI:
        losses.grave(path, "a file kept at another provider is not carried")
        return None
    match part.kind:
        case "image":
            made: Json = {"type": "input_image"}
            if part.file:
                made["file_id"] = part.file
            else:
                made["image_url"] = part.url or f"data:{part.type or 'image/png'};base64,{part.data}"
            return made | ({"detail": part.detail} if part.detail else {})
        case "document":
            return _written_file(part)
        case "audio" if part.data:
            form = part.type.rpartition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": _AUDIO.get(form, form)}}
        case _:
            losses.grave(path, f"{part.kind} is not carried")
            return None


_AUDIO = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}


def _written_file(part: Media) -> Json:
    made: Json = {"type": "input_file"}
    if part.file:
        made["file_id"] = part.file
    elif part.url:
        made["file_url"] = part.url
    else:
        made["file_data"] = f"data:{part.type};base64,{part.data}" if part.type else part.data
    if part.name:
        made["filename"] = part.name
    return made | ({"detail": part.detail} if part.detail else {})
