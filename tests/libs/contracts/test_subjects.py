"""The table of subjects agrees with itself."""

import itertools
from collections.abc import Iterator

import pytest

from penstock.contracts import services, stores, subjects
from penstock.contracts.endpoint import (
    TENANT_CLIENT,
    Bucket,
    Call,
    Consumer,
    Event,
    Journal,
    Stream,
    StreamStore,
    Subject,
    SubjectMismatch,
    Work,
)

KNOWN = {*services.SERVICES, TENANT_CLIENT}
BUCKETS = [endpoint for endpoint in subjects.ENDPOINTS.values() if isinstance(endpoint, Bucket)]
STORES = [*stores.STORES, *(bucket.store for bucket in BUCKETS)]


def stored(endpoint: object) -> StreamStore | None:
    match endpoint:
        case Event() | Journal():
            return endpoint.store
        case Work():
            return endpoint.consumer.store
    return None


def subject_of(endpoint: object) -> Subject | None:
    return endpoint.subject if isinstance(endpoint, Call | Stream | Event | Work | Journal) else None


def principals(endpoint: object) -> Iterator[str]:
    """Everybody whom the endpoint names."""
    for field in ("answered_by", "called_by", "emitted_by", "heard_by", "assigned_by", "written_by", "read_by"):
        named = getattr(endpoint, field, ())
        yield from (named,) if isinstance(named, str) else named
    if isinstance(endpoint, Work):
        yield endpoint.consumer.used_by


def covers(filter: str, subject: str) -> bool:
    """Whether everything that matches `subject` (which may have `*`) matches `filter` too."""
    have, want = subject.split("."), filter.split(".")
    if want[-1] == ">":
        return len(have) >= len(want) and all(w in ("*", h) for h, w in zip(have, want[:-1], strict=False))
    return len(have) == len(want) and all(w in ("*", h) for h, w in zip(have, want, strict=True))


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both filters."""
    for a, b in itertools.zip_longest(one.split("."), other.split(".")):
        if ">" in (a, b):
            return a is not None and b is not None
        if a is None or b is None or (a != b and "*" not in (a, b)):
            return False
    return True


def capturing(subject: str) -> list[str]:
    return [store.name for store in STORES if any(overlap(filter, subject) for filter in store.subjects)]


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_an_endpoint_names_only_who_there_is(name: str) -> None:
    unknown = set(principals(subjects.ENDPOINTS[name])) - KNOWN
    assert not unknown


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_an_endpoint_has_somebody_on_both_sides(name: str) -> None:
    endpoint = subjects.ENDPOINTS[name]
    match endpoint:
        case Call() | Stream():
            assert endpoint.answered_by in services.SERVICES and endpoint.called_by
        case Event():
            assert endpoint.emitted_by and endpoint.heard_by
        case Work():
            assert endpoint.assigned_by and endpoint.consumer.used_by in services.SERVICES
        case Journal() | Bucket():
            assert endpoint.written_by


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_what_is_stored_is_captured_by_its_own_stream_and_no_other(name: str) -> None:
    endpoint = subjects.ENDPOINTS[name]
    subject, store = subject_of(endpoint), stored(endpoint)
    if subject is None or store is None:
        return
    assert capturing(subject.wildcard) == [store.name]
    assert any(covers(filter, subject.wildcard) for filter in store.subjects)


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_what_is_only_passing_by_is_captured_by_no_stream(name: str) -> None:
    endpoint = subjects.ENDPOINTS[name]
    subject = subject_of(endpoint)
    if subject is not None and stored(endpoint) is None:
        assert capturing(subject.wildcard) == []


@pytest.mark.parametrize("subject", [subjects.CANCEL, subjects.FLOW, subjects.INBOX, subjects.TENANT_INBOX])
def test_signals_and_answers_are_captured_by_no_stream(subject: Subject) -> None:
    assert capturing(subject.wildcard) == []


def test_dead_letters_and_blobs_have_their_streams() -> None:
    assert capturing(subjects.DEAD_LETTER.wildcard) == ["DLQ"]
    assert capturing(subjects.BLOB_CHUNK.wildcard) == ["BLOB"]


def test_no_two_streams_capture_the_same_subject() -> None:
    for one, other in itertools.combinations(STORES, 2):
        for a, b in itertools.product(one.subjects, other.subjects):
            assert not overlap(a, b), (one.name, other.name)


def test_no_two_endpoints_share_a_subject() -> None:
    named = [(name, subject_of(endpoint)) for name, endpoint in subjects.ENDPOINTS.items()]
    for (one, a), (other, b) in itertools.combinations([(n, s.wildcard) for n, s in named if s is not None], 2):
        assert not overlap(a, b), (one, other)


def test_names_of_streams_buckets_and_consumers_are_used_once() -> None:
    for names in ([store.name for store in STORES], [consumer.name for consumer in subjects.CONSUMERS]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("consumer", subjects.CONSUMERS, ids=lambda consumer: consumer.name)
def test_a_consumer_filters_what_its_stream_captures(consumer: Consumer) -> None:
    assert not consumer.filter or any(covers(filter, consumer.filter) for filter in consumer.store.subjects)
    assert consumer.used_by in services.SERVICES


def test_a_work_queue_has_one_consumer() -> None:
    for store in stores.STORES:
        if store.work_queue:
            assert sum(consumer.store is store for consumer in subjects.CONSUMERS) == 1


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_what_a_tenant_may_use_has_the_tenant_in_its_subject(name: str) -> None:
    endpoint = subjects.ENDPOINTS[name]
    subject = subject_of(endpoint)
    if TENANT_CLIENT not in set(principals(endpoint)):
        assert subject is None or "{tenant}" not in subject.pattern or not subject.pattern.startswith("penstock.v1.")
        return
    assert subject is not None
    assert subject.pattern.startswith("penstock.v1.{tenant}.")


def test_what_tenants_publish_is_erased_by_no_header() -> None:
    assert subjects.JOB.consumer.store is stores.JOBS
    assert stores.JOBS.deny_delete and stores.JOBS.deny_purge
    assert not stores.JOBS.ttl and not stores.JOBS.schedules


@pytest.mark.parametrize("name", sorted(subjects.ENDPOINTS))
def test_a_call_of_tenants_and_services_tells_them_apart_by_its_subject(name: str) -> None:
    endpoint = subjects.ENDPOINTS[name]
    if not isinstance(endpoint, Call):
        return
    both = TENANT_CLIENT in endpoint.called_by and len(endpoint.called_by) > 1
    assert (endpoint.inside is not None) is both
    if endpoint.inside is not None:
        assert "{tenant}" in endpoint.inside.pattern
        assert not overlap(endpoint.inside.wildcard, endpoint.subject.wildcard)
        assert capturing(endpoint.inside.wildcard) == []


def test_a_task_of_an_older_version_is_understood() -> None:
    assert subjects.JOB.parse("penstock.job.acme.chat") == {"tenant": "acme", "kind": "chat"}
    assert subjects.JOB.parse("penstock.v1.acme.jobs.chat") == {"tenant": "acme", "kind": "chat"}
    with pytest.raises(SubjectMismatch):
        subjects.JOB.parse("penstock.v1.acme.events.job_1")


def test_the_audit_stream_forgets_nothing() -> None:
    log = stores.AUDIT_LOG
    assert log.deny_delete and log.deny_purge and log.discard_new
    assert (log.max_age_s, log.max_bytes, log.ttl, log.schedules) == (0, 0, False, False)


def test_every_call_has_a_time_limit() -> None:
    for endpoint in subjects.ENDPOINTS.values():
        if isinstance(endpoint, Call | Stream):
            assert 0 < endpoint.timeout_s <= 600
