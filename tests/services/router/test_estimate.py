"""Tokens guessed from bytes."""

from services.router.estimate import IMAGE_TOKENS, likely_tokens, size_of
from tests.support.model_server import base64_image


def test_text_is_reserved_for_at_a_token_per_three_bytes_and_settled_at_four() -> None:
    size = size_of(b"x" * 1200)
    assert (size.at_most, size.likely) == (400, 300)
    assert likely_tokens(9) == 3


def test_an_image_in_line_counts_as_an_image_and_not_as_its_bytes() -> None:
    raw = b'[{"type":"image_url","image_url":{"url":"%b"}}]' % base64_image(1_000_000).encode()
    size = size_of(raw)
    assert size.images == 1
    assert size.at_most < IMAGE_TOKENS + 40


def test_base64_that_never_ends_is_skipped_once() -> None:
    assert size_of(b'"data:image/png;base64,' + b"A" * 5000).images == 1
