"""Values that follow their files."""

from pathlib import Path

import pytest

from penstock.kit.log import Log
from services.policy.watched import Watched


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

    assert not value.look()
    assert value.look()
    assert value.value == 22
    assert not value.look()


def test_a_bad_change_is_reported_once_and_the_good_value_stays(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    lines: list[str] = []
    value = watched(file, lines)
    file.write_text("one")

    assert [value.look() for _ in range(3)] == [False, False, False]
    assert (value.value, value.problem) == (1, "that is no number")
    assert len(lines) == 1
    file.write_text("333")
    assert [value.look() for _ in range(3)] == [False, True, False]
    assert (value.value, value.problem) == (333, "")


def test_a_file_that_is_emptied_and_filled_in_pieces_is_never_refused(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    lines: list[str] = []
    value = watched(file, lines)
    with file.open("w") as writing:
        value.look()
        for piece in "-98":
            writing.write(piece)
            writing.flush()
            assert not value.look()
            assert value.value == 1
    assert value.look()
    assert (value.value, len(lines)) == (-98, 1)


def test_what_is_written_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    more = ["333"]

    def written_meanwhile(path: Path) -> int:
        text = path.read_text()
        if text == "22" and more:
            path.write_text(more.pop())
        return int(text)

    lines: list[str] = []
    value = Watched("number", file, written_meanwhile, (Refused,), Log(lines.append))
    file.write_text("22")

    assert [value.look() for _ in range(4)] == [False, False, False, True]
    assert value.value == 333


def test_a_bad_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        watched(tmp_path / "n", [])
