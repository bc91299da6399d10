"""What a tenant's client may publish to is captured by no stream: else the broker itself would answer, anywhere."""

import itertools

import pytest

from penstock.bus.permissions import tenant_grants
from penstock.bus.setup import whole_table
from penstock.bus.store_config import AnyBucket
from penstock.contracts import subjects
from penstock.contracts.endpoint import StreamStore

TENANT = "acme"
OF_THE_SERVER = ("$JS", "$KV", "$O", "$SYS", "$SRV", "$MQTT")


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both filters."""
    for a, b in itertools.zip_longest(one.split("."), other.split(".")):
        if ">" in (a, b):
            return a is not None and b is not None
        if a is None or b is None or (a != b and "*" not in (a, b)):
            return False
    return True


def stores() -> list[StreamStore]:
    buckets: tuple[AnyBucket, ...] = whole_table().buckets
    return [*whole_table().stores, *(bucket.store for bucket in buckets)]


@pytest.mark.parametrize("subject", sorted(tenant_grants(TENANT).publish))
def test_no_stream_captures_what_a_tenant_may_publish(subject: str) -> None:
    capturing = [store.name for store in stores() for filter in store.subjects if overlap(filter, subject)]
    assert capturing == []


@pytest.mark.parametrize("subject", sorted(tenant_grants(TENANT).publish | tenant_grants(TENANT).subscribe))
def test_a_tenant_has_no_subject_of_the_server_itself_and_none_of_everybody(subject: str) -> None:
    first, *rest = subject.split(".")
    assert first not in OF_THE_SERVER and first not in ("*", ">")
    assert TENANT in rest[:2], "the place of the tenant is fixed"


def test_where_answers_go_nothing_is_stored() -> None:
    for inbox in ("_INBOX.>", subjects.TENANT_INBOX.wildcard, subjects.INBOX.wildcard):
        assert [store.name for store in stores() for filter in store.subjects if overlap(filter, inbox)] == []


def test_streams_that_this_looks_at_are_all_that_the_set_up_makes() -> None:
    made = [asset.settings["name"] for asset in whole_table().assets(1) if asset.kind == "STREAM"]
    assert sorted(store.name for store in stores()) == sorted(str(name) for name in made)
    assert {"JOBS", "EVENTS", "RUNS", "AUDIT", "BLOB", "DLQ", "KV_keys"} <= set(made)
