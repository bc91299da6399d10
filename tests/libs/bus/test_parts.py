"""A large reply to a tenant's own client, which may not read the plane's store: it comes in parts over its inbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.bus import Bus, BusConfig
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import service_grants, tenant_grants
from penstock.bus.server_config import BusUser, render
from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import JobRef, JobView
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import JOB_GET
from tests.support.echo import Pair
from tests.support.nats_server import nats_server

MIB = 1024 * 1024


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Pair]:
    """The orchestrator, and a client of the tenant acme, each with its own rights and no more."""
    service, tenant = tmp_path / "orchestrator", tmp_path / "acme"
    users = [
        BusUser("orchestrator", load_or_make(service), service_grants("orchestrator")),
        BusUser("acme", load_or_make(tenant), tenant_grants("acme")),
    ]
    async with nats_server(render(users)) as broker:
        asker = await Bus.connect(BusConfig(url=broker.url, tenant="acme", seed_file=str(tenant)))
        answerer = await Bus.connect(
            BusConfig(url=broker.url, principal="orchestrator", seed_file=str(service), body_max_bytes=20 * MIB)
        )
        yield Pair(asker, answerer)
        await asker.close()
        await answerer.close()


@pytest.mark.parametrize("size", [1000, 300_000, 16 * MIB])
async def test_a_reply_of_any_size_reaches_a_tenants_client(secured: Pair, size: int) -> None:
    async def get(ref: JobRef, meta: Meta) -> JobView:
        return JobView(ref.id, "chat", "completed", 0.0, 0.0, agent="y" * size)

    await secured.answerer.serve_call(JOB_GET, get, in_flight_max=4)
    view = await secured.asker.call(JOB_GET, JobRef("job_1"), Meta(), tenant="acme")
    assert view.agent == "y" * size


async def test_a_reply_above_the_limit_is_refused_and_the_next_one_comes(secured: Pair) -> None:
    async def get(ref: JobRef, meta: Meta) -> JobView:
        return JobView(ref.id, "chat", "completed", 0.0, 0.0, agent="y" * (21 * MIB if ref.id == "large" else 5))

    await secured.answerer.serve_call(JOB_GET, get, in_flight_max=4)
    with pytest.raises(Failure) as refused:
        await secured.asker.call(JOB_GET, JobRef("large"), Meta(), tenant="acme")
    assert refused.value.code is Code.TOO_LARGE
    assert (await secured.asker.call(JOB_GET, JobRef("small"), Meta(), tenant="acme")).agent == "yyyyy"
