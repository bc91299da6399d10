"""Ids: what may stand in a subject, and that the derived ones never change."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.ids import InvalidToken, is_token, job_id, new_id, partition, run_id, token

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
TOKENS = st.text(ALPHABET, min_size=1, max_size=64)


@pytest.mark.parametrize("text", ["a", "A-b_9", "-", "_", "x" * 64])
def test_a_token_is_1_to_64_of_letters_digits_underscore_and_dash(text: str) -> None:
    assert is_token(text)
    assert token("job", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 65,
        "a.b",
        "*",
        ">",
        "a b",
        "a\n",
        "\n",
        "a\r",
        "a\x00",
        "ä",
        "٣",
        "$SYS",
        "a/b",
        "a\u200b",
        "{job}",
    ],
)
def test_anything_else_is_refused_with_the_name_of_the_field(text: str) -> None:
    assert not is_token(text)
    with pytest.raises(InvalidToken, match="job must be 1 to 64 of") as raised:
        token("job", text)
    assert raised.value.name == "job"


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidToken) as raised:
        token("job", "." * 10_000)
    assert len(str(raised.value)) < 200


@given(st.text(max_size=80))
def test_what_is_taken_for_a_token_has_only_the_allowed_characters(text: str) -> None:
    assert is_token(text) == (1 <= len(text) <= 64 and set(text) <= set(ALPHABET))


@given(TOKENS)
def test_a_new_id_with_a_short_prefix_is_a_token(prefix: str) -> None:
    assert is_token(new_id(prefix[:35]))


def test_a_new_id_is_prefix_milliseconds_and_randomness() -> None:
    assert re.fullmatch(r"job_[0-9a-f]{12}[0-9a-f]{16}", new_id("job"))


def test_new_ids_differ_and_sort_by_their_time() -> None:
    made = [new_id("job") for _ in range(1000)]
    assert len(set(made)) == 1000
    assert [one[:16] for one in made] == sorted(one[:16] for one in made)


# Literal: what was derived yesterday must be derived tomorrow, or a repeated job becomes a second one.
def test_the_job_of_an_idempotency_key_is_always_the_same() -> None:
    assert job_id("acme", "order-17") == "job_53c32917581878692227e7e54b8dd102"


def test_the_run_of_a_job_is_always_the_same() -> None:
    assert run_id("acme", "job_1") == "run_ee3309cdba4dfa059f2966102cd883c7"


def test_the_partition_of_a_run_is_always_the_same() -> None:
    assert [partition("run_1"), partition("run_2"), partition("")] == ["17", "2d", "00"]


@given(TOKENS, st.text(max_size=600))
def test_every_key_gives_a_job_id_that_is_a_token(tenant: str, key: str) -> None:
    assert is_token(job_id(tenant, key.encode("utf-8", "replace").decode()))


@given(TOKENS, TOKENS)
def test_every_job_gives_a_run_id_and_a_partition_that_are_tokens(tenant: str, job: str) -> None:
    run = run_id(tenant, job)
    assert is_token(run)
    assert re.fullmatch(r"[0-3][0-9a-f]", partition(run))


def test_tenants_do_not_share_jobs_whatever_their_names_and_keys_are_joined_to() -> None:
    assert job_id("a", "b-c") != job_id("a-", "b-c")
    assert job_id("ab", "c") != job_id("a", "bc")
    assert run_id("ab", "c") != run_id("a", "bc")


@given(st.tuples(TOKENS, TOKENS), st.tuples(TOKENS, TOKENS))
def test_two_different_pairs_never_share_an_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (job_id(*one) == job_id(*other)) == (one == other)
    assert (run_id(*one) == run_id(*other)) == (one == other)
