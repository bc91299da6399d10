"""The content of a message out of its JSON. Pure."""

from collections.abc import Callable
from typing import Literal

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.openai_chat.fields import Fields, invalid, is_list, is_text
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Refusal, Text

Extras = dict[str, msgspec.Raw]
"""What was not understood, by its path."""

_HEAD_MAX_CHARS = 200
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
AUDIO_FORMATS = {type_: name for name, type_ in _AUDIO_TYPES.items()} | {"audio/mp3": "mp3", "audio/x-wav": "wav"}


def read_content(message: Fields, extras: Extras) -> tuple[Part, ...]:
    """`content`: a string, a list of parts, null or absent. An empty text is no part."""
    raw = message.raw("content")
    if raw is None:
        return ()
    at = message.path("content")
    if is_text(raw):
        text = Fields({"content": raw}, message.at).text("content")
        return (Text(text),) if text else ()
    if not is_list(raw):
        raise invalid(at, "must be a string or a list of parts")
    parts = [_part(part, f"{at}.{number}", extras) for number, part in enumerate(_items(raw, at))]
    return tuple([part for part in parts if part is not None])


def read_cache(fields: Fields) -> CacheMark | None:
    """A mark in the words of OpenAI (`prompt_cache_breakpoint`) or of compatible gateways (`cache_control`)."""
    mark = fields.fields("prompt_cache_breakpoint") or fields.fields("cache_control")
    return None if mark is None else CacheMark(mark.text("ttl"))


def _items(raw: msgspec.Raw, at: str) -> list[msgspec.Raw]:
    name = at.rpartition(".")[2]
    return Fields({name: raw}, at.rpartition(".")[0]).items(name)


def _part(raw: msgspec.Raw, at: str, extras: Extras) -> Part | None:
    if is_text(raw):  # some clients put bare strings into the list
        text = Fields({"text": raw}, at).text("text")
        return Text(text) if text else None
    fields = Fields.of(raw, at)
    kind = fields.text("type")
    read = _READERS.get(kind)
    if read is None:
        if not kind:
            raise fields.wrong("type", "must say what the part is")
        return Opaque(OPENAI_CHAT, kind, raw)
    part = read(fields)
    extras.update(fields.rest())
    return part


def _text(fields: Fields) -> Part | None:
    text = fields.text("text")
    mark = read_cache(fields)
    return Text(text, mark) if text else None


def _refusal(fields: Fields) -> Part:
    return Refusal(fields.text("refusal"))


def _image(fields: Fields) -> Part:
    raw = fields.peek("image_url")
    mark = read_cache(fields)
    if raw is not None and is_text(raw):  # not of the documented wire, and often seen
        return _linked("image", fields.text("image_url"), mark=mark)
    image = fields.fields("image_url")
    if image is None:
        raise fields.wrong("image_url", "must be an object with a url")
    return _linked("image", _url(image), image.text("detail"), mark=mark)


def _video(fields: Fields) -> Part:
    video = fields.fields("video_url")
    if video is None:
        raise fields.wrong("video_url", "must be an object with a url")
    return _linked("video", _url(video), mark=read_cache(fields))


def _audio(fields: Fields) -> Part:
    audio = fields.fields("input_audio")
    if audio is None:
        raise fields.wrong("input_audio", "must be an object with data and format")
    form = audio.text("format")
    return Media("audio", _AUDIO_TYPES.get(form, f"audio/{form}"), audio.text("data"), cache=read_cache(fields))


def _file(fields: Fields) -> Part:
    file = fields.fields("file")
    if file is None:
        raise fields.wrong("file", "must be an object with file_data or file_id")
    name, kept, data = file.text("filename"), file.text("file_id"), file.text("file_data")
    mark = read_cache(fields)
    if kept:
        return Media("document", file=kept, name=name, cache=mark)
    if not data:
        raise file.wrong("file_data", "or file_id must be given")
    return _linked("document", data, name=name, mark=mark)


def _url(fields: Fields) -> str:
    url = fields.text("url")
    if not url:
        raise fields.wrong("url", "must not be empty")
    return url


def _linked(
    kind: Literal["image", "video", "document"],
    url: str,
    detail: str = "",
    name: str = "",
    mark: CacheMark | None = None,
) -> Media:
    """In-line data keeps its base64 as it came: it is cut off its head, and not looked at."""
    media = Media(kind, detail=detail, name=name, cache=mark)
    if url[:5].lower() == "data:":
        comma = url.find(",", 0, _HEAD_MAX_CHARS)
        head = url[5 : max(comma, 5)]
        if head.lower().endswith(";base64"):
            return msgspec.structs.replace(media, type=head[:-7].partition(";")[0].lower(), data=url[comma + 1 :])
    elif kind == "document":
        return msgspec.structs.replace(media, data=url)  # bare base64: the wire does not say of what
    return msgspec.structs.replace(media, url=url)


_READERS: dict[str, Callable[[Fields], Part | None]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "video_url": _video,
    "input_audio": _audio,
    "file": _file,
}
