"""What one leaf of the log says: a record in canonical form, and the message of the stream that brought it.

An entry is canonical JSON: `{"at","of","position","record","sequence","service","tenant","v"}`. `sequence` is the
message's number in the stream, `position` the record's place among the `of` records of the message, `at` when the
stream took it (Unix milliseconds); `service` and `tenant` are of the subject, which the broker guards. A record too
large for an entry stands outside it: `record_bytes` and `record_sha256` (hex) then take the place of `record`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from penstock.contracts import audit
from penstock.contracts.governance import AUDIT_BATCH
from services.audit.canonical import NotCanonical, canonical
from services.audit.tiles import ENTRY_MAX_BYTES

UNREADABLE = "penstock.unreadable.v1"
"""The type of the record that the notary writes in place of what it cannot read. Its data: `reason`, `base64`."""
_ENVELOPE_MAX_BYTES = 512


class Leaf(msgspec.Struct, frozen=True):
    """An entry, read. Exactly one of `record` and `record_sha256` is there."""

    v: int
    sequence: int
    position: int
    of: int
    at: int
    tenant: str
    service: str
    record: msgspec.Raw = msgspec.Raw()
    record_bytes: int = 0
    record_sha256: str = ""


class _RawBatch(msgspec.Struct, frozen=True):
    records: list[msgspec.Raw]


class Unreadable(msgspec.Struct, frozen=True):
    """Data of an UNREADABLE record."""

    reason: str
    base64: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the stream: its records in canonical form, at least one."""

    sequence: int
    at: int
    tenant: str
    service: str
    records: Sequence[bytes]

    @classmethod
    def read(cls, sequence: int, time: float, subject: str, body: bytes) -> "Message":
        """Never fails for the body: what is no batch becomes one UNREADABLE record, so that nothing is lost."""
        at = round(time * 1000)
        tokens = AUDIT_BATCH.subject.parse(subject)
        tenant, service = tokens["tenant"], tokens["service"]
        try:
            parts: list[msgspec.Raw] = msgspec.json.decode(body, type=_RawBatch).records
            reason = "" if parts else "the message holds no records"
        except RecursionError:
            parts, reason = [], "the message is nested too deeply"
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            parts, reason = [], f"the message is no batch of records: {error}"
        if reason:
            return cls(sequence, at, tenant, service, [_unreadable(f"unr_{sequence}", at, tenant, reason, body)])
        records = []
        for position, part in enumerate(parts):
            try:
                records.append(canonical(part))
            except NotCanonical as error:
                name = f"unr_{sequence}_{position}"
                records.append(_unreadable(name, at, tenant, f"the record has no canonical form: {error}", bytes(part)))
        return cls(sequence, at, tenant, service, records)


@dataclass(frozen=True, slots=True)
class Entry:
    """The bytes that are hashed into the tree, and the record when it stands outside them."""

    data: bytes
    outside: bytes = b""


def entries(message: Message) -> list[Entry]:
    """One for each record, in order."""
    head = b'{"at":%d,"of":%d,"position":%%d,' % (message.at, len(message.records))
    service, tenant = msgspec.json.encode(message.service), msgspec.json.encode(message.tenant)
    tail = b'"sequence":%d,"service":%b,"tenant":%b,"v":1}' % (message.sequence, service, tenant)
    made = []
    for position, record in enumerate(message.records):
        start = head % position
        if len(record) + _ENVELOPE_MAX_BYTES <= ENTRY_MAX_BYTES:
            made.append(Entry(start + b'"record":' + record + b"," + tail))
        else:
            digest = sha256(record).hexdigest().encode()
            reference = b'"record_bytes":%d,"record_sha256":"%b",' % (len(record), digest)
            made.append(Entry(start + reference + tail, record))
    return made


def read_leaf(entry: bytes) -> Leaf:
    """Raises msgspec.DecodeError (ValidationError too) for what is no entry of this log."""
    leaf = msgspec.json.decode(entry, type=Leaf)
    if leaf.v != 1 or bool(bytes(leaf.record)) == bool(leaf.record_sha256):
        raise msgspec.ValidationError("it is no entry of version 1")
    return leaf


def _unreadable(name: str, at: int, tenant: str, reason: str, body: bytes) -> bytes:
    data = msgspec.json.encode(Unreadable(reason, base64.b64encode(body).decode()))
    time = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = audit.Record(name, "audit", UNREADABLE, time, tenant, msgspec.Raw(data))
    return canonical(msgspec.json.encode(record))
