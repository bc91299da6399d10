"""A tenant's client connects to the broker with its API key, as policy says: real servers, the generated rights."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from nats.aio.client import Client

from penstock.bus import Bus
from penstock.bus.nkey import load_or_make
from penstock.client import Penstock
from penstock.contracts import services
from penstock.contracts.endpoint import TENANT_CLIENT
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import REVOCATIONS, TOKEN
from penstock.contracts.jobs import TokenRequest
from penstock.contracts.keys import Revocation
from penstock.contracts.meta import Meta
from tests.services.policy.callout.conftest import House
from tests.support.eventually import eventually
from tests.support.issuer import issuer
from tests.support.rights import ADMINISTRATION, publishers, settle, subscribers, table

VIOLATION = "-ERR 'Authorization Violation'"


@asynccontextmanager
async def client(house: House, key: str, **more: object) -> AsyncIterator[Bus]:
    """Our own, connected by its key."""
    async with house.guarded.bus(house.guarded.guest(key, **more)) as bus:
        yield bus


async def gone(bus: Bus) -> None:
    async def over() -> None:
        assert not bus.connected

    await eventually(over)


async def test_a_client_connects_with_its_key_and_exchanges_it_for_a_token(house: House) -> None:
    _, key = house.key()
    async with house.policy(), client(house, key) as bus:
        reply = await bus.call(TOKEN, TokenRequest(key), Meta(), timeout_s=5, tenant="acme")
        assert reply.tenant == "acme"
        with pytest.raises(Failure):
            await bus.call(TOKEN, TokenRequest(key), Meta(), timeout_s=1, tenant="umbrella")


async def test_the_client_library_needs_nothing_but_the_key(house: House) -> None:
    _, key = house.key()
    url = house.guarded.broker.url
    async with house.policy():
        async with await Penstock.connect(url, tenant="acme", api_key=key) as plane:
            with pytest.raises(Failure, match="nobody answers"):  # there is no orchestrator here
                await plane.list()
        with pytest.raises(Failure, match="does not take this API key"):
            await Penstock.connect(url, tenant="acme", api_key=key + "x", connect_timeout_s=0.5)


async def test_a_key_of_one_tenant_does_nothing_with_the_name_of_another(house: House) -> None:
    _, key = house.key()
    async with house.policy():
        umbrella = msgspec.structs.replace(house.guarded.guest(key), tenant="umbrella")
        async with house.guarded.bus(umbrella) as bus:  # it may connect, and hears and reaches nobody
            for tenant in ("umbrella", "acme"):
                with pytest.raises(Failure) as caught:
                    await bus.call(TOKEN, TokenRequest(key), Meta(), timeout_s=0.5, tenant=tenant)
                assert caught.value.code in (Code.DEADLINE, Code.UNAVAILABLE, Code.UNKNOWN_OUTCOME)


async def test_who_signed_in_elsewhere_connects_with_that_token_and_exchanges_it(house: House) -> None:
    async with issuer() as one:
        providers = f"""
providers:
  - issuer: {one.url}
    audiences: [plane]
    tenant: {{claim: org}}
    scopes: {{always: [job.read]}}
    private_hosts: [127.0.0.1]
"""
        (house.folder / "identity.yaml").write_text(providers, encoding="utf-8")
        async with house.policy():
            token = one.token()
            async with client(house, token) as bus:
                reply = await bus.call(TOKEN, TokenRequest(token), Meta(), timeout_s=5, tenant="acme")
                assert reply.tenant == "acme"
            assert await house.guarded.told(auth_token=one.token(aud="elsewhere")) == VIOLATION
            assert await house.guarded.told(auth_token=token[:-4] + "AAAA") == VIOLATION
        assert token not in house.guarded.broker.log + "".join(house.lines)


# Rights --------------------------------------------------------------------------------------------------------------


def violated(denied: list[str], what: str) -> bool:
    return any(f"permissions violation for {what}" in text.lower() for text in denied)


async def may_publish(plain: Client, denied: list[str], subject: str) -> bool:
    denied.clear()
    await plain.publish(subject, b"{}")
    await settle(plain)
    return not violated(denied, "publish")


async def may_hear(plain: Client, denied: list[str], subject: str) -> bool:
    denied.clear()
    subscription = await plain.subscribe(subject)
    await settle(plain)
    await subscription.unsubscribe()
    return not violated(denied, "subscription")


async def test_who_comes_by_key_may_do_what_the_table_says_and_nothing_else(house: House) -> None:
    _, key = house.key()
    denied: list[str] = []
    async with house.policy(), house.guarded.plain(denied, token=key) as plain:
        for subject, who in table(publishers).items():
            assert await may_publish(plain, denied, subject) is (TENANT_CLIENT in who), subject
            elsewhere = subject.replace(".acme.", ".umbrella.")
            assert elsewhere == subject or not await may_publish(plain, denied, elsewhere), elsewhere
        for subject, who in table(subscribers).items():
            assert await may_hear(plain, denied, subject) is (TENANT_CLIENT in who), subject
            elsewhere = subject.replace(".acme.", ".umbrella.")
            assert elsewhere == subject or not await may_hear(plain, denied, elsewhere), elsewhere


async def test_who_comes_by_key_neither_administers_nor_listens_in_nor_answers_the_broker(house: House) -> None:
    _, key = house.key()
    denied: list[str] = []
    server = ("$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PENSTOCK.CONNZ", "$SYS._INBOX.x")
    wide = (">", "$SYS.>", "$SYS.REQ.USER.AUTH", "_INBOX.>", "_INBOX.callout.>", "penstock.>", "$JS.>", "$KV.>")
    inboxes = [f"_INBOX.{name}.>" for name in (*services.SERVICES, "setup", "tenant", "tenant.umbrella")]
    async with house.policy(), house.guarded.plain(denied, token=key) as plain:
        for subject in (*ADMINISTRATION, *server):
            assert not await may_publish(plain, denied, subject), subject
        for subject in (*wide, *inboxes):
            assert not await may_hear(plain, denied, subject), subject


async def test_a_key_without_the_right_to_read_jobs_does_not_hear_of_them(house: House) -> None:
    _, key = house.key(scopes=("model.*",))
    denied: list[str] = []
    async with house.policy(), house.guarded.plain(denied, token=key) as plain:
        assert not await may_hear(plain, denied, "penstock.v1.acme.events.*")
        assert not await may_hear(plain, denied, "penstock.v1.acme.tokens.job_1")
        assert await may_publish(plain, denied, "penstock.v1.acme.api.token")


# The end of a key ----------------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_and_its_connections_end_and_others_stay(house: House) -> None:
    key_id, key = house.key()
    _, other = house.key()
    async with house.policy(), house.policy(), client(house, key) as bus, client(house, other) as staying:
        house.revoke(key_id)
        await gone(bus)
        assert await house.guarded.told(auth_token=key) == VIOLATION
        assert staying.connected and staying.connection.reconnects == 0
    assert f'"name":"key.{key_id}.0"' in "".join(house.lines)


async def test_a_key_that_is_revoked_through_the_plane_goes_too(house: House) -> None:
    key_id, key = house.key()
    policy = house.guarded.service("policy")
    async with house.policy(), client(house, key) as bus, house.guarded.bus(policy) as writer:
        await writer.bucket(REVOCATIONS).put(f"key.{key_id}", Revocation("acme"))
        await gone(bus)
        assert await house.guarded.told(auth_token=key) == VIOLATION


async def test_who_was_let_in_by_a_replica_that_is_gone_is_shown_out_by_another(house: House) -> None:
    key_id, key = house.key()
    async with house.policy():
        bus = await Bus.connect(house.guarded.guest(key))
    async with house.policy():
        assert bus.connected
        house.revoke(key_id)
        await gone(bus)
        await bus.close()


async def test_a_connection_ends_when_its_key_expires(house: House) -> None:
    _, key = house.key(expires=time.time() + 2.0)
    async with house.policy(callout_sweep_every_s=60.0), client(house, key) as bus:
        await gone(bus)

        async def refused() -> None:
            assert await house.guarded.told(auth_token=key) == VIOLATION

        await eventually(refused)


async def test_more_connections_than_the_key_may_have_are_refused(house: House) -> None:
    _, key = house.key(connections_max=2)
    async with house.policy(), client(house, key), client(house, key):
        assert await house.guarded.told(auth_token=key) == VIOLATION


# Faults --------------------------------------------------------------------------------------------------------------


async def test_while_policy_is_away_nobody_gets_in_and_who_is_in_stays(house: House) -> None:
    _, key = house.key()
    async with house.policy():
        staying = await Bus.connect(house.guarded.guest(key))
    assert await house.guarded.told(auth_token=key) == VIOLATION
    connecting = asyncio.create_task(Bus.connect(house.guarded.guest(key, connect_timeout_s=30)))
    assert staying.connected
    async with house.policy():
        coming = await connecting
        assert staying.connection.reconnects == 0
        for bus in (coming, staying):
            await bus.close()


async def test_when_one_of_two_replicas_is_killed_clients_get_in_by_the_other(house: House) -> None:
    _, key = house.key()
    async with house.policy(), house.process() as process:
        await process.says('"event": ?"ready"')
        guest = house.guarded.guest(key, connect_timeout_s=30)
        coming = [asyncio.create_task(Bus.connect(guest)) for _ in range(40)]
        await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
        await process.kill()
        for bus in await asyncio.gather(*coming):
            assert bus.connected
            await bus.close()


async def test_after_a_restart_of_the_broker_services_are_back_though_policy_is_away(house: House) -> None:
    config = house.guarded.service("gateway")
    async with house.guarded.bus(config) as gateway:
        await house.guarded.broker.restart()

        async def back() -> None:
            assert gateway.connected and gateway.connection.reconnects == 1

        await eventually(back)


async def test_after_a_restart_of_the_broker_policy_is_ready_again_and_clients_are_back(house: House) -> None:
    _, key = house.key()
    async with house.policy() as policy, client(house, key) as bus:
        await house.guarded.broker.kill()
        await house.guarded.broker.start()

        async def back() -> None:
            assert bus.connected and bus.connection.reconnects == 1
            assert policy.readiness.ready().ok

        await eventually(back, within_s=30)


async def test_policy_is_not_ready_when_the_broker_does_not_know_its_callout_user(house: House) -> None:
    (house.guarded.callout_dir / "user.seed").unlink()
    load_or_make(house.guarded.callout_dir / "user.seed")
    starting = asyncio.create_task(house.start())

    async def said() -> None:
        assert "the broker's callout cannot be answered" in "".join(house.lines)
        assert "the broker's callout is not answered" in "".join(house.lines)

    try:
        await eventually(said, within_s=20)
        assert not starting.done()
    finally:
        starting.cancel()
        await asyncio.wait({starting})


async def test_no_line_of_policy_or_the_broker_holds_a_key(house: House) -> None:
    key_id, key = house.key()
    wrong = f"psk_{key_id}_not-the-secret-but-somebodys"
    async with house.policy(), client(house, key):
        assert await house.guarded.told(auth_token=wrong) == VIOLATION
        assert await house.guarded.told(**{"user": "anybody", "pass": wrong}) == VIOLATION
    logged = "".join(house.lines) + house.guarded.broker.log
    assert "a client was refused" in logged
    assert key.split("_", 2)[2] not in logged
    assert "somebodys" not in logged
