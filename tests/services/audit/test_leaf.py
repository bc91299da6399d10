import base64
import json
from hashlib import sha256

import msgspec
import pytest

from penstock.contracts.audit import Record
from services.audit.leaf import Message, entries, read_leaf
from tests.support.audit_log import STORED_S, body, decision, message


def read(text: bytes, subject: str = "penstock.audit.acme.policy") -> Message:
    return Message.read(7, STORED_S, subject, text)


def test_an_entry_says_where_it_came_from_and_keeps_every_field_of_the_record() -> None:
    text = b'{"records":[{"z":1.0,"new_field":"kept","a":[]}]}'
    (entry,) = entries(read(text))
    assert entry.data == (
        b'{"at":1790000000000,"of":1,"position":0,"record":{"a":[],"new_field":"kept","z":1},'
        b'"sequence":7,"service":"policy","tenant":"acme","v":1}'
    )
    assert entry.outside == b""


def test_each_record_of_a_message_has_its_place() -> None:
    leaves = [read_leaf(entry.data) for entry in entries(message(9, 3))]
    assert [(leaf.sequence, leaf.position, leaf.of) for leaf in leaves] == [(9, 0, 3), (9, 1, 3), (9, 2, 3)]


def test_a_record_too_large_for_an_entry_stands_outside_and_its_hash_inside() -> None:
    big = decision("dec_big") | {"data": {"text": "x" * 1_000_000}}
    (entry,) = entries(read(body(big)))
    leaf = read_leaf(entry.data)
    assert json.loads(entry.outside)["id"] == "rec_dec_big_d"
    assert leaf.record_sha256 == sha256(entry.outside).hexdigest()
    assert leaf.record_bytes == len(entry.outside)
    assert bytes(leaf.record) == b""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "the message is no batch of records"),
        (b"\xff\x00not json", "the message is no batch of records"),
        (b"[]", "the message is no batch of records"),
        (b'{"records":1}', "the message is no batch of records"),
        (b'{"records":[]}', "the message holds no records"),
        (b"[" * 5000, "the message is no"),
        (b'{"records":[' + b"[" * 5000 + b"]" * 5000 + b"]}", "the message is nested too deeply"),
        (b'{"records":[{"a":1e999}]}', "the record has no canonical form"),
        (b'{"records":[{"a":' + b"[" * 200 + b"]" * 200 + b"}]}", "the record has no canonical form"),
    ],
)
def test_what_cannot_be_read_is_kept_as_evidence(text: bytes, reason: str) -> None:
    (record,) = read(text).records
    envelope = msgspec.json.decode(record, type=Record)
    data = json.loads(bytes(envelope.data))
    assert (envelope.type, envelope.source, envelope.tenant) == ("penstock.unreadable.v1", "audit", "acme")
    assert data["reason"].startswith(reason)
    assert base64.b64decode(data["base64"]) in text


def test_one_bad_record_does_not_touch_the_others_of_its_message() -> None:
    records = read(b'{"records":[{"a":1},{"a":1e999},{"a":2}]}').records
    assert (records[0], records[2]) == (b'{"a":1}', b'{"a":2}')
    assert b"penstock.unreadable.v1" in records[1]


def test_a_tenant_with_a_quote_in_it_stays_a_tenant() -> None:
    (entry,) = entries(read(b'{"records":[{}]}', 'penstock.audit.a"b.policy'))
    assert read_leaf(entry.data).tenant == 'a"b'


@pytest.mark.parametrize("text", [b"{}", b"", b"[]", b'{"v":2}'])
def test_what_is_no_entry_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_leaf(text)
