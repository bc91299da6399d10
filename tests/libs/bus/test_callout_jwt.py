"""Questions that no server asked, and answers as a server reads them. Without a server."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from penstock.bus.callout_jwt import Knock, Pass, let_in, read_question, turn_away
from penstock.bus.callout_keys import Curve, Issuer, callout_keys, make_callout_keys
from penstock.bus.permissions import tenant_grants
from penstock.contracts.errors import Code, Failure

NOW = 1_800_000_000.0
SERVER = SigningKey(b"s" * 32)
SERVER_PREFIX, ACCOUNT_PREFIX = 13 << 3, 0

Json = dict[str, object]


def nkey(prefix: int, raw: bytes) -> str:
    """Written anew here, so that a mistake in ours would be seen."""
    body = bytes([prefix]) + raw
    crc = 0
    for byte in body:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021) & 0xFFFF if crc & 0x8000 else (crc << 1) & 0xFFFF
    return base64.b32encode(body + crc.to_bytes(2, "little")).decode().rstrip("=")


SERVER_KEY = nkey(SERVER_PREFIX, bytes(SERVER.verify_key))


def packed(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def asked(header: Json | None = None, by: SigningKey = SERVER, **claims: object) -> bytes:
    """A question as a server writes it, with other claims."""
    nats = {
        "server_id": {"id": SERVER_KEY},
        "user_nkey": "U1",
        "client_info": {"host": "10.0.0.1", "kind": "Client"},
        "connect_opts": {"auth_token": "a-key", "protocol": 1},
    }
    whole = {"iss": SERVER_KEY, "aud": "nats-authorization-request", "exp": int(NOW) + 2, "nats": nats} | claims
    text = f"{packed({'typ': 'JWT', 'alg': 'ed25519-nkey'} | (header or {}))}.{packed(whole)}"
    return f"{text}.{packed(by.sign(text.encode()).signature)}".encode()


def refusal(question: bytes) -> str:
    with pytest.raises(Failure) as caught:
        read_question(question, NOW)
    assert caught.value.code is Code.INVALID
    return caught.value.detail.removeprefix("the question is refused: ")


def test_what_a_server_asked_is_read() -> None:
    assert read_question(asked(), NOW) == Knock("a-key", "10.0.0.1", SERVER_KEY, "U1", NOW + 2)


def test_a_knock_does_not_show_what_was_given() -> None:
    assert repr(read_question(asked(), NOW)) == "Knock(host='10.0.0.1')"


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (asked({"alg": "none"}), "it is something else"),
        (asked({"alg": "HS256"}), "it is something else"),
        (asked(aud="penstock"), "it is something else"),
        (asked(exp=int(NOW)), "it has expired"),
        (asked(by=SigningKey(b"e" * 32)), "its signature is wrong"),
        (asked(iss="N" + "A" * 55), "no server asks it"),
        (asked(nats={"server_id": {"id": SERVER_KEY}}), "it cannot be read"),
        (asked(nats=[]), "it cannot be read"),
        (asked()[:-4] + b"AAAA", "its signature is wrong"),
        (asked()[:-4], "its signature is wrong"),
        (asked().rpartition(b".")[0] + b".", "its signature is wrong"),
        (b"a.b", "it is no JWT"),
        (b"", "it is no JWT"),
        (b"." * 2, "it cannot be read"),
        (asked(more="x" * 70_000), "it is no JWT"),
        (b"!.!.!", "it is not base64url"),
    ],
)
def test_what_no_server_asked_now_is_refused(question: bytes, why: str) -> None:
    assert refusal(question) == why


def test_a_question_that_somebody_signed_who_is_no_server_is_refused() -> None:
    account = nkey(ACCOUNT_PREFIX, bytes(SERVER.verify_key))
    nats = {"server_id": {"id": account}, "user_nkey": "U1", "connect_opts": {}}
    assert refusal(asked(iss=account, nats=nats)) == "its signature is wrong"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading_of_a_question(noise: bytes) -> None:
    refusal(noise)
    refusal(packed({"typ": "JWT", "alg": "ed25519-nkey"}).encode() + b"." + noise + b".e30")


@given(st.binary(max_size=200), st.text(max_size=80))
def test_no_bytes_break_the_opening_of_what_is_sealed(noise: bytes, sender: str) -> None:
    curve = Curve(b"c" * 32)
    for sealed in (noise, b"xkv1" + noise):
        with pytest.raises(Failure):
            curve.open(sealed, sender)
        with pytest.raises(Failure):
            curve.open(sealed, curve.public)


def test_what_is_sealed_is_opened_by_its_receiver_alone() -> None:
    mine, servers, others = Curve(b"m" * 32), Curve(b"s" * 32), Curve(b"o" * 32)
    sealed = mine.seal(b"words", servers.public)
    assert servers.open(sealed, mine.public) == b"words"
    assert b"words" not in sealed
    for receiver, sender in ((others, mine), (servers, others)):
        with pytest.raises(Failure, match="not sealed for us"):
            receiver.open(sealed, sender.public)
    with pytest.raises(Failure, match="not sealed for us"):
        servers.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), mine.public)


def read(answer: bytes, issuer: Issuer) -> Json:
    """As a server does: the signature of the issuer first."""
    text, _, signature = answer.decode().rpartition(".")
    raw = base64.b32decode(issuer.public + "=" * (-len(issuer.public) % 8))[1:-2]
    VerifyKey(raw).verify(text.encode(), base64.urlsafe_b64decode(signature + "=="))
    claims: Json = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
    return claims


def test_a_pass_says_who_may_do_what_until_when(tmp_path: Path) -> None:
    make_callout_keys(tmp_path)
    issuer = callout_keys(tmp_path).issuer
    knock = read_question(asked(), NOW)
    answer = read(let_in(issuer, knock, Pass("key.k1.0", tenant_grants("acme"), NOW + 60.9), "PENSTOCK", NOW), issuer)
    assert (answer["aud"], answer["sub"], answer["iss"]) == (SERVER_KEY, "U1", issuer.public)
    nats = answer["nats"]
    assert isinstance(nats, dict)
    user = read(str(nats["jwt"]).encode(), issuer)
    assert (user["aud"], user["sub"], user["name"], user["exp"]) == ("PENSTOCK", "U1", "key.k1.0", NOW + 60)
    rights = user["nats"]
    assert isinstance(rights, dict)
    assert rights["allowed_connection_types"] == ["STANDARD", "WEBSOCKET"]
    assert "penstock.v1.acme.api.submit" in rights["pub"]["allow"]
    assert all(".acme." in subject for subject in rights["pub"]["allow"] + rights["sub"]["allow"])


def test_a_refusal_says_a_code_and_nothing_of_what_was_given(tmp_path: Path) -> None:
    make_callout_keys(tmp_path)
    issuer = callout_keys(tmp_path).issuer
    answer = read(turn_away(issuer, read_question(asked(), NOW), "unauthenticated", NOW), issuer)
    assert answer["nats"] == {"type": "authorization_response", "version": 2, "error": "unauthenticated"}
    assert "a-key" not in json.dumps(answer)


def test_the_seeds_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    first = make_callout_keys(tmp_path / "callout")
    assert make_callout_keys(tmp_path / "callout") == first
    assert (first.user[0], first.issuer[0], first.curve[0]) == ("U", "A", "X")
    assert (tmp_path / "callout").stat().st_mode & 0o777 == 0o700
    for name in ("user.seed", "issuer.seed", "curve.seed"):
        assert (tmp_path / "callout" / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["issuer.seed", "curve.seed"])
@pytest.mark.parametrize("text", [b"", b"SAAA", b"\xff\xfe", b"SUAIB", b"x" * 58])
def test_a_seed_that_is_none_is_refused_by_its_name(tmp_path: Path, name: str, text: bytes) -> None:
    make_callout_keys(tmp_path)
    (tmp_path / name).write_bytes(text)
    with pytest.raises(Failure, match=name):
        callout_keys(tmp_path)
    with pytest.raises(Failure, match=name):
        make_callout_keys(tmp_path)


def test_a_seed_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    make_callout_keys(tmp_path)
    (tmp_path / "issuer.seed").write_bytes((tmp_path / "user.seed").read_bytes())
    with pytest.raises(Failure, match=r"issuer\.seed holds no seed of the kind"):
        callout_keys(tmp_path)
