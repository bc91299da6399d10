"""API keys: made, kept as digests, revoked; and the file they are kept in."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from services.policy.identity.key_file import create_key, read_keys, revoke_key
from services.policy.identity.keys import ApiKey, KeyRefused, KeyRing, checked, credential, digest_of
from services.policy.money.limits import Limit

ALICE = ApiKey("abcd1234", digest_of("s3cret"), "acme", "user:alice")


def test_a_key_is_known_by_its_secret() -> None:
    ring = KeyRing((ALICE,))

    assert ring.authenticate(credential("abcd1234", "s3cret"), now=0) == ALICE


def test_a_secret_may_have_underscores_in_it() -> None:
    key = msgspec.structs.replace(ALICE, digest=digest_of("s_3_cret"))

    assert KeyRing((key,)).authenticate("psk_abcd1234_s_3_cret", now=0) == key


@pytest.mark.parametrize("wrong", ["", "psk", "psk__s3cret", "psk_abcd1234_", "psk_abcd1234_S3CRET", "x_abcd_s3cret"])
def test_a_wrong_key_is_refused_without_saying_what_is_wrong(wrong: str) -> None:
    with pytest.raises(Failure) as raised:
        KeyRing((ALICE,)).authenticate(wrong, now=0)
    assert (raised.value.code, raised.value.detail) == (Code.UNAUTHENTICATED, "the API key is not valid")


def test_a_key_ends_when_it_expires_and_when_it_is_revoked() -> None:
    key = msgspec.structs.replace(ALICE, expires=100.0)
    ring = KeyRing((key,))

    assert ring.usable("abcd1234", now=99.9) == key
    assert ring.usable("abcd1234", now=100.0) is None
    assert ring.without("abcd1234", now=50.0).usable("abcd1234", now=60.0) is None


def test_a_revoked_key_stays_in_the_list_with_the_time_of_its_first_revocation() -> None:
    ring = KeyRing((ALICE,)).without("abcd1234", now=50.0).without("abcd1234", now=60.0)

    assert [(key.id, key.revoked) for key in ring.keys] == [("abcd1234", 50.0)]


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(KeyRefused, match="stands there twice"):
        KeyRing((ALICE, ALICE))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "A"}, "write 4 to 32 of a-z and 0-9"),
        ({"digest": "s3cret"}, "digest must be 64 hex digits"),
        ({"tenant": "a.b"}, "tenant 'a.b'"),
        ({"subject": "alice"}, "write user:<name> or workload:<name>"),
        ({"subject": "user:"}, "write user:<name>"),
        ({"subject": "user:\u0430lice"}, "write user:<name>"),
        ({"subject": "user:a\nb"}, "write user:<name>"),
        ({"team": "a b"}, "team 'a b'"),
        ({"scopes": ("tool.call ",)}, "is not a scope"),
        ({"scopes": ("*",) * 65}, "more than 64"),
        ({"tools": ("",)}, "write names of tools"),
        ({"limits": (Limit(),)}, "limits nothing"),
        ({"limits": (Limit(usd=-1),)}, "out of range"),
    ],
)
def test_a_key_that_could_be_misread_is_refused_with_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        checked(msgspec.structs.replace(ALICE, **change))
    assert sentence in str(refused.value)


def test_a_new_key_is_shown_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, shown = create_key(file, msgspec.structs.replace(ALICE, name="laptop", limits=(Limit(5),)), now=7.0)

    assert shown.startswith(f"psk_{key.id}_")
    assert shown.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file).authenticate(shown, now=8.0) == key
    assert (key.name, key.created, key.limits) == ("laptop", 7.0, (Limit(5),))


def test_no_file_is_no_keys(tmp_path: Path) -> None:
    assert read_keys(tmp_path / "keys.json").keys == ()


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create_key(file, ALICE, now=float(n))[0].id, range(16)))

    assert {key.id for key in read_keys(file).keys} == set(made)


def test_a_revoked_key_is_revoked_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, shown = create_key(file, ALICE, now=1.0)
    revoke_key(file, key.id, now=2.0)

    with pytest.raises(Failure):
        read_keys(file).authenticate(shown, now=3.0)
    with pytest.raises(KeyRefused, match="there is no key 'nobody'"):
        revoke_key(file, "nobody", now=2.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be used"),
        ("[]", "cannot be used"),
        ('{"keys": [{}]}', "missing required field `id`"),
        ('{"keyz": []}', "unknown field `keyz`"),
        ('{"keys": [], "version": 2}', "of version 2"),
        (json.dumps({"keys": [msgspec.to_builtins(ALICE) | {"revokd": 1}]}), "unknown field `revokd`"),
    ],
)
def test_a_keys_file_that_could_be_misread_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)

    with pytest.raises(KeyRefused) as refused:
        read_keys(file)
    assert sentence in str(refused.value)
