"""Secrets by reference."""

from pathlib import Path

import pytest

from services.tool_executor.credentials import CredentialMissing, Credentials
from services.tool_executor.toolsfile import BadToolsFile


def test_a_value_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    credentials = Credentials({"KEY": " from-env "})
    assert credentials.value("env:KEY") == "from-env"
    assert credentials.value(f"file:{tmp_path}/key") == "from-file"


def test_a_rotated_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("one")
    credentials = Credentials({})
    assert credentials.value(f"file:{file}") == "one"
    file.write_text("two")
    assert credentials.value(f"file:{file}") == "two"


@pytest.mark.parametrize("source", ["env:NONE", "env:EMPTY", "env:BROKEN", "file:/no/such/file", "file:/"])
def test_a_missing_or_unusable_value_is_said_by_its_reference(source: str) -> None:
    with pytest.raises(CredentialMissing, match=source):
        Credentials({"EMPTY": " ", "BROKEN": "a\nb"}).value(source)


@pytest.mark.parametrize("source", ["sk-live-123", "env:", "file:relative", "https://vault/x", ""])
def test_a_secret_itself_is_no_reference_and_is_not_repeated(source: str) -> None:
    with pytest.raises(BadToolsFile) as caught:
        Credentials.check(source)
    assert "sk-live" not in str(caught.value)
