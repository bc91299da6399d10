"""The content of a message as JSON of the wire. Pure."""

from collections.abc import Callable, Sequence

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat.read_parts import AUDIO_FORMATS
from services.router.protocols.part import CacheMark, Media, Opaque, Part, Refusal, Text

Json = dict[str, object]


def write_content(parts: Sequence[Part], at: str, losses: Losses, *, media: bool) -> str | list[object]:
    """One text is a string, anything else a list of parts. `media`: whether the message may hold any."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        note_mark(parts[0].cache, at, losses)
        return parts[0].text
    written = [_part(part, f"{at}.{number}", losses, media) for number, part in enumerate(parts)]
    return [part for part in written if part is not None]


def note_mark(mark: CacheMark | None, at: str, losses: Losses) -> None:
    """Nothing is said of caching: most providers of this wire cache by themselves, and some refuse the field."""
    if mark is not None:
        losses.note(f"{at}.cache_control", "cache marks are not carried: the provider caches as it likes")


def _part(part: Part, at: str, losses: Losses, media: bool) -> object:
    match part:
        case Text():
            note_mark(part.cache, at, losses)
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Media():
            if media:
                note_mark(part.cache, at, losses)
                return _MEDIA[part.kind](part, at, losses)
            losses.grave(at, f"{part.kind}s can only stand in what a user says")
        case Opaque() if part.origin == OPENAI_CHAT:
            return part.raw
        case Opaque():
            losses.grave(at, f"parts of the type {part.type[:40]} cannot be said in chat completions")
        case _:
            losses.grave(at, "a part that does not belong into this message")
    return None


def _image(media: Media, at: str, losses: Losses) -> object:
    url = _url(media, at, losses)
    if not url:
        return None
    image: Json = {"url": url}
    if media.detail:
        image["detail"] = media.detail
    return {"type": "image_url", "image_url": image}


def _video(media: Media, at: str, losses: Losses) -> object:
    url = _url(media, at, losses)
    return {"type": "video_url", "video_url": {"url": url}} if url else None


def _audio(media: Media, at: str, losses: Losses) -> object:
    if not media.data:
        losses.grave(at, "sound can only be sent in line")
        return None
    form = AUDIO_FORMATS.get(media.type) or media.type.rpartition("/")[2]
    return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}


def _document(media: Media, at: str, losses: Losses) -> object:
    named: Json = {"filename": media.name} if media.name else {}
    if media.file:
        return {"type": "file", "file": {"file_id": media.file} | named}
    if not media.data:
        losses.grave(at, "documents can only be sent in line or by file id")
        return None
    data = f"data:{media.type};base64,{media.data}" if media.type else media.data
    return {"type": "file", "file": {"file_data": data} | named}


def _url(media: Media, at: str, losses: Losses) -> str:
    if media.data:
        return f"data:{media.type};base64,{media.data}"
    if not media.url:
        losses.grave(at, f"{media.kind}s cannot be sent by file id")
    return media.url


_MEDIA: dict[str, Callable[[Media, str, Losses], object]] = {
    "image": _image,
    "video": _video,
    "audio": _audio,
    "document": _document,
}
