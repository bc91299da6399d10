from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.audit import merkle, tail, tiles
from services.audit.checkpoint import SigningKey, open_checkpoint
from services.audit.disk import Disk, InUse, held
from services.audit.leaf import Message, entries, read_leaf
from services.audit.log import Log, OutOfOrder
from services.audit.recover import LogDamaged
from services.audit.verify import verify
from tests.support.audit_log import KEY, body, decision, message, written

MESSAGES = [message(sequence, sequence % 4 + 1) for sequence in range(1, 181)]
"""450 records: one full bundle and a part of a second."""


class PowerCut(Exception):
    """The process ended here."""


class CutDisk(Disk):
    """A disk whose process ends at its n-th step, in the middle of that step.

    `torn`: how much of the bytes of that step reach the disk. What was appended and not synced is lost with it.
    """

    def __init__(self, steps: int, torn: float) -> None:
        super().__init__()
        self._steps = steps
        self._torn = torn
        self.taken = 0

    def write(self, path: Path, data: bytes, *, private: bool = False) -> None:
        if self._last():
            self._make_folder(path.parent)
            path.with_name(f"{path.name}.new").write_bytes(data[: int(len(data) * self._torn)])
            raise PowerCut
        super().write(path, data, private=private)

    def settle(self) -> None:
        if self._last():
            raise PowerCut
        super().settle()

    def append(self, handle: int, data: bytes) -> None:
        if self._last():
            super().append(handle, data[: int(len(data) * self._torn)])
            raise PowerCut
        super().append(handle, data)

    def cut(self, handle: int, size_bytes: int) -> None:
        if self._last():
            raise PowerCut
        super().cut(handle, size_bytes)

    def remove_folder(self, path: Path) -> None:
        if self._last():
            if path.is_dir():
                next(path.iterdir()).unlink()
            raise PowerCut
        super().remove_folder(path)

    def _last(self) -> bool:
        self.taken += 1
        return self.taken == self._steps


def all_records(log: Log) -> list[tuple[int, int]]:
    return [(leaf.sequence, leaf.position) for leaf in (read_leaf(log.entry(i)) for i in range(log.size))]


def places(count: int) -> list[tuple[int, int]]:
    return [(m.sequence, position) for m in MESSAGES[:count] for position in range(len(m.records))]


def is_sound(folder: Path) -> None:
    findings = verify(folder, str(KEY.verifying), now=0.0)
    assert findings.verified.problems == ()


def test_a_new_log_is_empty_and_signed(tmp_path: Path) -> None:
    log = written(tmp_path, [])
    assert (log.size, log.head.size, log.head.root) == (0, 0, merkle.EMPTY_ROOT)
    log.close()
    is_sound(tmp_path)


def test_what_is_appended_is_read_back_before_and_after_it_is_signed(tmp_path: Path) -> None:
    log = written(tmp_path, [])
    assert log.append(MESSAGES) == MESSAGES
    assert all_records(log) == places(180)
    assert (log.head.size, log.unpublished) == (0, 450)
    log.publish()
    assert all_records(log) == places(180)
    assert (log.head.size, log.unpublished, log.sequence) == (450, 0, 180)
    log.close()
    is_sound(tmp_path)


def test_the_files_are_those_of_tlog_tiles(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES)
    log.close()
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "checkpoint",
        "tail",
        "tile/0/000",
        "tile/0/001.p/194",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/194",
    ]
    hashes = [merkle.leaf_hash(entry.data) for m in MESSAGES for entry in entries(m)]
    assert (tmp_path / "tile/0/000").read_bytes() == b"".join(hashes[:256])
    assert (tmp_path / "tile/1/000.p/1").read_bytes() == merkle.root(hashes[:256])
    head = open_checkpoint((tmp_path / "checkpoint").read_bytes(), KEY.verifying)
    assert (head.origin, head.size, head.root) == ("example.com/audit", 450, merkle.root(hashes))
    assert (tmp_path / "tail").read_bytes() == b""


def test_partial_tiles_stay_until_the_full_one_is_there(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:80], every=20)
    assert len(list((tmp_path / "tile/0/000.p").iterdir())) == 4
    log.append(MESSAGES[80:])
    log.publish()
    log.close()
    assert not (tmp_path / "tile/0/000.p").exists()
    assert not (tmp_path / "tile/entries/000.p").exists()
    is_sound(tmp_path)


def test_the_same_messages_give_the_same_root_however_they_arrive(tmp_path: Path) -> None:
    one = written(tmp_path / "one", MESSAGES)
    many = written(tmp_path / "many", MESSAGES, every=7)
    assert one.head == many.head
    one.close()
    many.close()


def test_a_message_that_comes_again_is_not_doubled(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:10])
    assert log.append(MESSAGES[:10]) == []
    assert log.append(MESSAGES[5:12]) == MESSAGES[10:12]
    assert log.append([MESSAGES[12], MESSAGES[13], MESSAGES[12]]) == MESSAGES[12:14]
    assert all_records(log) == places(14)
    log.close()


def test_a_message_after_a_gap_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:10])
    with pytest.raises(OutOfOrder, match="message 12 does not follow message 10"):
        log.append([MESSAGES[11]])
    assert (tmp_path / "tail").read_bytes() == b""
    log.append(MESSAGES[10:12])
    log.close()


def test_a_record_of_one_mebibyte_is_kept_and_verified(tmp_path: Path) -> None:
    big = decision("dec_big") | {"data": {"text": "x" * 1024 * 1024}}
    log = written(tmp_path, [Message.read(1, 0.0, "penstock.audit.acme.policy", body(big))])
    digest = read_leaf(log.entry(0)).record_sha256
    log.close()
    is_sound(tmp_path)
    outside = log.folder.outside(digest)
    assert outside is not None
    assert len(outside) > 1024 * 1024


def test_the_writer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    written(tmp_path, MESSAGES[:60], every=13).close()
    log = Log(tmp_path, KEY, Disk())
    assert (log.repaired, log.sequence) == ("", 60)
    log.append(MESSAGES)
    log.publish()
    assert all_records(log) == places(180)
    log.close()
    other = written(tmp_path / "other", MESSAGES)
    assert log.head.root == other.head.root
    other.close()


def test_what_was_appended_and_not_signed_is_there_after_a_restart(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:30])
    log.append(MESSAGES[30:40])
    log.close()
    log = Log(tmp_path, KEY, Disk())
    assert (log.sequence, log.head.size, log.unpublished) == (40, len(places(30)), len(places(40)) - len(places(30)))
    assert all_records(log) == places(40)
    log.close()


def _work(folder: Path, disk: Disk, first: int) -> None:
    """Everything a writer does, with restarts of the log's own kind: messages come from `first` on, or again."""
    log = Log(folder, KEY, disk)
    try:
        for start in range(first, 150, 50):
            log.append(MESSAGES[: start + 50])
            log.append(MESSAGES[: start + 60])
            log.publish()
    finally:
        log.close()


def _steps(make: Callable[[int], Path]) -> int:
    disk = CutDisk(0, 0)
    _work(make(0), disk, 0)
    return disk.taken


@pytest.mark.parametrize("torn", [0.0, 0.4, 1.0])
def test_killed_at_any_step_it_neither_loses_nor_doubles_nor_rewrites(tmp_path: Path, torn: float) -> None:
    def fresh(name: int) -> Path:
        folder = tmp_path / str(name)
        folder.mkdir()
        return folder

    steps = _steps(fresh)
    assert steps > 35
    for step in range(1, steps + 1):
        folder = fresh(step)
        with pytest.raises(PowerCut):
            _work(folder, CutDisk(step, torn), 0)
        note = folder / "checkpoint"
        signed = [note.read_bytes()] if note.exists() else []
        log = Log(folder, KEY, Disk())
        assert all_records(log) == places(log.sequence)
        log.append(MESSAGES)
        log.publish()
        assert all_records(log) == places(180)
        log.close()
        findings = verify(folder, str(KEY.verifying), now=0.0, known=signed)
        assert findings.verified.problems == (), f"step {step}"


def test_killed_again_while_it_recovers_it_recovers_all_the_same(tmp_path: Path) -> None:
    for step in range(1, 60, 3):
        folder = tmp_path / str(step)
        folder.mkdir()
        for cut in (step, 2, 1, 3, 9):
            try:
                _work(folder, CutDisk(cut, 0.5), 0)
            except PowerCut:
                continue
        log = Log(folder, KEY, Disk())
        log.append(MESSAGES)
        log.publish()
        assert all_records(log) == places(180)
        log.close()
        is_sound(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_tail_cut_at_any_byte_is_repaired_to_whole_messages(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    log = written(folder, MESSAGES[:10])
    log.append(MESSAGES[10:20])
    log.close()
    file = folder / tail.NAME
    length = data.draw(st.integers(0, file.stat().st_size))
    file.write_bytes(file.read_bytes()[:length])
    log = Log(folder, KEY, Disk())
    assert 10 <= log.sequence <= 20
    assert all_records(log) == places(log.sequence)
    log.append(MESSAGES)
    log.publish()
    assert all_records(log) == places(180)
    log.close()
    is_sound(folder)


def test_a_repair_says_what_was_cut_away(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:3])
    log.append(MESSAGES[3:5])
    log.close()
    file = tmp_path / tail.NAME
    file.write_bytes(file.read_bytes()[:-9])
    log = Log(tmp_path, KEY, Disk())
    assert log.repaired.endswith("after message 4 were cut away: the last line has no end")
    log.close()


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _swap_last_bytes(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        data = bytearray(file.read_bytes())
        data[-3] ^= 1
        file.write_bytes(data)

    return change


def _another_key(folder: Path) -> None:
    other = SigningKey.generate("example.com/audit")
    head = open_checkpoint((folder / "checkpoint").read_bytes(), KEY.verifying)
    (folder / "checkpoint").write_bytes(other.sign(head))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_remove("checkpoint"), "its checkpoint is missing"),
        (_swap_last_bytes("checkpoint"), "of the checkpoint, "),
        (_another_key, "of the checkpoint, it is not signed by example.com/audit"),
        (_remove("tile/0/001.p/194"), "tile/0/001.p/194: it is not there"),
        (_remove("tile/entries/001.p/194"), "tile/entries/001.p/194: it is not there"),
        (_swap_last_bytes("tile/0/001.p/194"), "its tiles do not give the root that is signed for 450 records"),
        (_swap_last_bytes("tile/1/000.p/1"), "its tiles do not give the root that is signed for 450 records"),
        (_swap_last_bytes("tile/entries/001.p/194"), "the last 194 records are not those whose hashes are signed"),
    ],
)
def test_a_log_whose_signed_part_is_damaged_is_not_opened(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    written(tmp_path, MESSAGES).close()
    damage(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(LogDamaged) as refused:
        Log(tmp_path, KEY, Disk())
    assert reason in str(refused.value)
    assert "Nothing was changed" in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(InUse, match="Another process writes the audit log"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_what_the_stream_must_confirm_begins_with_the_last_signed_message(tmp_path: Path) -> None:
    log = written(tmp_path, MESSAGES[:30])
    log.append(MESSAGES[30:33])
    want = [entry.data for m in MESSAGES[29:33] for entry in entries(m)]
    assert log.unproven() == want
    log.close()
    empty = written(tmp_path / "empty", [])
    assert empty.unproven() == []
    empty.close()


def test_partial_tiles_of_the_upper_levels_are_written_when_they_change(tmp_path: Path) -> None:
    log = written(tmp_path, [message(sequence, 200) for sequence in range(1, 7)], every=1)
    log.close()
    found = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "tile/1").rglob("*") if path.is_file())
    assert found == [f"tile/1/000.p/{width}" for width in (1, 2, 3, 4)]
    assert tiles.widths(1200) == [176, 4]
    is_sound(tmp_path)
