"""Where the data folder is, and that nobody else can look into it."""

from pathlib import Path

import pytest

from penstock.local.layout import FolderInUse, FolderUnusable, Layout, find_layout, write_private


def test_the_variable_names_the_folder_before_all_else(tmp_path: Path) -> None:
    (tmp_path / ".penstock").mkdir()
    layout = find_layout({"PENSTOCK_DATA": "/srv/plane"}, here=tmp_path, home=tmp_path)
    assert layout.root == Path("/srv/plane")


def test_a_relative_variable_is_taken_from_the_present_folder(tmp_path: Path) -> None:
    layout = find_layout({"PENSTOCK_DATA": "data"}, here=tmp_path, home=Path("/home/jo"))
    assert layout.root == tmp_path / "data"


def test_a_folder_in_the_present_one_comes_before_the_users(tmp_path: Path) -> None:
    (tmp_path / ".penstock").mkdir()
    assert find_layout({}, here=tmp_path, home=Path("/home/jo")).root == tmp_path / ".penstock"


def test_the_users_data_folder_is_the_default(tmp_path: Path) -> None:
    assert find_layout({}, here=tmp_path, home=Path("/home/jo")).root == Path("/home/jo/.local/share/penstock")
    xdg = {"XDG_DATA_HOME": "/data"}
    assert find_layout(xdg, here=tmp_path, home=Path("/home/jo")).root == Path("/data/penstock")


def test_every_folder_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "plane")
    for folder in (layout.broker, layout.store, layout.keys, layout.logs, layout.audit):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert layout.root.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "plane").mkdir(mode=0o755)
    assert Layout(tmp_path / "plane").keys.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plane").write_text("")
    with pytest.raises(FolderUnusable, match="is not a folder"):
        _ = Layout(tmp_path / "plane").keys


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(FolderUnusable, match="belongs to another user"):
        _ = Layout(tmp_path).keys


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    file = layout.secret("store")
    first = file.read_text()
    assert len(first) == 43
    assert file.stat().st_mode & 0o777 == 0o600
    assert layout.secret("store").read_text() == first
    assert layout.secret("other").read_text() != first


def test_a_second_plane_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with Layout(tmp_path).held(), pytest.raises(FolderInUse), Layout(tmp_path).held():
        pass
    with Layout(tmp_path).held():
        pass


def test_a_private_write_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "key"
    write_private(file, b"one")
    write_private(file, b"two")
    assert file.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]
