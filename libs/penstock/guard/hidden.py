"""What a reader does not see and a model does: zero-width and tag characters, directions, terminal escapes, comments.

Not what scripts need: joiners within words of their script and within emoji, marks beside letters that run from right
to left, one selector after a picture, the tags of a flag, a mark of byte order at the start.
"""

import re
from collections.abc import Iterator

import re2  # type: ignore[import-untyped]  # it brings no types

from penstock.guard.finding import Finding

COMMENT_MAX_CHARS = 4096

_UNSEEN = (
    "\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = "\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f"
_ANY = re.compile(f"[{_UNSEEN}{_CONTROLS}\x1b]")
_GATE = re2.compile(_ANY.pattern)  # over bytes, and faster
_STRETCH = re.compile(
    f"[{_UNSEEN}]+|[{_CONTROLS}]+"
    "|\x1b(?:\\[[0-?]{0,64}[ -/]{0,8}[@-~]?|[\\]PX^_][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\\\)?|[ -~]?)"
)
_SELECTORS = range(0xFE00, 0xFE10)
_JOINERS = frozenset("\u200c\u200d")
_MARKS = frozenset("\u200e\u200f\u061c")
_SPACELESS = (range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800))  # Thai, Lao, Burmese, Khmer
_JOINED = (
    range(0x0600, 0x0E00),
    range(0x0F00, 0x1000),
    range(0x1000, 0x10A0),
    range(0x1780, 0x18B0),
    range(0xA840, 0xA880),
)
_FROM_RIGHT = (range(0x0590, 0x0900), range(0xFB1D, 0xFE00), range(0xFE70, 0xFEFD))
_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{2,6}\U000e007f\\Z")


def hidden(text: str) -> Iterator[Finding]:
    """Every stretch of hidden text, as the reader of the text's source would have to look for it."""
    raw = text.encode("utf-8", "surrogatepass")
    suspect = _ANY.search(text) if _GATE.search(raw) is not None else None
    while suspect is not None:
        match = _STRETCH.match(text, suspect.start())
        end = match.end() if match is not None else suspect.end()
        if not _needed(text, suspect.start(), end):
            yield Finding(suspect.start(), end, "HIDDEN_TEXT")
        suspect = _ANY.search(text, end)
    at = text.find("<!--")
    while at >= 0:
        end = comment_end(text, at)
        yield Finding(at, end, "HIDDEN_TEXT")
        at = text.find("<!--", end)


def comment_end(text: str, at: int) -> int:
    """Where the comment ends that begins there: a browser hides everything after one that does not end."""
    close = text.find("-->", at + 4, at + COMMENT_MAX_CHARS)
    return close + 3 if close >= 0 else min(len(text), at + COMMENT_MAX_CHARS)


def _needed(text: str, start: int, end: int) -> bool:
    """Whether scripts or pictures need what stands there."""
    before, after, what = text[start - 1 : start], text[end : end + 1], text[start:end]
    if what == "\ufeff":
        return start == 0
    if ord(what[0]) in _SELECTORS:
        rest = what[1:]
        return not rest or (rest == "\u200d" and _picture(after))
    if what in _JOINERS:
        return (_picture(before) and _picture(after)) or (
            _within(before, _JOINED) and (what == "\u200c" or bool(after))
        )
    if what in _MARKS:
        return any(_within(char, _FROM_RIGHT) for char in text[max(0, start - 3) : end + 1])
    if what == "\u200b":
        return _within(before, _SPACELESS) and _within(after, _SPACELESS)
    return _FLAG.search(text[max(0, start - 1) : end]) is not None


def _within(char: str, ranges: "tuple[range, ...]") -> bool:
    return bool(char) and any(ord(char) in one for one in ranges)


def _picture(char: str) -> bool:
    return bool(char) and (
        0x1F000 <= ord(char) < 0x20000 or 0x2190 <= ord(char) < 0x2C00 or char in "\u200d\ufe0f\u3030\u303d"
    )
