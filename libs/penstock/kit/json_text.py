"""The texts inside of JSON: gathered for screening, and edited where they stand. Pure.

Everything that somebody may have written is text: strings, names of members, and whole numbers too (a card's number may
be one). Left alone are the words of the protocols (ids, types, roles, names) as long as they look like such words, and
what is base64.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

Edit = Callable[[str], str]
"""A text as it may go on; itself where nothing is to be changed."""

WORDS = frozenset(
    [
        "call_id",
        "container_id",
        "encoding",
        "file_id",
        "format",
        "id",
        "item_id",
        "media_type",
        "mimeType",
        "mime_type",
        "model",
        "name",
        "namespace",
        "object",
        "previous_response_id",
        "role",
        "status",
        "tool_call_id",
        "tool_use_id",
        "type",
    ]
)
SEALED = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content"})
"""Proofs of what stands beside them: only their endpoint reads them, and an edited text has none."""
_OPEN = frozenset({"arguments", "args", "response", "metadata", "variables"})
"""Below these nothing is a protocol's word."""
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{0,256}\Z")
_BASE64 = re.compile(r"(?:data:[A-Za-z0-9.+/-]{1,100};base64,)?[A-Za-z0-9+/_-]{64,}={0,2}\Z")
_GONE = object()
_decoder = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode()))
FAILS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is not JSON raises."""


def decoded(raw: bytes | msgspec.Raw) -> object:
    """The value, its broken numbers as they were written. Raises one of FAILS."""
    return _decoder.decode(raw)


def texts(value: object, *, open_: bool = False) -> Iterator[str]:
    """Every text in a decoded value. `open_`: nothing in it is a protocol's word."""
    waiting: list[tuple[object, bool]] = [(value, open_)]
    while waiting:
        value, open_ = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, bool):
            pass
        elif isinstance(value, int):
            yield str(value)
        elif isinstance(value, list):
            waiting.extend((item, open_) for item in reversed(value))
        elif isinstance(value, dict):
            for name, item in value.items():
                if not _left_alone(name, item, open_):
                    waiting.append((item, open_ or _opens(name, value)))
            if open_:
                yield from value


def edited(value: object, edit: Edit, *, open_: bool = False) -> object:
    """The value with its texts edited; the same object where nothing was. Recursive: JSON from the decoder is not
    nested deeper than that can bear. A sealed thought that had to be edited is left out, since its proof is void."""
    changed = _edited(value, edit, open_)
    return None if changed is _GONE else changed


def edited_text(text: str, edit: Edit) -> str:
    """A text, which may be JSON itself: then it stays JSON, and what escapes hide in it is seen."""
    if text.lstrip()[:1] not in ("{", "["):
        return edit(text)
    try:
        value = _decoder.decode(text)
    except FAILS:
        return edit(text)
    changed = edited(value, edit, open_=True)
    return text if changed is value else msgspec.json.encode(changed).decode()


def _edited(value: object, edit: Edit, open_: bool) -> object:
    if isinstance(value, str):
        return edited_text(value, edit)
    if isinstance(value, list):
        items = [_edited(item, edit, open_) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return [item for item in items if item is not _GONE]
    if isinstance(value, dict):
        return _object(value, edit, open_)
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
        new = edit(text)
        return value if new == text else new
    return value


def _object(value: dict[str, object], edit: Edit, open_: bool) -> object:
    made: dict[str, object] = {}
    same = True
    for name, item in value.items():
        new = item if _left_alone(name, item, open_) else _edited(item, edit, open_ or _opens(name, value))
        shown = edit(name) if open_ else name
        same = same and new is item and shown == name
        if new is not _GONE:
            made[shown] = new
    if same:
        return value
    if not open_ and not SEALED.isdisjoint(made):
        if made.get("type") in ("thinking", "reasoning"):
            return _GONE
        return {name: item for name, item in made.items() if name not in SEALED}
    return made


def _left_alone(name: str, item: object, open_: bool) -> bool:
    if not isinstance(item, str):
        return False
    if not open_ and (name in SEALED or (name in WORDS and _WORD.match(item) is not None)):
        return True
    return len(item) >= 64 and _BASE64.match(item) is not None


def _opens(name: str, parent: dict[str, object]) -> bool:
    return name in _OPEN or (name == "input" and str(parent.get("type", "")).endswith("tool_use"))
