"""A tenant's client names reply subjects that are not its own, on every subject it may publish to, and nothing comes
of it: no stream grows and nobody hears anything. On a real server with the generated rights."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from penstock.bus import Bus
from penstock.bus.permissions import tenant_grants
from penstock.bus.setup import whole_table
from penstock.contracts import jobs, subjects
from penstock.contracts.endpoint import TENANT_CLIENT, Call
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.eventually import eventually
from tests.support.secured import ALMIGHTY, Secured, secured_broker

VICTIMS = [
    "penstock.v1.acme.events.job_1",
    "penstock.v1.umbrella.events.job_1",
    "penstock.v1.acme.tokens.job_1",
    "penstock.job.acme.evil",
    "penstock.audit.acme.router",
    "penstock.run.00.run_1.j",
    "penstock.run.00.run_1.in.start.start",
    "penstock.blob.x.0",
    "penstock.dlq.JOBS",
    "$KV.keys.mine",
    "$KV.workers.w1",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.ACK.JOBS.admit.1.1.1.1.1",
    "penstock.policy.evaluate",
    "penstock.cancel.run_1",
    "penstock.flow.router.c.1",
    "penstock.v1.umbrella.api.get",
    "penstock.api.umbrella.get",
    "_INBOX.tenant.umbrella.c.1",
    "_INBOX.tenant.acme2.c.1",
    "_INBOX.gateway.c.1",
    "_INBOX.orchestrator.c.1",
    "_INBOX.setup.c.1",
    "_INBOX.1",
]
BODIES = [b'{"kind":"chat","input":"hi","id":"job_1"}', b'{"stream":"EVENTS"}', b"not json", b""]
HEADERS: list[dict[str, str]] = [{}, {"Nats-Msg-Id": "m1"}, {"Authorization": "Bearer x"}]
ANSWERED = [
    endpoint
    for endpoint in subjects.ENDPOINTS.values()
    if isinstance(endpoint, Call) and TENANT_CLIENT in endpoint.called_by
]


class Info(msgspec.Struct):
    state: dict[str, object]


async def answer(_: object, __: Meta) -> object:
    return {}


async def serve_everything(bus: Bus, name: str) -> None:
    """As `name` does it, with answers that mean nothing."""
    for endpoint in ANSWERED:
        if endpoint.answered_by != name:
            continue
        if endpoint is subjects.JOB_PUBLISH:
            await bus.serve_deposit(subjects.JOB_PUBLISH, subjects.JOB, slots=4, waiting_max_bytes=10_000_000)
        else:
            await bus.serve_call(endpoint, answer, in_flight_max=100)


class Place:
    """A plane's broker, with somebody who hears what reaches the victims and can look into every stream."""

    def __init__(self, secured: Secured, almighty: Bus, watcher: Client) -> None:
        self.secured = secured
        self._almighty = almighty
        self._watcher = watcher
        self.heard: list[str] = []

    async def watch(self) -> None:
        async def on_message(message: Msg) -> None:
            self.heard.append(message.subject)

        for victim in VICTIMS:
            await self._watcher.subscribe(victim, cb=on_message)
        await self._watcher.flush()

    async def last(self) -> dict[str, object]:
        """The last sequence of every stream and bucket."""
        found = {}
        for asset in whole_table().assets(1):
            if asset.kind == "STREAM":
                info = await self._almighty.jetstream.ask(f"STREAM.INFO.{asset.path}", {}, Info, asset.path)
                found[asset.path] = info.state["last_seq"]
        return found

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Every service that tenants' clients ask is there."""
        async with AsyncExitStack() as stack:
            for name in sorted({endpoint.answered_by for endpoint in ANSWERED}):
                await serve_everything(await stack.enter_async_context(self.secured.bus(name)), name)
            yield

    async def attack(self, client: Client, headers: Mapping[str, str], reply: str) -> None:
        """Publishes on every subject that the tenant may, naming `reply`; returns when all of it was dealt with."""
        subjects = [filter.replace("*", "chat") for filter in sorted(tenant_grants("acme").publish)]
        assert len(subjects) == len(ANSWERED) == 29
        for subject in subjects:
            for body in BODIES:
                await client.publish(subject, body, reply=reply, headers=dict(headers) or None)
        # an honest question that comes last
        for subject in subjects:
            with suppress(nats.errors.NoRespondersError):
                await client.request(subject, b"honest", timeout=5, headers={"Nats-Msg-Id": "honest"})
        await self._watcher.flush()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with secured_broker(tmp_path) as secured, AsyncExitStack() as stack:
        almighty = await stack.enter_async_context(secured.bus(ALMIGHTY))
        await almighty.prepare()
        watcher = await nats.connect(secured.broker.url, nkeys_seed=secured.seed(ALMIGHTY))
        stack.push_async_callback(watcher.close)
        place = Place(secured, almighty, watcher)
        await place.watch()
        yield place


@pytest.mark.parametrize("served", [True, False], ids=["services up", "services down"])
async def test_naming_anothers_subject_as_reply_moves_nothing_and_reaches_nobody(place: Place, served: bool) -> None:
    async with place.served() if served else nullcontext(), place.secured.tenant() as client:
        await place.attack(client, {}, "_INBOX.tenant.umbrella.c.1")
        before = await place.last()
        assert before["JOBS"] == (1 if served else 0), "the honest one"
        assert len(before) == len(whole_table().stores) + len(whole_table().buckets)
        for headers in HEADERS:
            for victim in VICTIMS:
                await place.attack(client, headers, victim)
        assert place.heard == []
        assert await place.last() == before


@pytest.mark.parametrize("only", ["true", "false"])
async def test_a_trace_of_a_message_goes_nowhere_its_sender_could_not_write(place: Place, only: str) -> None:
    async with place.served(), place.secured.tenant() as client:
        await place.attack(client, {}, "_INBOX.tenant.umbrella.c.1")
        before = await place.last()
        for victim in VICTIMS:
            trace = {"Nats-Trace-Dest": victim, "Nats-Trace-Only": only}
            await place.attack(client, trace, "_INBOX.tenant.acme.c.1")
        assert place.heard == []
        assert await place.last() == before


async def test_the_hole_that_this_closes_is_real(place: Place) -> None:
    """Whoever may publish to a stream's subject makes the broker write where they say."""
    async with place.secured.bus("orchestrator") as bus:
        bus.connection.publish("penstock.job.acme.chat", b"{}", reply="$KV.keys.mine")

        async def written() -> None:
            assert place.heard == ["$KV.keys.mine"]
            assert (await place.last())["KV_keys"] == 1

        await eventually(written)


async def test_a_trace_goes_where_its_sender_may_write(place: Place) -> None:
    async with place.secured.bus(ALMIGHTY) as bus:
        bus.connection.publish("penstock.v1.acme.api.get", b"{}", headers={"Nats-Trace-Dest": "penstock.cancel.run_1"})

        async def traced() -> None:
            assert place.heard == ["penstock.cancel.run_1"]

        await eventually(traced)


async def test_a_service_is_answered_at_its_own_subject_and_a_tenant_at_its_own(place: Place) -> None:
    async with (
        place.secured.bus("orchestrator") as orchestrator,
        place.secured.bus("gateway") as gateway,
        place.secured.tenant() as client,
    ):
        tenants: list[str] = []

        async def view(ref: jobs.JobRef, meta: Meta) -> jobs.JobView:
            tenants.append(meta.tenant)
            return jobs.JobView(ref.id, "chat", "running", 1.0, 1.0)

        await orchestrator.serve_call(subjects.JOB_GET, view, in_flight_max=5)
        ref = jobs.JobRef("job_1")
        assert (await gateway.call(subjects.JOB_GET, ref, Meta(tenant="x"), timeout_s=5, tenant="acme")).id == "job_1"
        reply = await client.request("penstock.v1.acme.api.get", b'{"id":"job_2"}', timeout=5)
        assert b'"id":"job_2"' in reply.data
        assert tenants == ["acme", "acme"]


async def test_a_service_that_asks_at_the_tenants_subject_is_not_let(place: Place) -> None:
    async with place.secured.bus("gateway") as gateway:
        with pytest.raises(Failure) as refused:
            await gateway.connection.request("penstock.v1.acme.api.get", b"{}", timeout_s=0.3)
        assert refused.value.code is Code.DEADLINE
