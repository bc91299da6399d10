"""Tokens: who is believed."""

import asyncio
import time

import pytest

from penstock.bus import Bus, BusConfig
from penstock.bus.limits import JetStreamLimits
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS
from penstock.contracts.meta import Meta
from penstock.kit.clock import SystemClock
from penstock.kit.identity import Account, Claims, Identities
from penstock.kit.metrics import Metrics
from tests.support.clock import HandClock
from tests.support.tokens import TestSigner, base64url


@pytest.fixture
def identities(bus: Bus, metrics: Metrics) -> Identities:
    return Identities(bus, SystemClock(), metrics, cached_max=3)


@pytest.fixture
async def signer(bus: Bus) -> TestSigner:
    signer = TestSigner()
    await signer.publish(bus)
    return signer


async def refusal(identities: Identities, token: str) -> str:
    with pytest.raises(Failure) as failure:
        await identities.verify(token)
    assert failure.value.code is Code.UNAUTHENTICATED
    return failure.value.detail


async def test_a_token_says_who_it_is(identities: Identities, signer: TestSigner) -> None:
    token = signer.token(
        exp=4_000_000_000.0,
        iat=1_800_000_000,
        txn="txn_1",
        scope="model.* tool.call",
        act={"sub": "agent:writer", "act": {"sub": "agent:planner"}},
        tools=["search", "http_get"],
        run="run_1",
        key="key_1",
        accounts=[["tenant:acme", 5, 0], ["run:run_1", 3, 100]],
    )
    assert await identities.verify(token) == Claims(
        tenant="acme",
        sub="user:alice",
        exp=4_000_000_000.0,
        iat=1_800_000_000.0,
        txn="txn_1",
        chain=("agent:planner", "agent:writer"),
        scopes=("model.*", "tool.call"),
        tools=("search", "http_get"),
        run="run_1",
        key="key_1",
        accounts=(Account("tenant:acme", 5, 0), Account("run:run_1", 3, 100)),
    )


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1_000_000_000.0}, "it has expired"),
        ({"nbf": 4_000_000_000.0}, "it is not valid yet"),
        ({"iss": "somebody"}, "it is meant for somebody else"),
        ({"aud": "other"}, "it is meant for somebody else"),
        ({"aud": ["other"]}, "it is meant for somebody else"),
        ({"sub": ""}, "it names nobody"),
        ({"tenant": "a.b"}, "it names nobody"),
        ({"tenant": "*"}, "it names nobody"),
        ({"exp": None}, "its claims cannot be read"),
        ({"exp": "tomorrow"}, "its claims cannot be read"),
        ({"tenant": None}, "its claims cannot be read"),
        ({"tools": "all"}, "its claims cannot be read"),
    ],
)
async def test_claims_that_do_not_hold_are_refused(
    identities: Identities, signer: TestSigner, claims: dict[str, object], why: str
) -> None:
    assert await refusal(identities, signer.token(**claims)) == f"the token is refused: {why}"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k1"},
        {"alg": "HS256", "kid": "k1"},
        {"alg": "ES256", "kid": "k1"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "kid": "k1", "crit": ["exp"]},
        {"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"},
        {"alg": "EdDSA", "kid": "unknown"},
        {"alg": "EdDSA", "kid": "../k1"},
        {"alg": "EdDSA", "kid": ">"},
    ],
)
async def test_another_way_of_signing_is_refused(
    identities: Identities, signer: TestSigner, header: dict[str, object]
) -> None:
    await refusal(identities, signer.token(header))


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "....", "é.é.é", "a" * 10_000, "e30.e30.e30", "ey.ey.\x00", "a.b.\udcff"]
)
async def test_what_is_no_token_is_refused(identities: Identities, token: str) -> None:
    await refusal(identities, token)


@pytest.mark.parametrize(
    "header", [b'{"alg":"EdDSA","kid":"\xff"}', b"[" * 2000, b'{"alg":"\\ud800"}', b"\xff\xfe", b""]
)
async def test_a_header_that_is_no_json_is_refused(identities: Identities, header: bytes) -> None:
    assert (
        await refusal(identities, f"{base64url(header)}.e30.e30") == "the token is refused: its header cannot be read"
    )


async def test_a_changed_claim_breaks_the_signature(identities: Identities, signer: TestSigner) -> None:
    head, _, signature = signer.token().split(".")
    claims = b'{"iss":"penstock","aud":"penstock","sub":"user:root","tenant":"acme","exp":4000000000}'
    forged = f"{head}.{base64url(claims)}.{signature}"
    assert await refusal(identities, forged) == "the token is refused: its signature is wrong"


async def test_a_key_of_the_same_name_from_elsewhere_signs_nothing(identities: Identities, signer: TestSigner) -> None:
    await refusal(identities, TestSigner(signer.kid).token())


async def test_the_notarys_key_may_not_sign_tokens(bus: Bus, identities: Identities) -> None:
    notary = TestSigner("n1", use="audit")
    await notary.publish(bus)
    assert await refusal(identities, notary.token()) == "the token is refused: its key is not known"


async def test_a_new_key_is_found_when_it_is_first_named(bus: Bus, metrics: Metrics) -> None:
    clock = HandClock(time.time())
    identities = Identities(bus, clock, metrics)
    await identities.refresh()
    signer = TestSigner("k2")
    await signer.publish(bus)
    clock.move(2)
    assert (await identities.verify(signer.token())).sub == "user:alice"


async def test_many_at_once_that_name_a_new_key_all_wait_for_it(bus: Bus, metrics: Metrics, signer: TestSigner) -> None:
    identities = Identities(bus, SystemClock(), metrics)
    token = signer.token()
    claims = await asyncio.gather(*[identities.verify(token) for _ in range(20)])
    assert {each.sub for each in claims} == {"user:alice"}


async def test_unknown_keys_are_looked_for_once_a_second(bus: Bus, metrics: Metrics) -> None:
    clock = HandClock(time.time())
    identities = Identities(bus, clock, metrics)
    await refusal(identities, TestSigner("k7").token())
    late = TestSigner("k8")
    await late.publish(bus)
    await refusal(identities, late.token())
    clock.move(1.0)
    assert (await identities.verify(late.token())).tenant == "acme"


async def test_a_key_that_cannot_be_looked_up_is_unavailable_for_all_who_name_it(
    metrics: Metrics, nats_url: str
) -> None:
    # the bucket is not there: nobody can say whether the token is good
    limits = JetStreamLimits(attempt_s=0.1, budget_s=0.1)
    bus = await Bus.connect(BusConfig(url=nats_url, principal="router", jetstream=limits))
    identities = Identities(bus, SystemClock(), metrics)
    token = TestSigner("k9").token()
    for _ in range(3):
        with pytest.raises(Failure) as caught:
            await identities.verify(token)
        assert caught.value.code is Code.UNAVAILABLE
    await bus.close()


async def test_a_key_taken_away_is_believed_no_more(bus: Bus, identities: Identities, signer: TestSigner) -> None:
    token = signer.token()
    await identities.verify(token)
    await bus.bucket(KEYS).delete(signer.kid)
    await identities.refresh()
    await refusal(identities, token)


async def test_a_verified_token_is_remembered_until_it_expires(bus: Bus, metrics: Metrics, signer: TestSigner) -> None:
    clock = HandClock(time.time())
    identities = Identities(bus, clock, metrics)
    token = signer.token(exp=clock.now() + 60)
    for _ in range(3):
        await identities.verify(token)
    assert metrics.registry.get_sample_value("penstock_identity_tokens_total", {"result": "verified"}) == 1
    assert metrics.registry.get_sample_value("penstock_identity_tokens_total", {"result": "cached"}) == 2
    clock.move(60)
    await refusal(identities, token)


async def test_the_oldest_tokens_are_forgotten_first(
    identities: Identities, signer: TestSigner, metrics: Metrics
) -> None:
    tokens = [signer.token(txn=str(n)) for n in range(5)]
    for token in (*tokens, tokens[4], tokens[0]):
        await identities.verify(token)
    assert metrics.registry.get_sample_value("penstock_identity_tokens_total", {"result": "cached"}) == 1


async def test_a_handler_asks_for_the_claims_of_its_message(identities: Identities, signer: TestSigner) -> None:
    meta = Meta(token=signer.token())
    with pytest.raises(Failure, match="its key is not known"):
        identities.claims(meta)
    await identities.admit(meta, tenant_proven=False)
    assert identities.claims(meta).sub == "user:alice"
    with pytest.raises(Failure, match="a token is required"):
        identities.claims(Meta())


async def test_the_tenant_of_a_message_is_the_tokens(identities: Identities, signer: TestSigner) -> None:
    token = signer.token()
    assert (await identities.admit(Meta(token=token), tenant_proven=False)).tenant == "acme"
    assert (await identities.admit(Meta(token=token, tenant="acme"), tenant_proven=True)).tenant == "acme"
    for meta, proven in ((Meta(token=token, tenant="other"), True), (Meta(token=token, tenant="other"), False)):
        with pytest.raises(Failure) as failure:
            await identities.admit(meta, tenant_proven=proven)
        assert failure.value.code is Code.DENIED


async def test_no_error_shows_the_token(identities: Identities, signer: TestSigner) -> None:
    token = signer.token(exp=1.0)
    detail = await refusal(identities, token)
    assert all(part not in detail for part in token.split("."))
