"""Jobs published by a tenant's own client, nats-py as it is, on a broker with the generated rights."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from penstock.bus.headers import read_failure
from penstock.client import Penstock, job
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import job_id
from penstock.contracts.jobs import JobListRequest, JobView
from penstock.contracts.stores import DLQ, JOBS
from penstock.contracts.subjects import JOB_LIST
from penstock.kit.log import Log
from penstock.kit.service import running
from services.orchestrator.config import Config
from services.orchestrator.main import orchestrator
from tests.services.orchestrator.conftest import Start
from tests.support.eventually import eventually
from tests.support.nats_server import NatsServer
from tests.support.process import module_process
from tests.support.run_peers import Peers, run_peers
from tests.support.secured import ALMIGHTY, Secured, secured_broker

SUBJECT = "penstock.v1.acme.jobs.chat"
MIB = 1024 * 1024


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    async with secured_broker(tmp_path / "seeds") as secured:
        yield secured


@pytest.fixture
def broker(secured: Secured) -> NatsServer:
    return secured.broker


@pytest.fixture
async def peers(secured: Secured) -> AsyncIterator[Peers]:
    async with run_peers(secured.broker.url, seed_file=secured.seed(ALMIGHTY)) as peers:
        yield peers


@pytest.fixture
def config(config: Config, secured: Secured) -> Config:
    return msgspec.structs.replace(config, nats_seed_file=secured.seed("orchestrator"))


@pytest.fixture
async def client(secured: Secured) -> AsyncIterator[Client]:
    async with secured.tenant() as client:
        yield client


@pytest.fixture
def stream(client: Client) -> JetStreamContext:
    return client.jetstream()


def body(id: str = "", **fields: object) -> bytes:
    return json.dumps({"kind": "chat", "input": "hi", **({"id": id} if id else {}), **fields}).encode()


def headers(peers: Peers, tenant: str = "acme", **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {peers.signer.token(tenant=tenant)}", **more}


def numbered(peers: Peers, id: str, tenant: str = "acme") -> dict[str, str]:
    return headers(peers, tenant) | {"Nats-Msg-Id": id}


class Info(msgspec.Struct):
    state: dict[str, object]


async def drained(peers: Peers) -> None:
    """Waits until the queue is empty."""

    async def empty() -> None:
        state = (await peers.bus.jetstream.ask("STREAM.INFO.JOBS", {}, Info, "JOBS")).state
        assert state["messages"] == 0

    await eventually(empty, 10)


async def stored(peers: Peers) -> object:
    """How many messages the queue of jobs ever had."""
    return (await peers.bus.jetstream.ask("STREAM.INFO.JOBS", {}, Info, "JOBS")).state["last_seq"]


async def test_a_jetstream_client_publishes_a_job_and_it_is_carried_out(
    peers: Peers, start: Start, stream: JetStreamContext
) -> None:
    async with start():
        ack = await stream.publish(SUBJECT, body("job_a"), headers=headers(peers))
        assert (ack.stream, ack.seq, ack.duplicate) == ("JOBS", 1, None)
        ack = await stream.publish(SUBJECT, body("job_b"), stream="JOBS", headers=headers(peers))
        assert (ack.stream, ack.seq) == ("JOBS", 2)
        assert (await peers.ended("job_a")).state == "completed"
        assert (await peers.ended("job_b")).state == "completed"


async def test_a_request_is_answered_in_the_words_of_the_server(peers: Peers, start: Start, client: Client) -> None:
    async with start():
        reply = await client.request(SUBJECT, body("job_a"), headers=headers(peers))
        assert (reply.data, reply.headers) == (b'{"stream":"JOBS","seq":1}', None)
        await peers.ended("job_a")


async def test_a_publish_without_a_reply_subject_is_stored_all_the_same(
    peers: Peers, start: Start, client: Client
) -> None:
    async with start():
        await client.publish(SUBJECT, body("job_a"), headers=headers(peers))
        assert (await peers.ended("job_a")).state == "completed"


async def test_a_crowd_of_publishes_without_reply_is_stored_whole(peers: Peers, start: Start, client: Client) -> None:
    count = 2000
    async with start(deposits_max=8):
        for number in range(count):
            await client.publish(SUBJECT, b"not a job: %d" % number)
        await client.flush()

        async def all_of_them() -> None:
            assert await stored(peers) == count

        await eventually(all_of_them, 30, every_s=0.1)


async def test_a_client_that_publishes_without_waiting_gets_every_acknowledgement(
    peers: Peers, start: Start, stream: JetStreamContext
) -> None:
    async with start():
        futures = [await stream.publish_async(SUBJECT, body(f"job_{n}"), headers=headers(peers)) for n in range(100)]
        acks = await asyncio.wait_for(asyncio.gather(*futures), 20)
        assert [ack.seq for ack in acks] == list(range(1, 101))


async def test_the_same_message_id_twice_is_one_job_and_only_within_its_tenant(
    peers: Peers, start: Start, stream: JetStreamContext, secured: Secured
) -> None:
    async with start(), secured.tenant("umbrella") as other:
        first = await stream.publish(SUBJECT, body("job_a"), headers=numbered(peers, "m1"))
        again = await stream.publish(SUBJECT, body("job_b"), headers=numbered(peers, "m1"))
        assert (first.seq, first.duplicate) == (1, None)
        assert (again.seq, again.duplicate) == (1, True)
        theirs = await other.jetstream().publish(
            "penstock.v1.umbrella.jobs.chat", body("job_b"), headers=numbered(peers, "m1", "umbrella")
        )
        assert (theirs.seq, theirs.duplicate) == (2, None)
        await peers.ended("job_a")
        assert (await peers.ended("job_b", tenant="umbrella")).state == "completed"
        assert await peers.events("job_b") == []


async def test_a_body_that_is_no_job_is_stored_refused_in_an_event_and_kept_as_it_was(
    peers: Peers, start: Start, stream: JetStreamContext
) -> None:
    bad = b'{"kind":"chat",\x00\xff'
    async with start():
        ack = await stream.publish(SUBJECT, bad, headers=headers(peers) | {"Penstock-Idempotency-Key": "key-1"})
        assert ack.seq == 1

        async def told() -> None:
            assert [event.type for event in await peers.events(job_id("acme", "key-1"))] == ["refused"]
            letters = await peers.bus.jetstream.read(DLQ.name, "penstock.dlq.JOBS", limit=10)
            assert [letter.data for letter in letters] == [bad]
            assert "Authorization" not in letters[0].headers

        await eventually(told)


async def test_what_does_not_fit_into_a_message_is_refused_and_the_connection_stays(
    peers: Peers, start: Start, client: Client, stream: JetStreamContext
) -> None:
    async with start():
        with pytest.raises(nats.errors.MaxPayloadError):
            await stream.publish(SUBJECT, b"x" * (MIB + 1))
        # it fits for its sender, and not with what is added when it is stored
        with pytest.raises(nats.js.errors.BadRequestError) as refused:
            await stream.publish(SUBJECT, b"x" * (MIB - 100))
        assert (refused.value.code, refused.value.err_code) == (400, 10054)
        assert await stored(peers) == 0
        reply = await client.request(SUBJECT, b"x" * (MIB - 100))
        assert reply.headers is not None
        assert reply.headers["Nats-Service-Error-Code"] == "too_large"
        failure = json.loads(reply.data)
        assert failure["code"] == "too_large" and failure["error"]["code"] == 400
        large = await stream.publish(SUBJECT, body("job_a", input="x" * (MIB - 8192)), headers=headers(peers))
        assert large.seq == 1
        assert (await peers.ended("job_a")).state == "completed"


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("Nats-Expected-Stream", "EVENTS", 10060),
        ("Nats-Expected-Last-Sequence", "7", 10003),
        ("Nats-Expected-Last-Subject-Sequence", "0", 10003),
        ("Nats-Expected-Last-Msg-Id", "m0", 10003),
        ("Nats-Rollup", "all", 10003),
        ("Nats-TTL", "1s", 10003),
        ("Nats-Schedule", "@at 2030-01-01T00:00:00Z", 10003),
    ],
)
async def test_a_condition_that_would_not_be_kept_is_refused(
    peers: Peers, start: Start, stream: JetStreamContext, name: str, value: str, number: int
) -> None:
    async with start():
        with pytest.raises(nats.js.errors.BadRequestError) as refused:
            await stream.publish(SUBJECT, body("job_a"), headers=headers(peers) | {name: value})
        assert refused.value.err_code == number
        assert await stored(peers) == 0


@pytest.mark.parametrize("kind", ["a!b", "x" * 65, "caf\u00e9"])
async def test_a_kind_that_may_not_stand_in_a_subject_is_refused(
    peers: Peers, start: Start, stream: JetStreamContext, kind: str
) -> None:
    async with start():
        with pytest.raises(nats.js.errors.BadRequestError):
            await stream.publish(f"penstock.v1.acme.jobs.{kind}", body("job_a"))
        assert await stored(peers) == 0


async def test_what_a_publisher_says_of_tenant_run_and_body_elsewhere_is_not_believed(
    peers: Peers, start: Start, stream: JetStreamContext
) -> None:
    lies = {"Penstock-Tenant": "umbrella", "Penstock-Epoch": "9", "Penstock-Blob": "blob_1:17", "Penstock-Step": "s"}
    async with start():
        await stream.publish(SUBJECT, body("job_a"), headers=headers(peers) | lies)
        assert (await peers.ended("job_a")).state == "completed"
    records = await peers.bus.jetstream.read("DLQ", "penstock.dlq.JOBS", limit=10)
    assert records == []


async def test_with_no_orchestrator_a_publisher_is_told_at_once_and_nothing_is_kept(
    peers: Peers, start: Start, client: Client, stream: JetStreamContext
) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await stream.publish(SUBJECT, body("job_a"), headers=headers(peers))
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request(SUBJECT, body("job_a"), headers=headers(peers))
    assert asyncio.get_running_loop().time() - began < 1.0
    assert await stored(peers) == 0
    async with start():
        await stream.publish(SUBJECT, body("job_a"), headers=headers(peers))
        assert (await peers.ended("job_a")).state == "completed"
    assert await stored(peers) == 1


async def test_penstocks_own_client_tries_until_an_orchestrator_is_there(
    peers: Peers, start: Start, secured: Secured
) -> None:
    token = peers.signer.token()
    async with await Penstock.connect(
        secured.broker.url, tenant="acme", seed_file=secured.seed("tenant-acme"), token=token
    ) as plane:
        publishing = asyncio.create_task(plane.publish(job("chat", "hi", id="job_a")))
        assert await stored(peers) == 0
        async with start():
            assert (await asyncio.wait_for(publishing, 10)).id == "job_a"
            assert (await plane.wait("job_a", timeout_s=10)).state == "completed"
        assert await stored(peers) == 1


async def test_penstocks_own_client_is_told_why_a_job_is_not_taken_in(
    peers: Peers, start: Start, secured: Secured, client: Client
) -> None:
    async with (
        start(deposits_waiting_max_bytes=10),
        await Penstock.connect(
            secured.broker.url, tenant="acme", seed_file=secured.seed("tenant-acme"), token="x"
        ) as plane,
    ):
        reply = await client.request(SUBJECT, b"0123456789a", timeout=5)
        failure = read_failure(reply.data)
        assert (failure.code, failure.retry_after_s) == (Code.OVERLOADED, 1.0)
        with pytest.raises(Failure) as refused:
            await plane.publish(job("chat", "hi", id="job_a"))
        assert refused.value.code is Code.OVERLOADED
        with pytest.raises(Failure) as refused:
            await plane.publish(job("chat", "x" * MIB, id="job_a"))
        assert refused.value.code is Code.TOO_LARGE


async def test_a_full_queue_is_said_as_a_stream_says_it(peers: Peers, start: Start, stream: JetStreamContext) -> None:
    info = await peers.bus.jetstream.ask("STREAM.INFO.JOBS", {}, dict[str, msgspec.Raw], "JOBS")
    async with start():
        config = msgspec.json.decode(info["config"]) | {"max_bytes": 100}
        await peers.bus.jetstream.ask("STREAM.UPDATE.JOBS", config, dict[str, msgspec.Raw], "JOBS")
        with pytest.raises(nats.js.errors.ServiceUnavailableError) as refused:
            await stream.publish(SUBJECT, body("job_a", input="x" * 200))
        assert (refused.value.code, refused.value.err_code) == (503, 10077)


async def test_above_the_bound_of_what_waits_a_publisher_is_refused(
    peers: Peers, start: Start, stream: JetStreamContext
) -> None:
    async with start(deposits_waiting_max_bytes=2000):
        with pytest.raises(nats.js.errors.ServiceUnavailableError):
            await stream.publish(SUBJECT, body("job_a", input="x" * 2000))
        assert await stored(peers) == 0
        await stream.publish(SUBJECT, body("job_a"))
        assert await stored(peers) == 1


async def test_a_tenant_that_publishes_too_fast_is_told_when_to_come_again_and_nobody_else_is(
    peers: Peers, start: Start, stream: JetStreamContext, client: Client
) -> None:
    async with start(deposits_tenant_per_minute_max=2):
        for id in ("job_a", "job_b"):
            await stream.publish(SUBJECT, body(id))
        reply = await client.request(SUBJECT, body("job_c"), timeout=5)
        failure = read_failure(reply.data)
        assert failure.code is Code.RATE_LIMITED
        assert 20 < failure.retry_after_s <= 30
        with pytest.raises(nats.js.errors.APIError) as refused:
            await stream.publish(SUBJECT, body("job_c"))
        assert refused.value.code == 429
        assert await stored(peers) == 2


async def test_a_crowd_of_empty_messages_is_bounded_too(peers: Peers, start: Start, client: Client) -> None:
    async with start(deposits_max=1, deposits_waiting_max_bytes=20_000) as host:
        for _ in range(2000):
            await client.publish(SUBJECT, b"")
        await client.flush()

        async def turned_away() -> None:
            label = {"endpoint": "penstock.v1.{tenant}.jobs.{kind}", "code": "overloaded"}
            assert (host.metrics.registry.get_sample_value("penstock_calls_total", label) or 0) > 100

        await eventually(turned_away)


async def test_a_publish_over_a_restart_of_the_broker_is_one_job(
    peers: Peers, start: Start, stream: JetStreamContext, broker: NatsServer
) -> None:
    async with start():

        async def one_job() -> JobView:
            page = await peers.bus.call(JOB_LIST, JobListRequest(), peers.meta(), timeout_s=5, tenant="acme")
            assert len(page.jobs) == 1
            return page.jobs[0]

        # nothing but the message's id says that it is the same job
        await stream.publish(SUBJECT, body(), headers=numbered(peers, "m1"))
        await eventually(one_job)
        await broker.restart()

        async def again() -> None:
            try:
                ack = await stream.publish(SUBJECT, body(), headers=numbered(peers, "m1"), timeout=2)
            except (nats.errors.Error, nats.js.errors.Error) as error:
                raise AssertionError(error) from error
            assert ack.duplicate or ack.seq > 1  # a queue that was restarted has forgotten what was taken from it

        await eventually(again, 20)
        taken = await eventually(one_job, 20)
        await peers.ended(taken.id, within_s=20)
        await drained(peers)
        assert (await one_job()).id == taken.id
        assert peers.model_calls.total() == 1


async def test_killed_between_storing_and_answering_it_is_one_job_when_its_publisher_tries_again(
    peers: Peers, start: Start, stream: JetStreamContext, secured: Secured
) -> None:
    arguments = [secured.broker.url, secured.seed("orchestrator")]
    async with module_process("tests.support.dying_intake", arguments) as dying:
        await dying.says("taking in")
        with pytest.raises(nats.errors.TimeoutError):
            await stream.publish(SUBJECT, body("job_a"), headers=numbered(peers, "m1"), timeout=1)
        assert await dying.child.exited() == -9
    assert await stored(peers) == 1
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await stream.publish(SUBJECT, body("job_a"), headers=numbered(peers, "m1"))
    async with start():
        ack = await stream.publish(SUBJECT, body("job_a"), headers=numbered(peers, "m1"))
        assert (ack.seq, ack.duplicate) == (1, True)
        assert (await peers.ended("job_a")).state == "completed"
    assert await stored(peers) == 1
    assert peers.model_calls.total() == 1


async def test_what_was_taken_in_before_a_stop_is_stored(peers: Peers, client: Client, config: Config) -> None:
    count = 300
    async with running(orchestrator, config, "orchestrator", log=Log(lambda _: None, level="debug")) as host:
        for number in range(count):
            await client.publish(SUBJECT, b"not a job: %d" % number)
        await client.flush()
        assert host.parts is not None
    assert await stored(peers) == count


def test_the_queue_is_no_subject_of_a_tenant() -> None:
    assert JOBS.subjects == ("penstock.job.*.*",)
