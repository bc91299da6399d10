"""Faults under the notary: a disk that fails, a process that is killed. What the stream has, the log must have."""

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_SINK
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.audit.config import Config
from services.audit.disk import Disk
from services.audit.folder import Folder
from services.audit.leaf import read_leaf
from services.audit.notary import Notary
from services.audit.source import AUDIT_RAW, Source
from services.audit.verify import verify
from services.audit.writer import Writer
from tests.services.audit.test_service import emit, is_sound, sequences
from tests.support.audit_log import KEY, decision
from tests.support.eventually import eventually
from tests.support.process import module_process


class FullDisk(Disk):
    """No space is left while `full`; half of what is to be appended still finds room."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def write(self, path: Path, data: bytes, *, private: bool = False) -> None:
        self._room()
        super().write(path, data, private=private)

    def append(self, handle: int, data: bytes) -> None:
        if self.full:
            os.write(handle, data[: len(data) // 2])
        self._room()
        super().append(handle, data)

    def _room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


@asynccontextmanager
async def notary(bus: Bus, data: Path, disk: Disk, log: Log, *, page_max: int = 256) -> AsyncIterator[Notary]:
    data.mkdir(exist_ok=True)
    open_writer = partial(Writer, data / "log", KEY, disk, data / "index.sqlite", 1000)
    made = Notary(open_writer, Source(bus, page_max), SystemClock(), Metrics("audit"), log)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def logged(data: Path) -> list[int]:
    folder = Folder(data / "log")
    size = int((folder.checkpoint() or b"").split(b"\n")[1])
    return [read_leaf(folder.entry(index, size)).sequence for index in range(size)]


def sound(data: Path) -> None:
    assert verify(data, str(KEY.verifying), now=0.0).verified.problems == ()


@pytest.mark.parametrize("page_max", [1, 3, 256])
async def test_what_is_in_the_stream_already_is_taken_page_by_page(
    bus: Bus, tmp_path: Path, log: Log, page_max: int
) -> None:
    for number in range(7):
        await emit(bus, decision(f"dec_{number}"))
    async with notary(bus, tmp_path / "a", Disk(), log, page_max=page_max):
        pass
    assert logged(tmp_path / "a") == [1, 2, 3, 4, 5, 6, 7]
    sound(tmp_path / "a")


async def test_a_full_disk_stops_the_log_and_loses_nothing(bus: Bus, tmp_path: Path, log: Log) -> None:
    disk = FullDisk()
    async with notary(bus, tmp_path / "a", disk, log) as made:
        listener = await bus.listen(AUDIT_RAW, AUDIT_SINK, made.take)
        await emit(bus, decision("dec_1"), decision("dec_2"))

        async def failing() -> None:
            assert "No space left on device" in await why_not_ready(made)

        await eventually(lambda: _published(made, tmp_path / "a", 2))
        disk.full = True
        await emit(bus, decision("dec_3"))
        await eventually(failing)
        await emit(bus, decision("dec_4"))
        disk.full = False
        await eventually(lambda: _published(made, tmp_path / "a", 4), within_s=20)
        assert await why_not_ready(made) == ""
        await listener.stop()
    assert logged(tmp_path / "a") == [1, 1, 2, 3]
    sound(tmp_path / "a")


async def why_not_ready(made: Notary) -> str:
    try:
        await made.ready()
    except Failure as failure:
        assert failure.code == Code.UNAVAILABLE
        return failure.detail
    return ""


async def _published(made: Notary, data: Path, records: int) -> None:
    await made.publish()
    assert len(logged(data)) == records


async def test_a_disk_that_is_full_while_a_checkpoint_is_made_costs_only_time(
    bus: Bus, tmp_path: Path, log: Log, lines: list[str]
) -> None:
    disk = FullDisk()
    async with notary(bus, tmp_path / "a", disk, log) as made:
        await emit(bus, decision("dec_1"))
        await made.start()
        disk.full = True
        await made.publish()
        assert any("no checkpoint" in line and "No space left" in line for line in lines)
        assert "No space left on device" in await why_not_ready(made)
        disk.full = False
        await made.publish()
        assert await why_not_ready(made) == ""
        assert logged(tmp_path / "a") == [1]
    assert logged(tmp_path / "a") == [1]
    sound(tmp_path / "a")


async def test_killed_again_and_again_under_load_every_record_is_there_once(
    bus: Bus, config: Callable[..., Config], nats_url: str
) -> None:
    settings = config()
    environment = {
        "PENSTOCK_NATS_URL": nats_url,
        "PENSTOCK_DATA_DIR": settings.data_dir,
        "PENSTOCK_LOG_ORIGIN": "example.com/audit",
        "PENSTOCK_CHECKPOINT_EVERY_S": "0.02",
        "PENSTOCK_CHECKPOINT_RECORDS_MAX": "50",
        "PENSTOCK_CHECK_EVERY_S": "0.1",
    }
    chance = random.Random(7)
    sent = 0

    async def load(batches: int) -> None:
        nonlocal sent
        for _ in range(batches):
            await emit(bus, *(decision(f"dec_{sent}_{place}") for place in range(chance.randint(1, 9))))
            sent += 1

    async def taken(more_than: int) -> None:
        assert size_of(settings) > more_than

    async def all_taken() -> None:
        assert sorted(set(sequences(settings))) == list(range(1, sent + 1))

    async with module_process("services.audit", environment=environment) as process:
        for _ in range(3):
            loading = asyncio.create_task(load(chance.randint(50, 150)))
            await eventually(partial(taken, size_of(settings) + chance.randint(0, 200)), within_s=20)
            await process.kill()
            process.start()
            await loading
        await load(5)
        await eventually(all_taken, within_s=20)
        assert await process.terminate() == 0
    assert sorted(set(sequences(settings))) == list(range(1, sent + 1))
    is_sound(settings)


def size_of(config: Config) -> int:
    note = Folder(Path(config.data_dir) / "log").checkpoint()
    return int(note.split(b"\n")[1]) if note else 0
