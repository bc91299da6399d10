import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.audit import merkle, tiles
from services.audit.checkpoint import BadKey, Head, SigningKey
from services.audit.leaf import Message
from services.audit.verify import verify
from tests.support.audit_log import KEY, STORED_S, body, decision, message, outcome, written

PUBLIC = str(KEY.verifying)
COUNT = 600
"""Records: two full bundles and a part of a third, an entry outside, a tail, and a partial tile of an older size."""


def _make(folder: Path) -> None:
    big = Message.read(51, STORED_S, "penstock.audit.acme.policy", body(decision("d") | {"data": {"x": "y" * 70_000}}))
    messages = [message(sequence, 10) for sequence in range(1, 51)]
    messages += [big, *(message(sequence, 11) for sequence in range(52, 61)), message(61, 1)]
    log = written(folder, messages[:58], every=20)
    log.append(messages[58:60])
    log.publish()
    log.append(messages[60:])
    log.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "log"
    _make(folder)
    return folder


@pytest.fixture
def log(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def problems(folder: Path, **known: list[bytes]) -> tuple[str, ...]:
    return verify(folder, PUBLIC, now=0.0, **known).verified.problems


def entries_of(folder: Path, bundle: int) -> list[bytes]:
    return tiles.unbundle((folder / tiles.bundle_path(bundle)).read_bytes())


def test_a_sound_log_has_no_problems(log: Path) -> None:
    found = verify(log, PUBLIC, now=0.0)
    assert found.verified.problems == ()
    assert (found.verified.records, found.unsigned) == (COUNT, 1)
    assert found.verified.signed_by == f"example.com/audit+{KEY.verifying.id.hex()}"
    hashes = [merkle.leaf_hash(entry) for bundle in (0, 1) for entry in entries_of(log, bundle)]
    last = tiles.unbundle((log / "tile/entries/002.p/88").read_bytes())
    assert found.verified.root == merkle.root(hashes + [merkle.leaf_hash(entry) for entry in last]).hex()


def test_the_service_s_data_folder_does_as_well_as_the_log_in_it(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "data" / "log")
    assert problems(tmp_path / "data") == ()


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_byte_changed_in_any_file_is_found(log: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(list(_files(log))))
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    changed = bytearray(before)
    changed[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(changed)
    found = problems(log)
    file.write_bytes(before)
    assert found, f"{file.relative_to(log)}, byte {place}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_file_cut_short_or_removed_is_found(log: Path, data: st.DataObject) -> None:
    needed = [file for file in _files(log) if file.name != "tail"]
    file = data.draw(st.sampled_from(needed))
    older = "002.p" in str(file) and file.name not in ("88",)
    before = file.read_bytes()
    length = data.draw(st.integers(-1, len(before) - 1))
    file.write_bytes(before[:length]) if length >= 0 else file.unlink()
    found = problems(log)
    file.write_bytes(before)
    assert found or (older and length < 0), f"{file.relative_to(log)}, {length} bytes left"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_record_removed_doubled_or_exchanged_is_found_and_named(log: Path, data: st.DataObject) -> None:
    bundle = data.draw(st.integers(0, 1))
    file = log / tiles.bundle_path(bundle)
    before = file.read_bytes()
    entries = tiles.unbundle(before)
    place = data.draw(st.integers(0, len(entries) - 2))
    change = data.draw(st.sampled_from(["removed", "doubled", "another order"]))
    if change == "removed":
        del entries[place]
    elif change == "doubled":
        entries.insert(place, entries[place])
    else:
        entries[place], entries[place + 1] = entries[place + 1], entries[place]
    file.write_bytes(tiles.bundle(entries))
    found = problems(log)
    file.write_bytes(before)
    name = bundle * 256 + place
    told = [problem for problem in found if problem.startswith(f"tile/entries/{bundle:03d}: record")]
    assert any(change in problem for problem in told), found
    assert any(str(number) in problem for problem in told for number in (name, name + 1)), found


def _change(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def _flip(place: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_change("tile/entries/000", _flip(300)), ["tile/entries/000: record 0 changed (message 1, 1 of 10)"]),
        (
            _change("tile/0/001", _flip(32 * 4)),
            ["tile/0/001: its hashes are not those of the records, which are as signed"],
        ),
        (
            _change("tile/0/002.p/88", _flip(32 * 4)),
            [
                "tile/0/002.p/88: its hashes are not those of the records, which are as signed",
                "tile/0/002.p/66: it is not the beginning of what stands there now",
            ],
        ),
        (_change("tile/1/000.p/2", _flip(32)), ["tile/1/000.p/2: hash 1 is not that of records 256 to 511"]),
        (_change("tile/1/000.p/1", _flip(3)), ["tile/1/000.p/1: it is not the beginning of what stands there now"]),
        (_remove("checkpoint"), ["checkpoint: it is not there; "]),
        (_remove("tile/1/000.p/2"), ["tile/1/000.p/2: it is not there"]),
        (
            _change("tail", lambda data: data[:-5]),
            ["tail: from byte 0 on, the last line has no end; the service repairs it from the stream when it starts"],
        ),
        (_change("tail", lambda data: b"601" + data[3:]), ["tail: record 600 is missing"]),
    ],
)
def test_what_is_wrong_and_where_is_said(log: Path, damage: Callable[[Path], None], told: list[str]) -> None:
    damage(log)
    found = problems(log)
    for want in told:
        assert any(problem.startswith(want) for problem in found), found
    assert len(found) == len(told), found


def test_a_record_outside_its_entry_that_was_changed_is_named(log: Path) -> None:
    (file,) = (path for path in (log / "outside").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes().replace(b"yyy", b"yzy", 1))
    (found,) = problems(log)
    assert found.endswith("record 500 (message 51) is not there, or was changed")


def test_a_missing_bundle_is_told_with_its_records(log: Path) -> None:
    (log / "tile/entries/001").unlink()
    assert problems(log)[0] == "tile/entries/001: it is not there (records 256 to 511)"


def test_the_end_cut_off_is_found(log: Path) -> None:
    (log / "tile/entries/002.p/88").unlink()
    (log / "tile/0/002.p/88").unlink()
    found = problems(log)
    assert "tile/0/002.p/88: it is not there" in found
    assert any("checkpoint: it signs the root" in problem for problem in found)


def test_another_history_under_the_same_size_is_not_what_was_signed(log: Path, tmp_path: Path) -> None:
    note = (log / "checkpoint").read_bytes()
    other = tmp_path / "other"
    written(other, [message(sequence, 10, fill="x") for sequence in range(1, 61)]).close()
    (other / "checkpoint").write_bytes(note)
    assert any("checkpoint: it signs the root" in problem for problem in problems(other))


def test_a_checkpoint_of_another_key_is_refused_and_the_rest_still_checked(log: Path) -> None:
    other = SigningKey.generate("example.com/audit")
    (log / "checkpoint").write_bytes(other.sign(Head("example.com/audit", COUNT, bytes(32))))
    found = verify(log, PUBLIC, now=0.0).verified
    assert found.signed_by == ""
    assert found.problems[0].startswith("checkpoint: it is not signed by example.com/audit+")
    assert any("it signs the root 0000" in problem for problem in found.problems)


def test_a_size_that_nobody_signed_does_not_keep_the_verifier_busy(log: Path) -> None:
    other = SigningKey.generate("example.com/audit")
    (log / "checkpoint").write_bytes(other.sign(Head("example.com/audit", 10**18, bytes(32))))
    assert len(problems(log)) < 20


def test_a_log_put_back_to_an_older_state_is_found_with_a_checkpoint_kept_elsewhere(
    sound: Path, tmp_path: Path
) -> None:
    kept = (sound / "checkpoint").read_bytes()
    older = tmp_path / "older"
    written(older, [message(sequence, 10) for sequence in range(1, 51)]).close()
    assert problems(older) == ()
    assert problems(older, known=[kept]) == (
        "known checkpoint 1: it signs 600 records, the log has only 500: the end was cut off",
    )


def test_a_rewritten_log_is_found_with_a_checkpoint_kept_elsewhere(sound: Path, tmp_path: Path) -> None:
    kept = (sound / "checkpoint").read_bytes()
    rewritten = tmp_path / "rewritten"
    written(rewritten, [message(sequence, 10, fill="x") for sequence in range(1, 71)]).close()
    assert problems(rewritten) == ()
    assert problems(rewritten, known=[kept]) == (
        "known checkpoint 1: the first 600 records are not those it signs: history was rewritten",
    )


def test_checkpoints_kept_elsewhere_that_agree_are_no_problem(sound: Path, tmp_path: Path) -> None:
    log = written(tmp_path, [message(sequence, 10) for sequence in range(1, 4)])
    kept = [(tmp_path / "checkpoint").read_bytes()]
    for sequence in range(4, 80):
        log.append([message(sequence, 10)])
    log.publish()
    kept.append((tmp_path / "checkpoint").read_bytes())
    log.close()
    assert problems(tmp_path, known=kept) == ()


def test_a_message_that_never_came_is_a_gap_even_when_it_was_signed(tmp_path: Path) -> None:
    written(tmp_path / "a", [message(1), message(2), message(3)]).close()
    entries = tiles.unbundle((tmp_path / "a/tile/entries/000.p/3").read_bytes())
    del entries[1]
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    other = tmp_path / "b"
    (other / "tile/entries/000.p").mkdir(parents=True)
    (other / "tile/0/000.p").mkdir(parents=True)
    (other / "tile/entries/000.p/2").write_bytes(tiles.bundle(entries))
    (other / "tile/0/000.p/2").write_bytes(b"".join(hashes))
    (other / "checkpoint").write_bytes(KEY.sign(Head("example.com/audit", 2, merkle.root(hashes))))
    assert problems(other) == ("record 1 (message 3, 1 of 1): the messages 2 to 2 of the stream are missing",)


def test_decisions_without_an_outcome_are_orphans_once_due(tmp_path: Path) -> None:
    records = [
        decision("dec_1", due=100.0),
        decision("dec_2", due=100.0),
        outcome("dec_2"),
        decision("dec_3", due=200.0),
    ]
    written(tmp_path, [Message.read(1, STORED_S, "penstock.audit.acme.policy", body(*records))]).close()
    assert verify(tmp_path, PUBLIC, now=150.0).verified.orphans == ("dec_1",)
    assert verify(tmp_path, PUBLIC, now=250.0).verified.orphans == ("dec_1", "dec_3")
    assert verify(tmp_path, PUBLIC, now=250.0).orphans[0].tenant == "acme"


def test_many_problems_are_counted_and_not_all_told(log: Path) -> None:
    for bundle in (0, 1):
        file = log / tiles.bundle_path(bundle)
        file.write_bytes(tiles.bundle([b"x" + entry for entry in entries_of(log, bundle)]))
    found = problems(log)
    assert len(found) == 101
    assert found[-1].startswith("and ")


def test_an_empty_folder_is_no_log(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path)
    assert "holds no log" in problem


def test_what_is_no_key_is_refused(log: Path) -> None:
    with pytest.raises(BadKey, match="is written <name>"):
        verify(log, "nonsense")


def test_the_verifier_needs_neither_bus_nor_service() -> None:
    import subprocess
    import sys

    code = (
        "import sys, services.audit.verify; sys.exit(any(m.split('.')[0] in ('nats', 'asyncio') for m in sys.modules))"
    )
    root = Path(__file__).parents[3]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, env={"PYTHONPATH": f"{root}:{root}/libs"}).returncode
        == 0
    )
