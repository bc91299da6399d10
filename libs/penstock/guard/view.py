"""A text as detectors read it: look-alikes of ASCII made plain, what cannot be seen left out.

One byte for each character (Latin-1; any other character is a question mark), so that a place in the bytes is a place
in the view; `origin` leads back to the text as it was given.
"""

import re
import string
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping

import re2  # type: ignore[import-untyped]  # it brings no types

CONTEXT_MAX_CHARS = 48
REACH_MAX_CHARS = 128

# Not seen, or only as a mark on the character before: joiners, directions, fillers, selectors, tags, combining marks.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u0300-\u034e\u0350-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_KEPT = frozenset(string.ascii_letters + string.digits + "@.-+_/:()%='")
_SPACES = "\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2013\u2043\u2212\ufe58\ufe63\uff0d"
_ALIKE = (
    "\u00b2\u00b3\u00b9\u2070-\u209c\u2100-\u214f\u2460-\u24ff\u2776-\u2793\ufe50-\ufe6b\uff01-\uff5e"
    "\U0001d400-\U0001d7ff\U0001f100-\U0001f1ff"
)
# The zero of every set of ten decimal digits outside ASCII (Unicode 14, general category Nd).
_ZEROS = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0de6\u0e50\u0ed0\u0f20\u1040\u1090\u17e0"
    "\u1810\u1946\u19d0\u1a80\u1a90\u1b50\u1bb0\u1c40\u1c50\ua620\ua8d0\ua900\ua9d0\ua9f0\uaa50\uabf0\U000104a0"
    "\U00010d30\U00011066\U000110f0\U00011136\U000111d0\U000112f0\U00011450\U000114d0\U00011650\U000116c0\U00011730"
    "\U000118e0\U00011950\U00011c50\U00011d50\U00011da0\U00016a60\U00016ac0\U00016b50\U0001e140\U0001e2f0\U0001e950"
    "\U0001fbf0"
)


def _each(ranges: str) -> Iterator[str]:
    for match in re.finditer(r"(.)-(.)|(.)", ranges, re.DOTALL):
        first, last, single = match.groups()
        yield from (single,) if single else map(chr, range(ord(first), ord(last) + 1))


def _plain() -> Mapping[str, str]:
    """What each look-alike is read as; empty for what is not seen."""
    plain = {char: unicodedata.normalize("NFKC", char) for char in _each(_ALIKE)}
    plain = {char: alike for char, alike in plain.items() if alike in _KEPT}
    plain.update({chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)})
    plain.update(dict.fromkeys(_each(_SPACES), " "))
    plain.update(dict.fromkeys(_each(_DASHES), "-"))
    plain.update(dict.fromkeys(_each(_UNSEEN), ""))
    return plain


_PLAIN = _plain()
# Every look-alike of the basic plane, and all characters beyond it: a small table tells the former fast.
_MARKED = re.compile("[" + "".join(char for char in _PLAIN if char <= "\uffff") + "\U00010000-\U0010ffff]+")
_GATE = re2.compile("[" + "".join(_PLAIN) + "]")  # over bytes, and faster


class View:
    """`data`: the bytes; `text`: the text as it was given. Linear in the text's length."""

    __slots__ = ("_origins", "_starts", "data", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts: list[int] = []
        self._origins: list[int] = []
        if text.isascii():
            self.data = text.encode("ascii")
        else:
            marked = _GATE.search(text.encode("utf-8", "surrogatepass")) is not None
            self.data = (self._seen() if marked else text).encode("latin-1", "replace")

    def origin(self, at: int) -> int:
        """Where in the text the character stands that is at this place of the view."""
        if not self._starts:
            return at
        piece = bisect_right(self._starts, at) - 1
        return self._origins[piece] + at - self._starts[piece]

    def origin_end(self, end: int) -> int:
        """Where in the text a span ends that ends at this place of the view."""
        return self.origin(end - 1) + 1 if end else 0

    def before(self, start: int, chars: int = CONTEXT_MAX_CHARS) -> bytes:
        """What stands in front of a place, at most so much, however much unseen text is put in between."""
        low = max(0, start - chars)
        if self._starts:
            reach = self.origin(start) - REACH_MAX_CHARS
            while low < start and self.origin(low) < reach:
                low += 1
        return self.data[low:start]

    def wide(self, at: int) -> bool:
        """Whether the character there is a letter or digit beyond Latin-1, which `data` shows as a question mark."""
        char = self.text[self.origin(at)]
        return char > "\u00ff" and char.isalnum()

    def _seen(self) -> str:
        pieces: list[str] = []
        at = place = 0
        for match in _MARKED.finditer(self.text):
            start, end = match.span()
            if start > at:
                self._note(place, at)
                pieces.append(self.text[at:start])
                place += start - at
            for offset, char in enumerate(match[0], start):
                alike = _PLAIN.get(char, char)
                if alike:
                    self._note(place, offset)
                    pieces.append(alike)
                    place += 1
            at = end
        if not at:
            return self.text
        if at < len(self.text):
            self._note(place, at)
            pieces.append(self.text[at:])
            place += len(self.text) - at
        self._note(place, len(self.text))
        return "".join(pieces)

    def _note(self, place: int, origin: int) -> None:
        self._starts.append(place)
        self._origins.append(origin)
