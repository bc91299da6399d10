"""Tokens estimated from bytes, before a call and where no provider counts for us. Pure.

A token is about four letters of prose, fewer of anything else: each kind of byte has a weight. The weights are fitted
(least squares of the relative error, the mean of o200k_base and cl100k_base) to tests/services/router/estimate_corpus
and to code and documents beside it. Against real counts of o200k_base `likely` is off by at most 15 % on prose in Latin
script, 20 % on code, JSON, YAML, logs, HTML, numbers and random identifiers, 30 % on Chinese, Japanese and Korean.
Where tokenizers differ among themselves by a factor of 1.7 to 3.4 (Russian, Arabic, Hindi, Thai) it lies between them.
`at_most`, for reservations, is a third more: in no text of the corpus below the o200k_base count, and at most 30 %
below that of cl100k_base (Arabic, Hindi). Only parts of a text above SAMPLED_ABOVE_BYTES are looked at.
"""

import re
from string import ascii_lowercase, ascii_uppercase, digits

RESERVE_BYTES_PER_TOKEN = 3
LIKELY_BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1500
SAMPLED_ABOVE_BYTES = 8 * 1024
SAMPLES = 32
_MARK = b";base64,"
_IN_LINE = re.compile(_MARK + rb'[^"]*')
_LOWER, _UPPER, _DIGITS = ascii_lowercase.encode(), ascii_uppercase.encode(), digits.encode()
_ASCII = bytes(range(0x80))
_FOLLOWING = bytes(range(0x80, 0xC0))
_TWO, _THREE_LOW, _THREE = bytes(range(0xC0, 0xE0)), bytes(range(0xE0, 0xE3)), bytes(range(0xE3, 0xF0))
_RANDOM_BYTES_PER_TOKEN = 1.5
_LEADS = ((_TWO, 0.425), (_THREE_LOW, 0.68), (_THREE, 0.865))
"""First bytes of characters of two bytes; of three, up to Thai and Indic and from kana and Chinese on."""
_FOUR_WEIGHT = 2.1
_NEWLINE_MORE, _MESSAGE_LESS = 0.185, 3.5
"""An escaped newline is a token of its own, and `{"role":…}` framing costs four, not what its letters would."""


class Size:
    """How large a prompt is: `text` bytes of plain prose, or what takes as many tokens, and `images` carried in line as
    base64, which are not text to a model."""

    __slots__ = ("images", "text")

    def __init__(self, text: int, images: int = 0) -> None:
        self.text = text
        self.images = images

    @property
    def at_most(self) -> int:
        """Tokens to reserve for."""
        return -(-self.text // RESERVE_BYTES_PER_TOKEN) + self.images * IMAGE_TOKENS

    @property
    def likely(self) -> int:
        """Tokens to settle for when nobody counted."""
        return -(-self.text // LIKELY_BYTES_PER_TOKEN) + self.images * IMAGE_TOKENS


def size_of(raw: bytes | memoryview) -> Size:
    """The size of a piece of a request, as JSON. In-line data ends at the quote that ends its string."""
    text, images = bytes(raw), 0
    if _MARK in text:
        text, images = _IN_LINE.subn(b"", text)
    if len(text) <= SAMPLED_ABOVE_BYTES:
        tokens = _tokens(text)
    else:
        tokens = _tokens(_sampled(text)) * len(text) / SAMPLED_ABOVE_BYTES
    return Size(max(round(tokens * LIKELY_BYTES_PER_TOKEN), 0), images)


def likely_tokens(text_bytes: int) -> int:
    """Tokens of an output of so many bytes."""
    return -(-text_bytes // LIKELY_BYTES_PER_TOKEN)


def _sampled(text: bytes) -> bytes:
    """SAMPLED_ABOVE_BYTES of it, in pieces from everywhere."""
    piece = SAMPLED_ABOVE_BYTES // SAMPLES
    step = (len(text) - piece) // (SAMPLES - 1)
    return b"".join([text[place * step : place * step + piece] for place in range(SAMPLES)])


def _tokens(text: bytes) -> float:
    """Each step takes away one kind of byte, and what is left shrinks."""
    if b"\\u" in text and text.isascii():
        text = text.decode("raw_unicode_escape", "replace").encode("utf-8", "surrogatepass")
    more = text.count(b"\\n") * _NEWLINE_MORE - text.count(b'"role"') * _MESSAGE_LESS
    rest = text.translate(None, _LOWER)
    lower = len(text) - len(rest)
    left = rest.translate(None, _UPPER)
    upper = len(rest) - len(left)
    rest = left.translate(None, b" ")
    spaces = len(left) - len(rest)
    left = rest.translate(None, _DIGITS)
    numbers = len(rest) - len(left)
    rest = left.translate(None, _ASCII)
    signs = len(left) - len(rest)
    tokens = 0.23 * lower + 0.585 * upper + 0.15 * spaces + 0.825 * numbers + 0.235 * signs
    if upper + numbers > lower:  # keys, digests, base64: hardly a word in it
        tokens = max(tokens, (lower + upper + numbers) / _RANDOM_BYTES_PER_TOKEN)
    return tokens + more + (_wide(rest) if rest else 0.0)


def _wide(rest: bytes) -> float:
    """Characters beyond ASCII."""
    leads = rest.translate(None, _FOLLOWING)
    tokens = 0.0
    for kind, weight in _LEADS:
        left = leads.translate(None, kind)
        tokens += weight * (len(leads) - len(left))
        leads = left
    return tokens + _FOUR_WEIGHT * len(leads)
