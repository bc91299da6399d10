"""Keys are named in the file and kept elsewhere."""

from pathlib import Path

import pytest

from services.router.models.keys import BadKeyReference, find_key, hide


def test_a_key_comes_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n", encoding="utf-8")
    assert find_key("env:NAME", {"NAME": "sk-env"}, tmp_path).reveal() == "sk-env"
    assert find_key("file:key", {}, tmp_path).reveal() == "sk-file"
    assert not find_key("", {}, tmp_path)


@pytest.mark.parametrize(
    "reference", ["sk-oops", "env:", "http://key", "env:MISSING", "file:nowhere", "file:bad", "file:empty"]
)
def test_a_reference_to_no_key_is_refused_without_showing_it(reference: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("two words", encoding="utf-8")
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    with pytest.raises(BadKeyReference) as caught:
        find_key(reference, {}, tmp_path)
    assert "sk-oops" not in str(caught.value)
    assert "two words" not in str(caught.value)


def test_an_echoed_key_is_hidden(tmp_path: Path) -> None:
    key = find_key("env:NAME", {"NAME": "sk-env"}, tmp_path)
    assert hide(key, b"bad key sk-env!") == b"bad key [key]!"
    assert hide(find_key("", {}, tmp_path), b"bad") == b"bad"
