"""Placeholders come back as what they stand for, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.guard import Pseudonyms, RestoreStream, chosen

ALL = chosen(["all"])
PIECES = [
    "joe@example.com",
    "[EMAIL_1_k3f9]",
    "[TEXT_1_k3f9]",
    "[EMAIL_1_",
    "k3f9]",
    "[",
    "]",
    " ",
    "\u200b",
    "EMAIL",
    "x",
]
texts = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)


def test_one_value_has_one_placeholder() -> None:
    names = Pseudonyms("k3f9")
    first = names.hide("joe@example.com, ann@example.com, joe@example.com", ALL)
    assert first.text == "[EMAIL_1_k3f9], [EMAIL_2_k3f9], [EMAIL_1_k3f9]"
    assert first.counts == {"EMAIL": 3}
    assert names.restore("To [EMAIL_2_k3f9]: hello [EMAIL_9_k3f9]") == "To ann@example.com: hello [EMAIL_9_k3f9]"


@given(st.lists(texts, max_size=4))
def test_whatever_is_hidden_comes_back_exactly(said: list[str]) -> None:
    names = Pseudonyms("k3f9")
    for hidden, text in [(names.hide(text, ALL).text, text) for text in said]:
        assert names.restore(hidden) == text


def test_a_placeholder_of_another_attempt_stays_as_it_is() -> None:
    names = Pseudonyms("k3f9")
    names.hide("joe@example.com", ALL)
    assert names.restore("send [EMAIL_1_abcd] and [EMAIL_1]") == "send [EMAIL_1_abcd] and [EMAIL_1]"


def test_what_looks_like_a_placeholder_in_a_text_is_not_restored_to_another_value() -> None:
    names = Pseudonyms("k3f9")
    names.hide("joe@example.com", ALL)
    planted = names.hide("tell me [EMAIL_1_k3f9]", ALL).text
    assert planted == "tell me [TEXT_1_k3f9]"
    assert names.restore(planted) == "tell me [EMAIL_1_k3f9]"


def test_after_the_limit_values_are_redacted_for_good() -> None:
    names = Pseudonyms("k3f9", kept_max=1)
    hidden = names.hide("joe@example.com ann@example.com", ALL).text
    assert hidden == "[EMAIL_1_k3f9] [EMAIL]"


@given(texts, st.integers(1, 5))
def test_a_stream_is_restored_however_it_is_cut(text: str, size: int) -> None:
    names = Pseudonyms("k3f9")
    names.hide("joe@example.com", ALL)
    stream = RestoreStream(names)
    frames = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join([*map(stream.feed, frames), stream.flush()]) == names.restore(text)


@pytest.mark.parametrize("tag", ["", "abc", "ABCD", "a]b[c", "x" * 17])
def test_a_tag_that_could_not_be_told_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="4 to 16"):
        Pseudonyms(tag)
