import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.audit.checkpoint import SigningKey
from services.audit.disk import Disk
from services.audit.index import Index, Position
from services.audit.orphans import Facts, facts
from services.audit.writer import Writer
from tests.support.audit_log import KEY, decision, message, outcome

Rows = list[tuple[str, Facts]]


def rows(*records: dict[str, object], tenant: str = "acme") -> Rows:
    return [(tenant, facts(json.dumps(record).encode(), tenant)) for record in records]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "index.sqlite")
    yield index
    index.close()


def position(folder: Path) -> Position:
    index = Index(folder / "index.sqlite")
    try:
        return index.position()
    finally:
        index.close()


def test_records_are_found_by_job_and_request_of_their_tenant(index: Index) -> None:
    index.add(0, rows(decision("dec_1", job="job_1"), outcome("dec_1", job="job_1"), decision("dec_2")), b"x")
    index.add(3, rows(decision("dec_3", job="job_1"), tenant="other"), b"y")
    assert index.find("acme", "job_1", "", 10) == [0, 1]
    assert index.find("acme", "job_1", "", 1) == [0]
    assert index.find("other", "job_1", "", 10) == [3]
    assert index.find("acme", "job_2", "", 10) == []
    assert index.find("acme", "job_1", "req_1", 10) == []
    assert index.position() == Position(4, b"y")


def test_what_waits_is_overdue_until_its_outcome_comes(index: Index) -> None:
    index.add(0, rows(decision("dec_1", due=100.0), decision("dec_2", due=100.0)), b"x")
    assert (index.overdue(99.0), index.overdue(101.0)) == (0, 2)
    index.add(2, rows(outcome("dec_2")), b"y")
    assert index.overdue(101.0) == 1
    assert index.overdue_of("acme", [0, 1, 2], 101.0) == ["dec_1"]
    assert index.overdue_of("other", [0, 1, 2], 101.0) == []


def test_an_outcome_that_came_first_settles_its_decision(index: Index) -> None:
    index.add(0, rows(outcome("dec_1"), decision("dec_1", due=100.0)), b"x")
    assert index.overdue(101.0) == 0


def test_rows_are_added_all_or_none(index: Index) -> None:
    index.add(0, rows(decision("dec_1")), b"x")
    with pytest.raises(sqlite3.IntegrityError):
        index.add(0, rows(decision("dec_2", job="job_2"), decision("dec_3")), b"y")
    assert index.position() == Position(1, b"x")
    assert index.find("acme", "job_2", "", 10) == []


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
def test_what_is_no_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.sqlite").write_bytes(content)
    assert position(tmp_path) == Position(0, b"")


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "index.sqlite")
    db.executescript("CREATE TABLE something (a); PRAGMA user_version = 99;")
    db.close()
    assert position(tmp_path) == Position(0, b"")


def _writer(folder: Path, key: SigningKey = KEY) -> Writer:
    return Writer(folder / "log", key, Disk(), folder / "index.sqlite", 50)


def test_an_index_that_is_gone_or_behind_is_made_from_the_log(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.append([message(sequence, 3) for sequence in range(1, 100)])
    writer.close()
    before = position(tmp_path)
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"index.sqlite{end}").unlink(missing_ok=True)
    _writer(tmp_path).close()
    assert position(tmp_path) == before
    assert before.size == 297


def test_an_index_of_another_log_is_made_anew(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.append([message(sequence, 3, fill="x") for sequence in range(1, 10)])
    writer.close()
    (tmp_path / "log").rename(tmp_path / "away")
    writer = _writer(tmp_path)
    writer.append([message(sequence, 3) for sequence in range(1, 10)])
    assert position(tmp_path).size == 27
    writer.close()
