"""What was revoked is refused everywhere, at once, remembered or not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.bus import Bus, BusConfig
from penstock.bus.limits import JetStreamLimits
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import REVOCATIONS
from penstock.contracts.keys import Revocation
from penstock.contracts.meta import Meta
from penstock.kit.clock import SystemClock
from penstock.kit.identity import Claims, Identities
from penstock.kit.metrics import Metrics
from tests.support.clock import HandClock
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.tokens import TestSigner

CLAIMS = {"key": "key1", "txn": "txn_1", "run": "run_c", "lineage": ["run_a", "run_b", "run_c"]}


@pytest.fixture
async def signer(bus: Bus) -> TestSigner:
    signer = TestSigner()
    await signer.publish(bus)
    return signer


@asynccontextmanager
async def watching(identities: Identities) -> AsyncIterator[Identities]:
    task = asyncio.create_task(identities.revocations.watch())
    try:
        yield identities
    finally:
        task.cancel()
        await asyncio.wait({task})


async def refused(identities: Identities, token: str) -> None:
    with pytest.raises(Failure) as caught:
        await identities.verify(token)
    assert caught.value.code is Code.UNAUTHENTICATED
    assert caught.value.detail == "the token is refused: it was revoked"


async def soon_refused(identities: Identities, token: str) -> None:
    async def check() -> None:
        try:
            await identities.verify(token)
        except Failure as failure:
            assert failure.detail == "the token is refused: it was revoked"
            return
        raise AssertionError("the token is still believed")

    await eventually(check)


@pytest.mark.parametrize("name", ["key.key1", "txn.acme.txn_1", "run.acme.run_a", "run.acme.run_b", "run.acme.run_c"])
async def test_a_token_in_use_ends_with_its_key_its_transaction_and_every_run_above_it(
    bus: Bus, metrics: Metrics, signer: TestSigner, name: str
) -> None:
    token = signer.token(**CLAIMS)
    async with watching(Identities(bus, SystemClock(), metrics)) as identities:
        await identities.verify(token)
        await bus.bucket(REVOCATIONS).put(name, Revocation("acme"))
        await soon_refused(identities, token)
        with pytest.raises(Failure, match="revoked"):
            identities.claims(Meta(token=token))
        with pytest.raises(Failure, match="revoked"):
            await identities.admit(Meta(tenant="acme", token=token), tenant_proven=True)


async def test_who_starts_later_refuses_what_was_revoked_before(bus: Bus, metrics: Metrics, signer: TestSigner) -> None:
    await bus.bucket(REVOCATIONS).put("run.acme.run_a", Revocation("acme"))
    await refused(Identities(bus, SystemClock(), metrics), signer.token(**CLAIMS))


async def test_a_revocation_says_nothing_of_other_keys_runs_and_tenants(
    bus: Bus, metrics: Metrics, signer: TestSigner
) -> None:
    bucket = bus.bucket(REVOCATIONS)
    of_others = (
        ("key.key2", "acme"),
        ("run.acme.run_d", "acme"),
        ("run.acme.key1", "acme"),
        ("run.umbrella.run_a", "umbrella"),
        ("run.acme.run_a", "umbrella"),
        ("key.key1", "umbrella"),
    )
    for name, tenant in of_others:
        await bucket.put(name, Revocation(tenant))
    identities = Identities(bus, SystemClock(), metrics)
    assert (await identities.verify(signer.token(**CLAIMS))).key == "key1"


async def test_a_revocation_may_begin_later(bus: Bus, metrics: Metrics, signer: TestSigner) -> None:
    clock = HandClock(time.time())
    await bus.bucket(REVOCATIONS).put("key.key1", Revocation("acme", since=clock.now() + 60))
    identities = Identities(bus, clock, metrics)
    token = signer.token(**CLAIMS)
    await identities.verify(token)
    clock.move(60)
    await refused(identities, token)


async def test_what_was_revoked_stays_so_when_its_entry_is_deleted(
    bus: Bus, metrics: Metrics, signer: TestSigner
) -> None:
    bucket = bus.bucket(REVOCATIONS)
    token = signer.token(**CLAIMS)
    async with watching(Identities(bus, SystemClock(), metrics)) as identities:
        await bucket.put("key.key1", Revocation("acme"))
        await soon_refused(identities, token)
        await bucket.delete("key.key1")
        await bucket.put("key.key2", Revocation("acme"))
        await soon_refused(identities, signer.token(key="key2"))
        await refused(identities, token)


async def test_a_thousand_revocations_at_once_are_all_heard(bus: Bus, metrics: Metrics, signer: TestSigner) -> None:
    bucket = bus.bucket(REVOCATIONS)
    async with watching(Identities(bus, SystemClock(), metrics)) as identities:
        await identities.verify(signer.token())
        await asyncio.gather(*[bucket.put(f"run.run_{n}", Revocation("acme")) for n in range(1000)])

        async def all_heard() -> None:
            revocations = identities.revocations
            assert all(revocations.since(f"run.run_{n}", "acme") == 0.0 for n in range(1000))

        await eventually(all_heard)


async def test_who_cannot_hear_of_revocations_believes_no_token_after_a_while(
    broker: NatsServer, metrics: Metrics
) -> None:
    limits = JetStreamLimits(attempt_s=0.1, budget_s=0.2)
    bus = await Bus.connect(BusConfig(url=broker.url, principal="router", jetstream=limits))
    await bus.prepare()
    signer = TestSigner()
    await signer.publish(bus)
    identities = Identities(bus, SystemClock(), metrics, stale_max_s=0.3)
    token = signer.token()
    await identities.verify(token)
    await broker.kill()

    async def closed() -> None:
        try:
            identities.claims(Meta(token=token))
        except Failure as failure:
            assert failure.code is Code.UNAVAILABLE
            assert failure.detail == "it cannot be seen what was revoked: no token is believed"
            return
        raise AssertionError("the token is still believed")

    await eventually(closed)
    await broker.start()
    async with watching(identities):

        async def open_again() -> Claims:
            try:
                return identities.claims(Meta(token=token))
            except Failure as failure:
                raise AssertionError("no token is believed") from failure

        assert (await eventually(open_again)).sub == "user:alice"
    await bus.close()


async def test_who_never_read_the_bucket_believes_nobody(metrics: Metrics, nats_url: str) -> None:
    limits = JetStreamLimits(attempt_s=0.1, budget_s=0.1)
    bus = await Bus.connect(BusConfig(url=nats_url, principal="router", jetstream=limits))
    with pytest.raises(Failure) as caught:
        await Identities(bus, SystemClock(), metrics).verify(TestSigner().token())
    assert caught.value.code is Code.UNAVAILABLE
    await bus.close()
