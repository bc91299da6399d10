"""Every principal against every subject, on a real server with the generated configuration."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from penstock.bus import Bus, BusConfig
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import SETUP, service_grants, setup_grants, tenant_grants
from penstock.bus.server_config import BusUser, render
from penstock.contracts import services
from penstock.contracts.endpoint import TENANT_CLIENT
from penstock.contracts.errors import Code, Failure
from tests.support.nats_server import NatsServer, nats_server
from tests.support.rights import ADMINISTRATION, publishers, settle, subscribers, table


@dataclass
class Secured:
    """A broker that knows everybody, and the folder of seeds."""

    broker: NatsServer
    seeds: Path
    denied: dict[str, list[str]] = field(default_factory=dict)

    async def connect(self, name: str) -> Client:
        denied = self.denied.setdefault(name, [])

        async def on_error(error: Exception) -> None:
            denied.append(str(error))

        inbox = f"_INBOX.tenant.{name[7:]}.c" if name.startswith("tenant-") else f"_INBOX.{name}.c"
        return await nats.connect(
            self.broker.url,
            nkeys_seed=str(self.seeds / name),
            inbox_prefix=inbox,
            error_cb=on_error,
            allow_reconnect=False,
        )


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    users = [BusUser(s, load_or_make(tmp_path / s), service_grants(s)) for s in services.SERVICES]
    users += [
        BusUser(f"tenant-{t}", load_or_make(tmp_path / f"tenant-{t}"), tenant_grants(t)) for t in ("acme", "umbrella")
    ]
    users.append(BusUser(SETUP, load_or_make(tmp_path / SETUP), setup_grants()))
    async with nats_server(render(users)) as broker:
        yield Secured(broker, tmp_path)


PRINCIPALS = [*services.SERVICES, "tenant-acme"]


@pytest.mark.parametrize("name", PRINCIPALS)
async def test_a_principal_may_publish_what_the_table_says_and_nothing_else(secured: Secured, name: str) -> None:
    client = await secured.connect(name)
    role = TENANT_CLIENT if name.startswith("tenant-") else name
    for subject, who in table(publishers).items():
        secured.denied[name].clear()
        await client.publish(subject, b"{}")
        await settle(client)
        denied = any("permissions violation for publish" in e.lower() for e in secured.denied[name])
        assert denied is (role not in who), f"{name} publishes {subject}: denied={denied}"
    await client.close()


@pytest.mark.parametrize("name", PRINCIPALS)
async def test_a_principal_may_hear_what_the_table_says_and_nothing_else(secured: Secured, name: str) -> None:
    client = await secured.connect(name)
    role = TENANT_CLIENT if name.startswith("tenant-") else name
    for subject, who in table(subscribers).items():
        secured.denied[name].clear()
        subscription = await client.subscribe(subject)
        await settle(client)
        denied = any("permissions violation for subscription" in e.lower() for e in secured.denied[name])
        assert denied is (role not in who), f"{name} subscribes {subject}: denied={denied}"
        await subscription.unsubscribe()
    await client.close()


@pytest.mark.parametrize("name", PRINCIPALS)
async def test_nobody_but_set_up_administers_streams(secured: Secured, name: str) -> None:
    client = await secured.connect(name)
    for subject in ADMINISTRATION:
        secured.denied[name].clear()
        await client.publish(subject, b"{}")
        await settle(client)
        assert any("permissions violation" in e.lower() for e in secured.denied[name]), f"{name} publishes {subject}"
    await client.close()


@pytest.mark.parametrize("name", PRINCIPALS)
async def test_nobody_listens_in_on_others(secured: Secured, name: str) -> None:
    client = await secured.connect(name)
    others = [f"_INBOX.{s}.>" for s in services.SERVICES if s != name]
    for subject in [
        *others,
        ">",
        "_INBOX.>",
        "penstock.>",
        "$JS.>",
        "$KV.>",
        "_INBOX.tenant.>",
        "_INBOX.tenant.umbrella.>",
    ]:
        secured.denied[name].clear()
        subscription = await client.subscribe(subject)
        await settle(client)
        assert any("permissions violation" in e.lower() for e in secured.denied[name]), f"{name} hears {subject}"
        await subscription.unsubscribe()
    await client.close()


@pytest.mark.parametrize("name", ["gateway", "router", "tool_executor", "context", "orchestrator", "tenant-acme"])
async def test_who_writes_audit_records_may_not_read_them(secured: Secured, name: str) -> None:
    client = await secured.connect(name)
    for subject in (
        "$JS.API.DIRECT.GET.AUDIT",
        "$JS.API.DIRECT.GET.AUDIT.penstock.audit.acme.router",
        "$JS.API.STREAM.MSG.GET.AUDIT",
    ):
        secured.denied[name].clear()
        await client.publish(subject, b"{}")
        await settle(client)
        assert any("permissions violation" in e.lower() for e in secured.denied[name]), f"{name} reads {subject}"
    await client.close()


async def test_a_tenants_client_reaches_nothing_of_another_tenant(secured: Secured) -> None:
    client = await secured.connect("tenant-acme")
    for subject in [
        "penstock.v1.umbrella.jobs.chat",
        "penstock.v1.umbrella.api.submit",
        "penstock.v1.umbrella.api.token",
        "_INBOX.tenant.umbrella.c.x",
        "$JS.API.DIRECT.GET.EVENTS",
        "$JS.API.DIRECT.GET.EVENTS.penstock.v1.umbrella.events.job_1",
        "$JS.API.STREAM.MSG.GET.EVENTS",
    ]:
        secured.denied["tenant-acme"].clear()
        await client.publish(subject, b"{}")
        await settle(client)
        assert any("permissions violation" in e.lower() for e in secured.denied["tenant-acme"]), subject
    for subject in ["penstock.v1.umbrella.events.*", "penstock.v1.*.events.*", "penstock.v1.umbrella.tokens.job_1"]:
        secured.denied["tenant-acme"].clear()
        await client.subscribe(subject)
        await settle(client)
        assert any("permissions violation" in e.lower() for e in secured.denied["tenant-acme"]), subject
    await client.close()


async def test_a_connection_without_a_known_key_is_refused(secured: Secured) -> None:
    load_or_make(secured.seeds / "stranger")
    for seed_file in (str(secured.seeds / "stranger"), ""):
        with pytest.raises(Failure, match=r"(?i)authorization") as caught:
            await Bus.connect(BusConfig(url=secured.broker.url, seed_file=seed_file, connect_timeout_s=0.5))
        assert caught.value.code is Code.UNAVAILABLE


def test_a_seed_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = load_or_make(tmp_path / "seeds" / "router")
    assert load_or_make(tmp_path / "seeds" / "router") == first
    assert first.startswith("U")
    assert (tmp_path / "seeds" / "router").stat().st_mode & 0o777 == 0o600
