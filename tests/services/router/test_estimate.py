"""Token estimates against real counts, which stand in estimate_corpus/counts.json (o200k_base and cl100k_base)."""

import json
from pathlib import Path

import msgspec
import pytest

from services.router.estimate import IMAGE_TOKENS, Size, likely_tokens, size_of

CORPUS = Path(__file__).parent / "estimate_corpus"
COUNTS = msgspec.json.decode((CORPUS / "counts.json").read_bytes(), type=dict[str, dict[str, int]])
FRAMING = 4
"""Tokens of a message beside its content."""
LATIN = ("chat", "english", "french", "german", "spanish", "turkish")
STRUCTURED = (
    "html",
    "identifiers",
    "javascript",
    "json",
    "log",
    "markdown",
    "numbers",
    "python",
    "sql",
    "yaml",
    "base64",
)
EASTERN = ("chinese", "japanese", "korean")


def body(name: str, *, escaped: bool = False, times: int = 1) -> bytes:
    messages = [{"role": "user", "content": (CORPUS / f"{name}.txt").read_text(encoding="utf-8") * times}]
    return json.dumps(messages).encode() if escaped else msgspec.json.encode(messages)


def real(name: str, tokenizer: str = "o200k_base") -> int:
    return COUNTS[name][tokenizer] + FRAMING


def off(size: Size, tokens: int) -> float:
    return size.likely / tokens - 1


@pytest.mark.parametrize("escaped", [False, True], ids=["utf-8", "escaped"])
@pytest.mark.parametrize(
    ("names", "most"), [(LATIN, 0.15), (STRUCTURED, 0.20), (EASTERN, 0.30)], ids=["latin", "structured", "eastern"]
)
def test_likely_is_as_near_to_the_real_count_as_is_said(names: tuple[str, ...], most: float, escaped: bool) -> None:
    errors = {name: off(size_of(body(name, escaped=escaped)), real(name)) for name in names}
    assert {name: error for name, error in errors.items() if abs(error) > most} == {}


def test_where_tokenizers_differ_most_the_estimate_lies_between_them() -> None:
    for name in ("russian", "arabic", "hindi", "thai"):
        assert real(name) < size_of(body(name)).likely < real(name, "cl100k_base"), name


def test_over_the_whole_corpus_the_error_is_below_a_twentieth() -> None:
    likely = sum(size_of(body(name)).likely for name in COUNTS)
    assert abs(likely / sum(real(name) for name in COUNTS) - 1) < 0.05


def test_what_is_reserved_is_hardly_ever_too_little() -> None:
    for name in COUNTS:
        size = size_of(body(name))
        assert size.at_most > real(name), name
        assert size.at_most > 0.7 * real(name, "cl100k_base"), name


def test_of_a_long_text_only_parts_are_looked_at_and_the_error_stays() -> None:
    for name in ("english", "json", "chinese"):
        assert abs(off(size_of(memoryview(body(name, times=300))), COUNTS[name]["o200k_base"] * 300)) < 0.3, name


def test_images_in_line_are_not_text() -> None:
    raw = b'[{"role":"user","content":[{"image_url":{"url":"data:image/png;base64,' + b"A" * 100_000 + b'"}}]}]'
    size = size_of(raw)
    assert size.images == 1
    assert IMAGE_TOKENS < size.likely < IMAGE_TOKENS + 40


def test_data_that_ends_nowhere_is_one_image() -> None:
    assert size_of(b'"data:image/png;base64,' + b"A" * 5000).images == 1


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x80" * 10, b"\\u", b"\\ud83d\\u12", b'"role"', b"\x00" * 50_000])
def test_anything_at_all_has_a_size(raw: bytes) -> None:
    assert size_of(raw).likely >= 0


def test_sizes_add_up() -> None:
    assert (Size(1200).at_most, Size(1200).likely, Size(0, 2).likely) == (400, 300, 2 * IMAGE_TOKENS)
    assert likely_tokens(400) == 100
