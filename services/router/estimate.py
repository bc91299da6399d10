"""Tokens guessed from bytes, where no provider counts for us. Pure, and far from exact on purpose.

`at_most` is for reservations: one token per 3 bytes. On English prose and code (3.5 to 4.5 bytes per token in today's
tokenizers) it is 15 to 50 % too high; on Chinese, Japanese and Korean as UTF-8 (about 3 bytes per token) about right,
and twice too high where they are escaped; on long digit strings and random text (1.5 to 2.5 bytes per token) up to
half too low. `likely` is for settling a call that nobody counted: one token per 4 bytes.
"""

import re

RESERVE_BYTES_PER_TOKEN = 3
LIKELY_BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1500
_IN_LINE = re.compile(rb';base64,[^"]*')


class Size:
    """How large a prompt is: `text` bytes, and `images` carried in line as base64, which are not text to a model."""

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
    """The size of a piece of a request. In-line data ends at the quote that ends its string."""
    images, skipped = 0, 0
    for found in _IN_LINE.finditer(raw):
        images += 1
        skipped += found.end() - found.start()
    return Size(len(raw) - skipped, images)


def likely_tokens(text_bytes: int) -> int:
    """Tokens of an output of so many bytes."""
    return -(-text_bytes // LIKELY_BYTES_PER_TOKEN)
