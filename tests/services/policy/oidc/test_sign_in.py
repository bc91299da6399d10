"""Tokens of an identity provider that really runs: who gets in, and every way in which nobody does."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from penstock.contracts.errors import Code, Failure
from penstock.kit.log import Log
from services.policy.oidc.key_sets import KeySets, KeyTimes
from services.policy.oidc.providers import Provider, parse_providers
from services.policy.oidc.sign_in import SignIn
from tests.support.clock import HandClock
from tests.support.eventually import eventually
from tests.support.issuer import Issuer, issuer

TIMES = KeyTimes(fetch_s=0.5, renew_s=600.0, stale_max_s=3600.0, again_s=10.0)
DISCOVERY = "/.well-known/openid-configuration"
Json = dict[str, object]


class Door:
    def __init__(self, one: Issuer, times: KeyTimes = TIMES, more: str = "") -> None:
        text = f"""
providers:
  - issuer: {one.url}
    audiences: [plane, other-plane]
    tenant: {{claim: org}}
    scopes: {{always: [model.*]}}
    private_hosts: [127.0.0.1]
    {more}
"""
        self.clock = HandClock(time.time())
        self.lines: list[str] = []
        self.providers: dict[str, Provider] = parse_providers(text)
        self.keys = KeySets(self.clock, Log(self.lines.append), times)
        self._sign_in = SignIn(lambda: self.providers, self.keys, self.clock)

    async def opens(self, token: str) -> str:
        return (await self._sign_in.person(token)).person.subject

    async def refuses(self, token: str, code: Code = Code.UNAUTHENTICATED) -> str:
        with pytest.raises(Failure) as caught:
            await self._sign_in.person(token)
        assert caught.value.code is code, caught.value.detail
        return caught.value.detail.removeprefix("the token is refused: ")


@pytest.fixture
async def idp() -> AsyncIterator[Issuer]:
    async with issuer() as one:
        yield one


@pytest.fixture
async def door(idp: Issuer) -> AsyncIterator[Door]:
    door = Door(idp)
    yield door
    await door.keys.close()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Json, claims: Json, signature: str = "") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{signature}"


async def test_a_good_token_opens_and_its_keys_are_fetched_once(idp: Issuer, door: Door) -> None:
    assert await asyncio.gather(*[door.opens(idp.token(sub=f"user{n}")) for n in range(20)]) == [
        f"user:user{n}" for n in range(20)
    ]
    assert idp.asked == {DISCOVERY: 1, "/keys": 1}


async def test_elliptic_keys_are_taken_too(idp: Issuer, door: Door) -> None:
    idp.turn("curved", curve=True)
    assert await door.opens(idp.token({"typ": "at+jwt"}, aud=["x", "other-plane"])) == "user:alice"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "else"}, "it is meant for somebody else"),
        ({"aud": None}, "it is meant for somebody else"),
        ({"aud": {"plane": 1}}, "it is meant for somebody else"),
        ({"aud": ["PLANE", "plane "]}, "it is meant for somebody else"),
        ({"exp": None}, "it does not say when it expires"),
        ({"exp": 1.0}, "it has expired"),
        ({"exp": True}, "its claim 'exp' is not a time"),
        ({"exp": "9999999999"}, "its claim 'exp' is not a time"),
        ({"exp": -1}, "its claim 'exp' is not a time"),
        ({"exp": 4_000_000_000}, "it is valid for too long"),
        ({"nbf": 4_000_000_000}, "it is not valid yet"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_001}, "it is not valid yet"),
        ({"org": "a.b"}, "its tenant is not a name that can be used here"),
        ({"sub": "\u0430lice"}, "its subject is not a name that can be used here"),
    ],
)
async def test_a_token_that_is_not_for_us_or_not_for_now_is_refused(
    idp: Issuer, door: Door, claims: Json, why: str
) -> None:
    assert (await door.refuses(idp.token(**claims))).startswith(why)


async def test_clocks_may_be_half_a_minute_apart(idp: Issuer, door: Door) -> None:
    now = door.clock.now()
    assert await door.opens(idp.token(iat=now + 20, nbf=now + 20)) == "user:alice"
    assert await door.opens(idp.token(exp=now - 20, iat=now - 3000)) == "user:alice"
    assert await door.refuses(idp.token(exp=now - 40, iat=now - 3000)) == "it has expired"


async def test_no_algorithm_but_the_providers_own_is_taken(idp: Issuer, door: Door) -> None:
    claims = idp.claims()
    for alg in ("none", "None", "HS256", "HS512", "EdDSA", "RS512", "ES512", ""):
        token = by_hand({"alg": alg, "kid": "first"}, claims, b64(b"x" * 64))
        assert await door.refuses(token) == "it is signed in a way that is not allowed"
    assert await door.refuses(by_hand({"alg": "none", "kid": "first"}, claims)) != ""
    assert idp.asked == {}


async def test_a_public_key_is_no_secret_to_sign_with(idp: Issuer, door: Door) -> None:
    public = idp.keys["first"].as_pem(private=False)
    signed = by_hand({"alg": "HS256", "kid": "first"}, idp.claims()).rstrip(".")
    mac = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    assert await door.refuses(f"{signed}.{b64(mac)}") == "it is signed in a way that is not allowed"
    header = by_hand({"alg": "RS256", "kid": "first"}, idp.claims()).rstrip(".")
    mac = hmac.new(public, header.encode(), hashlib.sha256).digest()
    assert await door.refuses(f"{header}.{b64(mac)}") == "its signature is wrong"


async def test_a_key_of_another_kind_under_the_same_name_opens_nothing(idp: Issuer, door: Door) -> None:
    secret = OctKey.import_key(b"k" * 32)
    idp.more_keys = [{"kty": "oct", "kid": "shared", "k": b64(b"k" * 32)}]
    token = jws.serialize_compact(
        {"alg": "HS256", "kid": "shared"}, json.dumps(idp.claims()).encode(), secret, algorithms=["HS256"]
    )
    assert await door.refuses(token) == "it is signed in a way that is not allowed"
    curve = by_hand({"alg": "ES256", "kid": "first"}, idp.claims(), b64(b"x" * 64))
    assert await door.refuses(curve) == "its signature is wrong"
    assert await door.refuses(by_hand({"alg": "RS256", "kid": "shared"}, idp.claims(), b64(b"x"))) == (
        "its key is not known to its issuer"
    )


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "txntoken+jwt"},
    ],
)
async def test_a_token_of_another_type_says_something_else(idp: Issuer, door: Door, header: Json) -> None:
    head = {"alg": "RS256", "kid": "first", **header}
    assert await door.refuses(by_hand(head, idp.claims(), b64(b"x"))) == "it is signed in a way that is not allowed"


async def test_keys_that_a_token_brings_along_are_not_looked_at(idp: Issuer, door: Door) -> None:
    async with issuer() as thief:
        header = {"jku": f"{thief.url}/keys", "jwk": thief.keys["first"].as_dict(private=False), "x5u": thief.url}
        token = thief.token(header, iss=idp.url)
        assert await door.refuses(token) == "its signature is wrong"
        assert thief.asked == {}


async def test_an_issuer_that_nobody_named_is_never_asked(door: Door) -> None:
    async with issuer() as stranger:
        assert await door.refuses(stranger.token()) == "its issuer is not known here"
        assert stranger.asked == {}


async def test_two_issuers_with_the_same_key_name_are_told_apart(idp: Issuer, door: Door) -> None:
    async with issuer() as other:
        text = f"""
providers:
  - {{issuer: "{other.url}", audiences: [plane], tenant: {{value: umbrella}}, scopes: {{always: [job.read]}},
     private_hosts: [127.0.0.1]}}
"""
        door.providers |= parse_providers(text)
        assert await door.opens(idp.token()) == await door.opens(other.token()) == "user:alice"
        assert await door.refuses(other.token(iss=idp.url)) == "its signature is wrong"
        assert await door.refuses(other.token(iss=idp.url + "/")) == "its issuer is not known here"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        "a.b",
        "e30.e30.e30",
        "x" * 20_000,
        "\u0430.b.c",
        f"{b64(b'[' * 5000)}.e30.",
        f"{b64(b'{' + b'{' * 9)}.e30.",
        f"e30.{b64(b'[' * 5000)}.",
    ],
    ids=range(10),
)
async def test_what_is_no_token_is_refused(door: Door, token: str) -> None:
    assert await door.refuses(token) != ""


async def test_a_changed_claim_breaks_the_signature(idp: Issuer, door: Door) -> None:
    head, _, signature = idp.token().split(".")
    forged = f"{head}.{b64(json.dumps(idp.claims(sub='root')).encode())}.{signature}"
    assert await door.refuses(forged) == "its signature is wrong"


async def test_a_turned_key_is_found_when_it_is_first_named_and_the_old_one_is_gone(idp: Issuer, door: Door) -> None:
    old = idp.token()
    await door.opens(old)
    idp.turn("second")
    door.clock.move(10)
    assert await door.opens(idp.token()) == "user:alice"
    assert await door.refuses(old) == "its key is not known to its issuer"
    assert idp.asked["/keys"] == 2


async def test_unknown_keys_are_looked_for_once_in_ten_seconds(idp: Issuer, door: Door) -> None:
    await door.opens(idp.token())
    forged = [idp.token({"kid": f"guess{n}"}) for n in range(50)]
    for token in forged:
        assert await door.refuses(token) == "its key is not known to its issuer"
    assert idp.asked["/keys"] == 1
    door.clock.move(10)
    await asyncio.gather(*[door.refuses(token) for token in forged])
    assert idp.asked["/keys"] == 2


async def test_keys_are_fetched_again_while_nobody_waits(idp: Issuer, door: Door) -> None:
    token = idp.token()
    await door.opens(token)
    door.clock.move(601)
    idp.answers["/keys"] = None
    token = idp.token(iat=door.clock.now(), exp=door.clock.now() + 100)
    assert await door.opens(token) == "user:alice"
    assert await door.opens(token) == "user:alice"


async def test_a_provider_that_is_away_costs_nothing_until_its_keys_are_too_old(idp: Issuer, door: Door) -> None:
    await door.opens(idp.token())
    await idp.stop()
    door.clock.move(3500)
    fresh = idp.token(iat=door.clock.now(), exp=door.clock.now() + 3000)
    assert await door.opens(fresh) == "user:alice"
    unknown = idp.token({"kid": "unknown"}, iat=door.clock.now(), exp=door.clock.now() + 3000)
    await door.refuses(unknown, Code.UNAVAILABLE)
    door.clock.move(200)
    await door.refuses(fresh, Code.UNAVAILABLE)
    await idp.start()
    door.clock.move(10)
    assert await door.opens(fresh) == "user:alice"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (DISCOVERY, b'{"issuer":"https://evil.example.com","jwks_uri":"http://127.0.0.1/keys"}'),
        (DISCOVERY, b'{"jwks_uri":"http://127.0.0.1/keys"}'),
        (DISCOVERY, b"[" * 10_000),
        (DISCOVERY, b"\xff\xfe"),
        (DISCOVERY, 500),
        (DISCOVERY, None),
        ("/keys", 302),
        ("/keys", 404),
        ("/keys", b"x" * 300_000),
        ("/keys", b'{"keys": "none"}'),
        ("/keys", None),
    ],
    ids=range(11),
)
async def test_a_provider_that_lies_or_is_slow_opens_nothing_and_does_when_it_is_well(
    idp: Issuer, door: Door, path: str, answer: bytes | int | None
) -> None:
    idp.answers[path] = answer
    token = idp.token()
    await door.refuses(token, Code.UNAVAILABLE)
    assert not [line for line in door.lines if token in line]
    del idp.answers[path]
    door.clock.move(10)
    assert await door.opens(token) == "user:alice"


@pytest.mark.parametrize(
    "jwks_uri", ["http://169.254.169.254/latest", "http://localhost/keys", "file:///etc/passwd", "https://10.0.0.1/"]
)
async def test_metadata_cannot_send_us_to_where_nobody_may_go(idp: Issuer, door: Door, jwks_uri: str) -> None:
    idp.answers[DISCOVERY] = json.dumps({"issuer": idp.url, "jwks_uri": jwks_uri}).encode()
    await door.refuses(idp.token(), Code.UNAVAILABLE)
    assert "/keys" not in idp.asked


async def test_keys_that_cannot_be_meant_are_passed_over(idp: Issuer, door: Door) -> None:
    good = {**idp.keys["first"].as_dict(private=False), "use": "sig"}
    idp.more_keys = [
        {**good, "kid": "encrypts", "use": "enc"},
        {**good, "kid": "twice"},
        {**good, "kid": "twice"},
        {**good, "kid": 5},
        {**good, "kid": "broken", "n": "!!"},
        {**good, "kid": "elsewhere", "alg": "RS512"},
        {"kid": "empty"},
        {**good, "kid": "small", "n": b64(b"\xff" * 64)},
    ]
    assert await door.opens(idp.token()) == "user:alice"
    for kid in ("encrypts", "twice", "broken", "empty", "small"):
        assert await door.refuses(idp.token({"kid": kid})) == "its key is not known to its issuer"
    assert await door.refuses(idp.token({"kid": "elsewhere"})) == "its key is for another algorithm"


async def test_an_issuer_at_a_private_address_is_not_asked_unless_it_is_named(idp: Issuer) -> None:
    async def asked() -> None:
        assert idp.asked.get("/keys") == 1

    door = Door(idp)
    await door.opens(idp.token())
    await eventually(asked)
    bare = {url: Provider(one.issuer, one.audiences, one.tenant, one.scopes) for url, one in door.providers.items()}
    closed = Door(idp)
    closed.providers = bare
    await closed.refuses(idp.token(), Code.UNAVAILABLE)
    assert idp.asked["/keys"] == 1
    await door.keys.close()
    await closed.keys.close()
