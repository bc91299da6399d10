"""From a tool's bytes to text that may be shown to a model. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from services.tool_executor.credentials import hide

_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript", "application/x-ndjson")
_TEXT_SUFFIXES = ("+json", "+xml", "/yaml", "/x-yaml", "x-www-form-urlencoded")
# C0 and C1 controls but tab, line feed and carriage return: they steer terminals, not readers
_CONTROLS = {code: None for code in [*range(32), *range(127, 160)] if code not in (9, 10, 13)}


@dataclass(frozen=True, slots=True)
class Text:
    """`truncated`: there was more than the limit let through."""

    content: str
    truncated: bool


def margin(secret_forms: Collection[str]) -> int:
    """Bytes to read beyond the limit, so that a secret that lies across it is seen whole, and hidden."""
    return max((len(form.encode()) for form in secret_forms), default=0)


def readable(body: bytes, charset: str, limit: int, secret_forms: Collection[str]) -> Text:
    """`body` may be longer than `limit` bytes (see `margin`): the text is hidden first, then cut."""
    try:
        text = body.decode(charset or "utf-8", errors="replace")
    except LookupError:
        text = body.decode("utf-8", errors="replace")
    shown, cut = cut_to(hide(text, secret_forms).translate(_CONTROLS), limit)
    return Text(shown, cut or len(body) > limit)


def is_text(media_type: str, body: bytes) -> bool:
    """Whether a model could read it. What does not say its type is text when it has no zero byte."""
    kind = media_type.lower()
    if not kind or kind == "application/octet-stream":
        return b"\0" not in body
    return kind.startswith(_TEXT_TYPES) or kind.endswith(_TEXT_SUFFIXES)


def cut_to(text: str, limit: int) -> tuple[str, bool]:
    """`text` within `limit` bytes of UTF-8, and whether something is missing."""
    encoded = text.encode("utf-8", errors="replace")
    if len(encoded) <= limit:
        return text, False
    return encoded[:limit].decode("utf-8", errors="ignore"), True
