"""Tokens as policy signs them: readable by the kit, and by anybody's JWT library."""

import asyncio
import stat
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import OKPKey

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS
from penstock.kit.clock import SystemClock
from penstock.kit.identity import Account, Claims, Identities
from penstock.kit.metrics import Metrics
from services.policy.identity.publish_key import publish
from services.policy.identity.tokens import signer_at
from tests.services.policy.conftest import Plane
from tests.support.clock import HandClock
from tests.support.eventually import eventually

CLAIMS = Claims(
    tenant="acme",
    sub="user:alice",
    exp=4_000_000_000.0,
    txn="txn_1",
    chain=("agent:planner", "agent:writer"),
    scopes=("model.*", "tools:destructive"),
    tools=("http_get",),
    run="run_1",
    key="abcd1234",
    accounts=(Account("tenant:acme"), Account("run:run_1", 5, 7)),
    iat=1_800_000_000.0,
    lineage=("run_0", "run_1"),
    team="ops",
)


async def test_the_kit_reads_what_policy_signs(plane: Plane, tmp_path: Path) -> None:
    signer = signer_at(tmp_path / "key.pem")
    await plane.bus.bucket(KEYS).put(signer.public.kid, signer.public)

    identity = signer.sign(CLAIMS)

    assert await identities_on(plane.bus).verify(identity.token) == CLAIMS
    assert (identity.tenant, identity.expires, identity.scopes) == ("acme", 4_000_000_000.0, CLAIMS.scopes)


def identities_on(bus: Bus) -> Identities:
    return Identities(bus, SystemClock(), Metrics("policy"))


def test_another_library_reads_what_policy_signs(tmp_path: Path) -> None:
    signer = signer_at(tmp_path / "key.pem")
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": signer.public.public})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that the name EdDSA may stand for Ed448 too (RFC 9864)
        read = jwt.decode(signer.sign(CLAIMS).token, key, algorithms=["EdDSA"])

    assert read.header["typ"] == "txntoken+jwt"
    assert read.claims["act"] == {"sub": "agent:writer", "act": {"sub": "agent:planner"}}
    assert read.claims["scope"] == "model.* tools:destructive"
    assert read.claims["accounts"] == [["tenant:acme", 0, 0], ["run:run_1", 5, 7]]


def test_the_signing_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "key.pem"

    assert signer_at(file).public == signer_at(file).public
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_with_another_kind_of_key_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    with pytest.raises(Failure, match="holds no Ed25519 key"):
        signer_at(file)
    file.write_text("nonsense")
    with pytest.raises(Failure, match="holds no Ed25519 key"):
        signer_at(file)


def test_a_token_that_would_be_too_large_is_not_made(tmp_path: Path) -> None:
    tools = tuple(f"{n:0>100}" for n in range(100))

    with pytest.raises(Failure) as raised:
        signer_at(tmp_path / "key.pem").sign(Claims("acme", "user:alice", 2e9, tools=tools))
    assert raised.value.code is Code.TOO_LARGE


async def test_two_signing_keys_are_believed_at_once_and_the_first_no_longer_than_its_tokens(
    plane: Plane, tmp_path: Path
) -> None:
    clock = HandClock(1_800_000_000.0)
    identities = Identities(plane.bus, clock, Metrics("policy"))
    tokens = []
    for name in ("one.pem", "two.pem"):
        signer = signer_at(tmp_path / name)
        await publish(plane.bus, identities, signer.public, clock, 100.0)
        tokens.append(signer.sign(CLAIMS).token)
    for token in tokens:
        assert (await identities.verify(token)).sub == "user:alice"
    clock.move(150)
    # the first process is gone, the second puts the end of its own key off
    await publish(plane.bus, identities, signer.public, clock, 100.0)
    clock.move(51)
    late = Identities(plane.bus, clock, Metrics("policy"))
    await late.refresh()
    with pytest.raises(Failure, match="its key is good no more"):
        await late.verify(tokens[0])
    assert (await late.verify(tokens[1])).sub == "user:alice"


async def test_a_signing_key_that_is_taken_away_is_believed_no_more_within_moments(
    plane: Plane, tmp_path: Path
) -> None:
    identities = identities_on(plane.bus)
    signer = signer_at(tmp_path / "key.pem")
    await publish(plane.bus, identities, signer.public, SystemClock(), 100.0)
    token = signer.sign(CLAIMS).token
    watching = asyncio.create_task(identities.watch_keys())
    assert (await identities.verify(token)).sub == "user:alice"
    await plane.bus.bucket(KEYS).delete(signer.public.kid)

    async def refused() -> None:
        try:
            await identities.verify(token)
        except Failure as failure:
            assert failure.code is Code.UNAUTHENTICATED
            return
        raise AssertionError("the token is still believed")

    await eventually(refused)
    watching.cancel()
    await asyncio.wait({watching})
