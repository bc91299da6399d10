"""Values that follow their files."""

import os
from pathlib import Path

import pytest

from penstock.kit.log import Log
from services.policy.watched import Watched, stamp


class Refused(Exception):
    pass


def number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (ValueError, FileNotFoundError):
        raise Refused("that is no number") from None


def watched(path: Path, lines: list[str]) -> Watched[int]:
    return Watched("number", path, number, (Refused,), Log(lines.append))


def test_a_value_follows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    value = watched(file, [])
    file.write_text("22")

    assert value.look()
    assert value.value == 22
    assert not value.look()


def test_a_bad_change_is_reported_once_and_the_good_value_stays(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    lines: list[str] = []
    value = watched(file, lines)
    file.write_text("one")

    assert not value.look()
    assert not value.look()
    assert (value.value, value.problem) == (1, "that is no number")
    assert len(lines) == 1
    file.write_text("333")
    assert value.look()
    assert (value.value, value.problem) == (333, "")


def test_a_bad_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        watched(tmp_path / "n", [])


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    file, other = tmp_path / "n", tmp_path / "m"
    file.write_text("1")
    other.write_text("2")
    before = stamp(file)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)

    assert stamp(file) != before


def test_a_file_added_to_a_folder_or_taken_from_it_is_noticed(tmp_path: Path) -> None:
    before = stamp(tmp_path)
    (tmp_path / "n").write_text("1")
    after = stamp(tmp_path)
    (tmp_path / "n").unlink()

    assert before != after
    assert stamp(tmp_path) == before
