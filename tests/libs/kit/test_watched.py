"""When a change of a file is whole enough to be read."""

import os
from pathlib import Path

from penstock.kit.watched import Changes, stamp


def test_a_change_is_told_at_the_second_look_that_finds_it_and_once() -> None:
    changes = Changes("a")

    assert [changes.settled(seen) for seen in ("a", "a", "b", "b", "b", "a", "a")] == [
        False,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_what_changes_from_look_to_look_is_not_told() -> None:
    changes = Changes("a")

    assert not any(changes.settled(seen) for seen in "bcdefg")
    assert changes.settled("g")


def test_what_comes_back_to_what_was_read_is_no_change() -> None:
    changes = Changes("a")

    assert not any(changes.settled(seen) for seen in ("b", "a", "a"))


def test_what_was_read_under_the_hands_of_a_writer_is_told_again() -> None:
    changes = Changes("a")
    changes.settled("b")
    assert changes.settled("b")
    changes.forget()

    assert [changes.settled(seen) for seen in ("b", "b", "b")] == [False, True, False]


def test_a_file_written_in_pieces_is_told_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("old")
    changes = Changes(stamp(file))
    told: list[str] = []

    def look() -> None:
        if changes.settled(stamp(file)):
            told.append(file.read_text())

    with file.open("w") as writing:
        look()
        for piece in ("a", "b", "c"):
            writing.write(piece)
            writing.flush()
            look()
    look()
    look()

    assert told == ["abc"]


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
