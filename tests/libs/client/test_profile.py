"""How a program finds the plane: the environment, then the file of the data folder."""

from pathlib import Path

import pytest

from penstock.client.profile import Profile, ProfileError, data_folders, find_profile
from penstock.local.layout import find_layout


def test_without_a_file_or_names_it_is_the_local_default(tmp_path: Path) -> None:
    assert find_profile({}, tmp_path, tmp_path) == Profile(url="nats://127.0.0.1:4222", tenant="default")


def test_the_file_of_a_running_plane_is_found_from_a_folder_below(tmp_path: Path) -> None:
    _write(tmp_path / ".penstock", '{"url": "nats://127.0.0.1:9", "tenant": "acme"}')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_profile({}, below, tmp_path / "home") == Profile(url="nats://127.0.0.1:9", tenant="acme")


def test_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "data", '{"url": "nats://127.0.0.1:9", "tenant": "acme", "api_key": "psk_a_b"}')
    environment = {"PENSTOCK_DATA": str(tmp_path / "data"), "PENSTOCK_TENANT": "other"}
    assert find_profile(environment, tmp_path, tmp_path) == Profile("nats://127.0.0.1:9", "other", api_key="psk_a_b")


def test_a_key_file_in_the_environment_replaces_the_key_in_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "data", '{"api_key": "psk_a_b"}')
    (tmp_path / "key").write_text("psk_c_d\n", encoding="utf-8")
    environment = {"PENSTOCK_DATA": str(tmp_path / "data"), "PENSTOCK_API_KEY_FILE": str(tmp_path / "key")}
    assert find_profile(environment, tmp_path, tmp_path).key() == "psk_c_d"


def test_a_file_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    _write(tmp_path / "data", "{")
    with pytest.raises(ProfileError, match=r"data/profile\.json cannot be used"):
        find_profile({"PENSTOCK_DATA": str(tmp_path / "data")}, tmp_path, tmp_path)


def test_a_missing_key_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="/nowhere/key cannot be read"):
        Profile(api_key_file="/nowhere/key").key()


@pytest.mark.parametrize("environment", [{}, {"PENSTOCK_DATA": "there"}, {"XDG_DATA_HOME": "/x"}])
@pytest.mark.parametrize("here_has_one", [True, False])
def test_the_client_looks_where_the_plane_puts_its_data(
    tmp_path: Path, environment: dict[str, str], here_has_one: bool
) -> None:
    if here_has_one:
        (tmp_path / ".penstock").mkdir()
    assert find_layout(environment, tmp_path, tmp_path / "home").root in data_folders(
        environment, tmp_path, tmp_path / "home"
    )


def _write(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "profile.json").write_text(text, encoding="utf-8")
