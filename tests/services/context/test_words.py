"""Words as they are matched."""

import pytest

from services.context.words import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Policies", ["the", "policy"]),
        ("boxes cats bus glass", ["boxe", "cat", "bus", "glass"]),
        ("max_in_flight", ["max_in_flight", "max", "in", "flight"]),
        ("readTimeout", ["readtimeout", "read", "timeout"]),
        ("state-of-the-art", ["state-of-the-art", "state", "of", "the", "art"]),
        ("CAFÉ Straße", ["café", "strasse"]),
        ("ｆｕｌｌ", ["full"]),  # noqa: RUF001
        ("日本語", ["日本", "本語"]),
        ("語", ["語"]),
        ("!?", []),
        ("", []),
    ],
)
def test_words_are_folded_and_taken_apart(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_a_word_is_at_most_64_letters() -> None:
    assert words("x" * 1000) == ["x" * 64]
