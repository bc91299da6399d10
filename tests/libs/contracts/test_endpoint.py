"""Subjects with named places: nothing but a token ever gets into one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.endpoint import Bucket, Subject, SubjectMismatch
from penstock.contracts.ids import InvalidToken, is_token

EVENTS = Subject("penstock.v1.{tenant}.events.{job}")
PLAIN = Subject("penstock.llm.complete")
TOKENS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64)


def test_a_subject_is_filled_in_by_name() -> None:
    assert EVENTS.at(tenant="acme", job="job_1") == "penstock.v1.acme.events.job_1"


def test_a_subject_without_places_is_itself() -> None:
    assert PLAIN.at() == "penstock.llm.complete"
    assert PLAIN.wildcard == "penstock.llm.complete"
    assert PLAIN.parse("penstock.llm.complete") == {}


def test_the_wildcard_has_a_star_in_every_place() -> None:
    assert EVENTS.wildcard == "penstock.v1.*.events.*"


def test_a_missing_place_is_an_error() -> None:
    with pytest.raises(KeyError, match="job"):
        EVENTS.at(tenant="acme")


def test_more_names_than_there_are_places_do_no_harm() -> None:
    assert EVENTS.at(tenant="acme", job="job_1", pool="x") == "penstock.v1.acme.events.job_1"


def test_the_narrowest_filter_has_a_star_only_where_nothing_is_known() -> None:
    assert EVENTS.within(tenant="acme") == "penstock.v1.acme.events.*"
    assert EVENTS.within(job="job_1") == "penstock.v1.*.events.job_1"
    assert EVENTS.within() == "penstock.v1.*.events.*"


@pytest.mark.parametrize("text", ["", "*", ">", "a.b", "a b", "acme.events.job_9", "a\r\nPUB x 0", "\x00", "x" * 65])
def test_no_wildcard_or_second_token_gets_into_a_subject(text: str) -> None:
    with pytest.raises(InvalidToken, match="tenant"):
        EVENTS.at(tenant=text, job="job_1")
    with pytest.raises(InvalidToken, match="tenant"):
        EVENTS.within(tenant=text)


@given(st.text(), st.text())
def test_whatever_is_given_a_subject_has_its_form_or_is_refused(tenant: str, job: str) -> None:
    try:
        subject = EVENTS.at(tenant=tenant, job=job)
    except InvalidToken:
        assert not (is_token(tenant) and is_token(job))
        return
    assert subject.split(".") == ["penstock", "v1", tenant, "events", job]
    assert subject.isascii() and subject.isprintable()
    assert not set(subject) & set("*> ")


@given(TOKENS, TOKENS)
def test_what_was_filled_in_is_read_back(tenant: str, job: str) -> None:
    assert EVENTS.parse(EVENTS.at(tenant=tenant, job=job)) == {"tenant": tenant, "job": job}


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "penstock.v1.acme.events",
        "penstock.v1.acme.events.a.b",
        "penstock.v1.acme.tokens.a",
        "other.v1.acme.events.a",
    ],
)
def test_a_subject_of_another_form_is_not_read(subject: str) -> None:
    with pytest.raises(SubjectMismatch, match=r"penstock\.v1"):
        EVENTS.parse(subject)


def test_a_bucket_is_a_stream_of_its_keys() -> None:
    store = Bucket("keys", str, ("policy",), ttl_s=10).store
    assert (store.name, store.subjects, store.max_age_s, store.discard_new) == ("KV_keys", ("$KV.keys.>",), 10, True)
