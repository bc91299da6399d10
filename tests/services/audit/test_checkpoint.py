import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.checkpoint import (
    BadCheckpoint,
    BadKey,
    Head,
    SigningKey,
    VerifyingKey,
    claimed_head,
    open_checkpoint,
)

# The key pair and the note in the documentation of golang.org/x/mod/sumdb/note.
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
KEY = SigningKey("example.com/audit", bytes(range(32)))
HEAD = Head("example.com/audit", 20_852_163, bytes(32))
NOTE = KEY.sign(HEAD)


def test_the_key_pair_of_the_go_implementation_is_read_and_written_alike() -> None:
    assert str(VerifyingKey.parse(GO_PUBLIC)) == GO_PUBLIC
    private = SigningKey.parse(GO_PRIVATE)
    assert private.secret_text() == GO_PRIVATE
    assert str(private.verifying) == GO_PUBLIC


def test_a_signature_of_the_go_implementation_is_verified() -> None:
    assert VerifyingKey.parse(GO_PUBLIC).signed(GO_TEXT, base64.b64decode(GO_SIGNATURE)[4:])


def test_a_checkpoint_has_the_form_of_the_specification() -> None:
    lines = NOTE.decode().split("\n")
    assert lines[:4] == ["example.com/audit", "20852163", "A" * 43 + "=", ""]
    assert lines[4].startswith("— example.com/audit ")
    assert lines[5:] == [""]


def test_a_signed_head_is_opened_with_the_public_key() -> None:
    assert open_checkpoint(NOTE, VerifyingKey.parse(str(KEY.verifying))) == HEAD


def test_signatures_of_others_beside_it_are_passed_over() -> None:
    other = SigningKey.generate("witness.example")
    line = other.sign(HEAD).decode().split("\n")[4]
    note = NOTE + f"{line}\n".encode()
    assert open_checkpoint(note, KEY.verifying) == HEAD
    assert claimed_head(note) == HEAD
    with pytest.raises(BadCheckpoint, match=r"is of the log 'example.com/audit'"):
        open_checkpoint(note, other.verifying)


def test_another_key_of_the_same_name_is_not_believed() -> None:
    other = SigningKey.generate("example.com/audit")
    with pytest.raises(BadCheckpoint, match="not signed by"):
        open_checkpoint(NOTE, other.verifying)


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_any_byte_changed_is_refused(place: int, change: int) -> None:
    note = bytearray(NOTE)
    note[place] ^= change
    with pytest.raises(BadCheckpoint):
        open_checkpoint(bytes(note), KEY.verifying)


@given(st.integers(0, len(NOTE) - 1))
def test_a_cut_checkpoint_is_refused(length: int) -> None:
    with pytest.raises(BadCheckpoint):
        open_checkpoint(NOTE[:length], KEY.verifying)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        GO_PRIVATE,
        GO_PUBLIC.replace("c74f20a3", "c74f20a4"),
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        VerifyingKey.parse(text)


@pytest.mark.parametrize("text", ["", GO_PUBLIC, "PRIVATE+KEY+a+00000000+AAAA", GO_PRIVATE.replace("c74f", "c74e")])
def test_what_is_no_private_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadKey) as refused:
        SigningKey.parse(text)
    assert "AYEK" not in str(refused.value)


def test_a_private_key_does_not_show_its_secret() -> None:
    assert KEY.secret_text().split("+")[-1] not in repr(KEY)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\n", "x" * 256])
def test_a_key_name_that_a_note_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(BadKey):
        SigningKey(name, bytes(32))
