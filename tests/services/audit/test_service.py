"""The notary on a real broker: what it takes from the stream, what it answers, and on what it refuses to start."""

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus
from penstock.contracts.audit import Batch, Record, TrailRequest, Verified, VerifyRequest
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import AUDIT_BATCH, AUDIT_TRAIL, AUDIT_VERIFY, KEYS
from penstock.contracts.meta import Meta
from penstock.contracts.services import AUDIT
from penstock.contracts.stores import AUDIT_LOG
from penstock.kit.clock import SystemClock
from penstock.kit.lifecycle import Host
from penstock.kit.log import Log
from penstock.kit.service import running
from services.audit.checkpoint import VerifyingKey
from services.audit.config import Config
from services.audit.folder import Folder
from services.audit.leaf import read_leaf
from services.audit.main import audit
from services.audit.merkle import leaf_hash
from services.audit.tail import lines as tail_lines
from services.audit.verify import verify
from tests.support.audit_log import decision, outcome
from tests.support.eventually import eventually
from tests.support.tokens import TestSigner

Make = Callable[..., Config]
FAR = 4_000_000_000.0


async def emit(bus: Bus, *records: dict[str, object], tenant: str = "acme", service: str = "policy") -> int:
    batch = Batch([msgspec.convert(record | {"data": raw(record["data"])}, Record) for record in records])
    return await bus.emit(AUDIT_BATCH, batch, Meta(), tenant=tenant, service=service)


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


async def emit_bytes(bus: Bus, data: bytes) -> None:
    await bus.jetstream.store(AUDIT_BATCH.subject.at(tenant="acme", service="policy"), data, {}, "", 5.0)


def public_key(config: Config) -> str:
    return (Path(config.data_dir) / "key.pub").read_text()


def sequences(config: Config) -> list[int]:
    """Of all records, in the log's order. Everything must be signed."""
    folder = Folder.find(Path(config.data_dir))
    size = int((folder.checkpoint() or b"").split(b"\n")[1])
    return [read_leaf(folder.entry(index, size)).sequence for index in range(size)]


async def signed(config: Config, count: int) -> None:
    async def all_signed() -> None:
        assert len(sequences(config)) == count

    await eventually(all_signed, within_s=10)


def is_sound(config: Config) -> Verified:
    found = verify(Path(config.data_dir), public_key(config), now=0.0)
    assert found.verified.problems == ()
    assert found.unsigned == 0
    return found.verified


async def started(config: Config, log: Log) -> Host[Config]:
    async with running(audit, config, AUDIT, log=log) as host:
        return host


async def refused(config: Config, log: Log) -> Failure:
    with pytest.raises(Failure) as failure:
        await started(config, log)
    return failure.value


async def test_a_record_becomes_a_signed_leaf_and_is_found_in_its_trail(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    meta = Meta(tenant="acme", token=signer.token())
    async with running(audit, config(), AUDIT, log=log):
        await emit(bus, decision("dec_1", job="job_1", due=FAR), decision("dec_2", job="job_2"))
        await emit(bus, outcome("dec_1", job="job_1"), service="router")
        await signed(config(), 3)
        trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1"), meta, tenant="acme")
        assert [(entry.index, entry.sequence, entry.record.id) for entry in trail.entries] == [
            (0, 1, "rec_dec_1_d"),
            (2, 2, "rec_dec_1_o"),
        ]
        assert (trail.orphans, trail.truncated) == ((), False)
        found = await bus.call(AUDIT_VERIFY, VerifyRequest(), meta, tenant="acme")
        assert (found.records, found.problems) == (3, ())
        assert found.signed_by.startswith("example.com/audit+")
        assert len(found.root) == 64
    assert is_sound(config()).records == 3


async def test_what_is_not_signed_yet_stands_in_the_trail_too(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    slow = msgspec.structs.replace(config(), checkpoint_every_s=3600.0)
    async with running(audit, slow, AUDIT, log=log) as host:
        await emit(bus, decision("dec_1", job="job_1"))

        async def found() -> None:
            meta = Meta(tenant="acme", token=signer.token())
            trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1"), meta, tenant="acme")
            assert [entry.record.id for entry in trail.entries] == ["rec_dec_1_d"]

        await eventually(found)
        metric = host.metrics.registry.get_sample_value
        assert (metric("penstock_audit_log_size"), metric("penstock_audit_checkpoint_size")) == (1, 0)
        assert (metric("penstock_audit_checkpoint_lag_seconds") or 0) > 0
        assert metric("penstock_audit_records_total", {"type": "decision"}) == 1
    assert is_sound(slow).records == 1


async def test_a_tenant_sees_its_own_records_and_orphans_alone(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    async with running(audit, config(), AUDIT, log=log) as host:
        await emit(bus, decision("dec_a", job="job_1", due=1.0))
        await emit(bus, decision("dec_b", job="job_1", due=1.0, tenant="other"), tenant="other")
        # whatever a record says of its tenant: the subject decides, and the broker guards it
        await emit(bus, decision("dec_c", job="job_1", tenant="acme"), tenant="other")
        await signed(config(), 3)
        for tenant, ids, orphan in (("acme", ["dec_a"], "dec_a"), ("other", ["dec_b", "dec_c"], "dec_b")):
            meta = Meta(tenant=tenant, token=signer.token(tenant=tenant))
            trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1"), meta, tenant=tenant)
            assert [entry.record.subject for entry in trail.entries] == [f"att_{name}" for name in ids]
            assert trail.orphans == (orphan,)
            found = await bus.call(AUDIT_VERIFY, VerifyRequest(), meta, tenant=tenant)
            assert found.orphans == (orphan,)

        async def counted() -> None:
            assert host.metrics.registry.get_sample_value("penstock_audit_orphans") == 2

        await eventually(counted)


async def test_who_has_no_token_or_another_tenant_s_is_told_nothing(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    async with running(audit, config(), AUDIT, log=log):
        for token, code in (("", Code.UNAUTHENTICATED), (signer.token(tenant="other"), Code.DENIED)):
            for call in (
                lambda meta: bus.call(AUDIT_TRAIL, TrailRequest(job="job_1"), meta, tenant="acme"),
                lambda meta: bus.call(AUDIT_VERIFY, VerifyRequest(), meta, tenant="acme"),
            ):
                with pytest.raises(Failure) as failure:
                    await call(Meta(tenant="acme", token=token))
                assert failure.value.code == code


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (TrailRequest(), "job"),
        (TrailRequest(job="x" * 201), "job"),
        (TrailRequest(request="x" * 201), "request"),
        (TrailRequest(job="job_1", limit=0), "limit"),
        (TrailRequest(job="job_1", limit=-5), "limit"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    bus: Bus, config: Make, log: Log, request_: TrailRequest, param: str
) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    async with running(audit, config(), AUDIT, log=log):
        with pytest.raises(Failure) as failure:
            await bus.call(AUDIT_TRAIL, request_, Meta(tenant="acme", token=signer.token()), tenant="acme")
        assert (failure.value.code, failure.value.param) == (Code.INVALID, param)


async def test_a_long_trail_is_cut_and_says_so(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    meta = Meta(tenant="acme", token=signer.token())
    async with running(audit, config(), AUDIT, log=log):
        await emit(bus, *(decision(f"dec_{number}", job="job_1") for number in range(20)))
        await signed(config(), 20)
        trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1", limit=7), meta, tenant="acme")
        assert ([entry.index for entry in trail.entries], trail.truncated) == ([0, 1, 2, 3, 4, 5, 6], True)
        trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1", limit=20), meta, tenant="acme")
        assert (len(trail.entries), trail.truncated) == (20, False)
        trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="another"), meta, tenant="acme")
        assert trail.entries == []


async def test_a_restart_continues_the_log_and_its_trails(bus: Bus, config: Make, log: Log) -> None:
    signer = TestSigner()
    await signer.publish(bus)
    await emit(bus, decision("dec_1", job="job_1"))
    await started(config(), log)
    first = is_sound(config())
    await emit(bus, decision("dec_2", job="job_1"))
    (Path(config().data_dir) / "index.sqlite").write_bytes(b"no index at all" * 1000)
    async with running(audit, config(), AUDIT, log=log):
        await emit(bus, decision("dec_3", job="job_1"))
        await signed(config(), 3)
        meta = Meta(tenant="acme", token=signer.token())
        trail = await bus.call(AUDIT_TRAIL, TrailRequest(job="job_1"), meta, tenant="acme")
        assert [entry.sequence for entry in trail.entries] == [1, 2, 3]
    assert first.records == 1
    assert sequences(config()) == [1, 2, 3]
    is_sound(config())


async def test_what_cannot_be_read_is_kept_in_the_log_and_blocks_nothing(bus: Bus, config: Make, log: Log) -> None:
    async with running(audit, config(), AUDIT, log=log):
        await emit(bus, decision("dec_1"))
        for data in (b"\xff\x00 no json", b'{"records": 5}', b'{"records":[{"a":1e999}]}', b"", b"[" * 3000):
            await emit_bytes(bus, data)
        await emit(bus, decision("dec_2"))
        await signed(config(), 7)
    assert sequences(config()) == [1, 2, 3, 4, 5, 6, 7]
    is_sound(config())


async def test_its_key_is_private_and_its_public_key_is_published(bus: Bus, config: Make, log: Log) -> None:
    await started(config(), log)
    data = Path(config().data_dir)
    assert stat.S_IMODE((data / "key").stat().st_mode) == 0o600
    key = VerifyingKey.parse(public_key(config()))
    entry = await bus.bucket(KEYS).get(f"audit-{key.id.hex()}")
    assert entry is not None
    assert entry.value.use == "audit"
    assert "=" not in entry.value.public
    assert "key" not in os.listdir(data / "log")


async def test_no_line_that_it_logs_holds_its_key(bus: Bus, config: Make, log: Log, lines: list[str]) -> None:
    await started(config(), log)
    secret = (Path(config().data_dir) / "key").read_text().strip().split("+", 4)[4]
    assert lines
    assert not any(secret in line for line in lines)


async def test_a_log_older_than_the_stream_catches_up(bus: Bus, config: Make, log: Log, tmp_path: Path) -> None:
    await emit(bus, decision("dec_1"))
    await started(config(), log)
    shutil.copytree(config().data_dir, tmp_path / "backup")
    for number in range(2, 6):
        await emit(bus, decision(f"dec_{number}"))
    await started(config(), log)
    new = is_sound(config())
    await started(config(data="backup"), log)
    assert is_sound(config(data="backup")) == new


async def test_a_lost_folder_is_not_quietly_replaced(bus: Bus, config: Make, log: Log) -> None:
    await emit(bus, decision("dec_1"), decision("dec_2"))
    await started(config(), log)
    root = is_sound(config()).root
    shutil.rmtree(config().data_dir)
    failure = await refused(config(), log)
    assert failure.code == Code.CONFLICT
    assert "set PENSTOCK_LOG_NEW=true" in failure.detail
    await started(config(log_new=True), log)
    assert is_sound(config()).root == root


async def test_a_stream_older_than_the_log_is_refused(bus: Bus, config: Make, log: Log) -> None:
    for number in range(3):
        await emit(bus, decision(f"dec_{number}"))
    await started(config(), log)
    await _empty_stream(bus)
    await emit(bus, decision("dec_0"))
    failure = await refused(config(), log)
    assert failure.code == Code.CONFLICT
    assert "The log ends at message 3, and the audit stream has no message 3 and none after it" in failure.detail
    assert "move the log's folder away" in failure.detail
    is_sound(config())


async def test_another_stream_that_is_longer_than_the_log_is_refused(bus: Bus, config: Make, log: Log) -> None:
    await emit(bus, decision("dec_1"))
    await started(config(), log)
    await _empty_stream(bus)
    for number in range(5):
        await emit(bus, decision(f"dec_other_{number}"))
    failure = await refused(config(), log)
    assert failure.code == Code.CONFLICT
    assert "do not say the same in message 1" in failure.detail


async def test_a_record_forged_into_the_unsigned_part_is_not_signed(bus: Bus, config: Make, log: Log) -> None:
    await emit(bus, decision("dec_1"))
    await started(config(), log)
    await emit(bus, decision("dec_2"))
    folder = Folder.find(Path(config().data_dir))
    forged = folder.entry(0, 1).replace(b'"sequence":1,', b'"sequence":2,').replace(b"alice", b"mallo")
    (folder.path / "tail").write_bytes(_line(1, forged))
    failure = await refused(config(), log)
    assert failure.code == Code.CONFLICT
    assert "do not say the same in message 2" in failure.detail


async def test_a_damaged_log_is_refused_with_what_to_do(bus: Bus, config: Make, log: Log) -> None:
    await emit(bus, decision("dec_1"))
    await started(config(), log)
    file = Path(config().data_dir) / "log/tile/0/000.p/1"
    file.write_bytes(bytes(32))
    failure = await refused(config(), log)
    assert failure.code == Code.CONFLICT
    assert "is damaged: its tiles do not give the root that is signed for 1 records" in failure.detail


async def test_a_key_that_others_may_read_is_refused(bus: Bus, config: Make, log: Log) -> None:
    await started(config(), log)
    (Path(config().data_dir) / "key").chmod(0o644)
    failure = await refused(config(), log)
    assert "chmod 600" in failure.detail


async def test_a_log_keeps_its_name(bus: Bus, config: Make, log: Log) -> None:
    await started(config(), log)
    failure = await refused(config(log_origin="example.com/another"), log)
    assert "set PENSTOCK_LOG_ORIGIN to that" in failure.detail


async def test_a_log_without_its_key_is_refused(bus: Bus, config: Make, log: Log) -> None:
    await started(config(), log)
    (Path(config().data_dir) / "key").unlink()
    failure = await refused(config(), log)
    assert "is signed by a key that is not there any more" in failure.detail


async def test_a_second_writer_waits_and_takes_over(bus: Bus, config: Make, log: Log, lines: list[str]) -> None:
    second = Host(audit, config(), AUDIT, log=log.bind(second=True), clock=SystemClock())
    async with running(audit, config(), AUDIT, log=log):
        await emit(bus, decision("dec_1"))
        await signed(config(), 1)
        starting = asyncio.create_task(second.start())

        async def waits() -> None:
            assert any("Another process writes the audit log" in line for line in lines)

        await eventually(waits)
        assert not second.readiness.ready().ok
    await starting
    await emit(bus, decision("dec_2"))
    await signed(config(), 2)
    await second.stop(asyncio.Event())
    is_sound(config())


def _line(index: int, entry: bytes) -> bytes:
    return tail_lines(index, [(leaf_hash(entry), entry)])


class _Deleted(msgspec.Struct):
    success: bool = False


async def _empty_stream(bus: Bus) -> None:
    """As when the broker's folder was lost and the set-up ran again."""
    await bus.jetstream.ask(f"STREAM.DELETE.{AUDIT_LOG.name}", {}, _Deleted, "the stream")
    await bus.prepare()
