"""What a tenant's own NATS client may send, badly: it is told what is wrong, and nobody else is held up."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import pytest

from penstock.bus import Bus
from penstock.bus.permissions import SETUP
from penstock.client import FINAL_EVENTS
from penstock.contracts import meta as names
from penstock.contracts.endpoint import TENANT_CLIENT, Call
from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.ids import job_id
from penstock.contracts.jobs import JobEvent, JobEventsRequest, JobListRequest, JobRef
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import ENDPOINTS, JOB_EVENTS, JOB_GET, JOB_LIST, JOB_PUBLISH
from services.policy.identity.key_file import revoke_key
from tests.faults.proof import completed
from tests.faults.world import World
from tests.support.eventually import eventually
from tests.support.launched import TENANT, LaunchedPlane

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Bad:
    """A job that cannot be, on the subject of `kind`, and the code that its sender is told. Known by its key, which
    is its name, unless `key` says another."""

    name: str
    kind: str
    body: bytes
    code: str = "invalid"
    key: str = ""

    @property
    def job(self) -> str:
        return job_id(TENANT, self.key or self.name)


def chat(**fields: object) -> bytes:
    return msgspec.json.encode({"kind": "chat", "input": "hi", **fields})


REFUSED = [
    Bad("empty", "chat", b""),
    Bad("garbage", "chat", b"\x00\x01\x02 not json"),
    Bad("cut", "chat", b'{"kind":"chat","inp'),
    Bad("number", "chat", b"17"),
    Bad("list", "chat", b"[]"),
    Bad("nothing", "chat", b"{}"),
    Bad("no-input", "chat", b'{"kind":"chat"}'),
    Bad("null-input", "chat", chat(input=None)),
    Bad("empty-input", "chat", chat(input="")),
    Bad("wrong-type", "chat", chat(budget="much")),
    Bad("misspelt", "chat", chat(buget={"usd": 1})),
    Bad("unknown-kind", "chat", chat(kind="dance")),
    Bad("other-kind", "chat", chat(kind="agent", agent="clerk")),
    Bad("strange-kind", "dance", chat()),
    Bad("no-text", "chat", b'{"kind":"chat","input":"\xff\xfe"}'),
    Bad("no-text-inside", "chat", b'{"kind":"chat","input":{"messages":[{"role":"user","content":"\xff"}]}}'),
    Bad("half-a-pair", "chat", b'{"kind":"chat","input":"\\ud800"}'),
    Bad("deep", "chat", b'{"kind":"chat","input":{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"),
    Bad("deep-object", "chat", b'{"kind":"chat","input":' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"}"),
    Bad("no-messages", "chat", chat(input={"messages": []})),
    Bad("strange-message", "chat", chat(input={"messages": [17]})),
    Bad("agent-options", "agent", chat(kind="agent", agent="clerk", input={"messages": [{"role": "user"}], "n": 1})),
    Bad("dotted-id", "chat", chat(id="a.b")),
    Bad("wild-id", "chat", chat(id="*")),
    Bad("long-id", "chat", chat(id="x" * 65)),
    Bad("wild-session", "chat", chat(session="a b >")),
    Bad("wild-collection", "retrieve", chat(kind="retrieve", collection=">")),
    Bad("long-key", "chat", chat(idempotency_key="k" * 5000), key="k" * 5000),
    Bad("many-labels", "chat", chat(labels={str(n): "x" for n in range(99)})),
    Bad("negative-budget", "chat", chat(budget={"usd": -1})),
    Bad("endless-budget", "chat", b'{"kind":"chat","input":"hi","budget":{"usd":1e999}}'),
    Bad("huge-number", "chat", b'{"kind":"chat","input":"hi","budget":{"tokens":' + b"9" * 4000 + b"}}"),
    Bad("negative-deadline", "chat", chat(deadline_s=-5)),
    Bad("no-agent", "agent", chat(kind="agent")),
    Bad("no-tool", "tool", chat(kind="tool", input={})),
    Bad("no-arguments", "tool", chat(kind="tool", tool="charge")),
    Bad("no-query", "retrieve", chat(kind="retrieve", input={"limit": 3})),
    Bad("no-document", "ingest", chat(kind="ingest", input={"source": "a"})),
    Bad("unknown-agent", "agent", chat(kind="agent", agent="nobody"), "not_found"),
]
FAILING = [
    # taken, and over when they are carried out
    Bad("unknown-model", "chat", chat(model="nothing-like-it"), "not_found"),
    Bad("unknown-tool", "tool", chat(kind="tool", tool="nothing_like_it", input={}), "not_found"),
]


async def publish(bus: Bus, kind: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Onto the jobs subject, as it is; returns when it is stored, as JetStream's clients do."""
    await bus.jetstream.publish(JOB_PUBLISH.subject.at(tenant=TENANT, kind=kind), body, headers, 5.0)


async def life(bus: Bus, token: str, job: str) -> list[JobEvent]:
    """The job's events as its submitter can ask for them, to the end; AssertionError before it."""
    try:
        request = JobEventsRequest(job)
        events = (await bus.call(JOB_EVENTS, request, Meta(token=token), timeout_s=10, tenant=TENANT)).events
    except Failure as failure:
        raise AssertionError(f"{job}: {failure}") from failure
    assert events and events[-1].type in FINAL_EVENTS, events
    return events


async def told(bus: Bus, token: str, bad: "Bad") -> tuple[str, list[str], str]:
    """The name of what was sent, the types of the events that came of it, and the code that it ended with."""

    async def over() -> list[JobEvent]:
        return await life(bus, token, bad.job)

    try:
        events = await eventually(over, 15, every_s=0.2)
    except AssertionError as problem:
        return bad.name, [], str(problem)
    error = events[-1].error
    assert error is not None and error.detail, bad.name
    return bad.name, [event.type for event in events], error.code


async def dead_letters(world: World) -> list[tuple[bytes, Mapping[str, str]]]:
    """Bodies and headers of all dead letters of the jobs' queue."""
    async with world.plane.bus(SETUP) as bus:
        return [(one.data, one.headers) for one in await bus.jetstream.read("DLQ", "penstock.dlq.JOBS", limit=5000)]


async def queue_is_empty(world: World) -> None:
    class Info(msgspec.Struct):
        num_pending: int
        num_ack_pending: int

    async with world.plane.bus(SETUP) as bus:

        async def empty() -> None:
            info = await bus.jetstream.ask("CONSUMER.INFO.JOBS.admit", {}, Info, "the jobs")
            assert (info.num_pending, info.num_ack_pending) == (0, 0)

        await eventually(empty, 15, every_s=0.1)


async def test_every_bad_job_is_refused_where_its_submitter_sees_it_and_kept(shared_world: World) -> None:
    world = shared_world
    token = await world.plane.token()
    async with world.plane.tenant_bus() as bus, world.plane.client() as client:
        for bad in (*REFUSED, *FAILING):
            await publish(
                bus, bad.kind, bad.body, {"Authorization": f"Bearer {token}", names.IDEMPOTENCY_KEY: bad.name}
            )
        await client.publish(world.chat("m1"))
        began = time.monotonic()
        await completed(world, client, "m1")
        assert time.monotonic() - began < 20, "the bad ones hold up the good one"
        for bad in REFUSED:
            assert await told(bus, token, bad) == (bad.name, ["refused"], bad.code)
        for bad in FAILING:
            name, types, code = await told(bus, token, bad)
            assert (name, types[-1], code) == (bad.name, "failed", bad.code)
    await queue_is_empty(world)
    letters = {headers.get(names.IDEMPOTENCY_KEY): (body, headers) for body, headers in await dead_letters(world)}
    for bad in REFUSED:
        kept, headers = letters[bad.name]
        assert (kept, headers[names.ERROR_CODE]) == (bad.body, bad.code), bad.name
        assert not {names.TOKEN, "Authorization"} & headers.keys(), bad.name
    assert not {bad.name for bad in FAILING} & letters.keys()


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.e30", "\u00ff.x.y", "x" * 20_000])
async def test_a_job_without_a_good_token_is_refused(shared_world: World, token: str) -> None:
    bad = Bad(f"token-{len(token)}-{token[:1].encode().hex()}", "chat", chat(), "unauthenticated")
    async with shared_world.plane.tenant_bus() as bus:
        await publish(bus, "chat", bad.body, {"Authorization": f"Bearer {token}", names.IDEMPOTENCY_KEY: bad.name})
        good = await shared_world.plane.token()
        assert await told(bus, good, bad) == (bad.name, ["refused"], "unauthenticated")


async def test_a_token_that_has_expired_and_one_whose_key_is_revoked_are_refused(shared_world: World) -> None:
    plane = shared_world.plane
    good = await plane.token()
    async with plane.tenant_bus() as bus:
        short = await plane.known_key(expires=time.time() + 4)
        tokens = {"expired": await plane.token(short)}
        long = await plane.known_key()
        tokens["revoked"] = await plane.token(long)
        revoke_key(plane.layout.config / "keys.json", long.split("_")[1], time.time())

        for key in (short, long):
            await eventually(lambda key=key: refused_key(plane, key), 10, every_s=0.2)  # type: ignore[misc]  # bound now
        for name, token in tokens.items():
            bad = Bad(name, "chat", chat(), "unauthenticated")
            await publish(bus, "chat", bad.body, {"Authorization": f"Bearer {token}", names.IDEMPOTENCY_KEY: name})
            assert await told(bus, good, bad) == (name, ["refused"], "unauthenticated")
            with pytest.raises(Failure) as refused:
                await bus.call(JOB_LIST, JobListRequest(), Meta(token=token), timeout_s=10, tenant=TENANT)
            assert refused.value.code is Code.UNAUTHENTICATED


async def refused_key(plane: LaunchedPlane, key: str) -> None:
    try:
        await plane.token(key)
    except Failure as failure:
        assert failure.detail == "the API key is not valid"
    else:
        raise AssertionError("the key is still good")


GARBAGE = [b"", b"{", b"\x00", b"\xff\xfe", b"null", b"17", b"[]", b'{"id":17}', b'{"id":"\xff"}', b"[" * 100_000]
CALLS = {
    name: endpoint
    for name, endpoint in ENDPOINTS.items()
    if isinstance(endpoint, Call) and TENANT_CLIENT in endpoint.called_by and endpoint is not JOB_PUBLISH
}
"""What is published as a job is taken in unread, and refused later (see above)."""
HEADERS: list[dict[str, str]] = [
    {},
    {names.DEADLINE: "soon"},
    {names.DEADLINE: "nan"},
    {names.DEADLINE: "-inf"},
    {names.DEADLINE: "1e999"},
    {names.EPOCH: "many"},
    {names.EPOCH: "9" * 5000},
    {names.BLOB: "x:y"},
    {names.BLOB: "../../x:17"},
    {names.BLOB: "blob_1:99999999999999"},
    {names.TENANT: "other"},
    {names.TRACEPARENT: "\u00fc" * 300},
]


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_answers_garbage_with_a_failure_at_once(shared_world: World, name: str) -> None:
    subject = CALLS[name].subject.at(tenant=TENANT)
    token = await shared_world.plane.token()
    async with shared_world.plane.tenant_bus() as bus:
        for body in GARBAGE:
            for headers in HEADERS:
                reply = await bus.connection.request(
                    subject, body, headers={names.TOKEN: token, **headers}, timeout_s=5
                )
                said = (name, body[:20], headers, reply.headers, reply.data[:200])
                if names.ERROR_CODE not in reply.headers:
                    assert (name, body) in HARMLESS, said
                    continue
                failure = msgspec.json.decode(reply.data, type=FailureBody)
                assert failure.code in PLAIN_WORDS, said
                assert failure.detail, said
        page = await bus.call(JOB_LIST, JobListRequest(limit=1), Meta(token=token), timeout_s=5, tenant=TENANT)
        assert len(page.jobs) <= 1


HARMLESS = {(name, b'{"id":17}') for name in ("JOB_LIST", "AUDIT_VERIFY", "APPROVAL_LIST", "ACCOUNTS")}
"""These have no such field, and a field that is not known is passed over."""
PLAIN_WORDS = {"invalid", "unauthenticated", "too_large", "not_found", "deadline", "denied"}
"""A tenant's mistakes are theirs, and never an internal error."""


async def test_nobody_publishes_for_another_tenant(shared_world: World) -> None:
    async with shared_world.plane.tenant_bus() as bus:
        with pytest.raises(Failure):
            await bus.jetstream.publish(JOB_PUBLISH.subject.at(tenant="other", kind="chat"), chat(), {}, 2.0)
        with pytest.raises(Failure):
            await bus.call(JOB_GET, JobRef("job_m1"), Meta(token="x"), timeout_s=2, tenant="other")
        assert bus.connected


async def test_a_message_beyond_the_brokers_limit_costs_only_its_sender(shared_world: World) -> None:
    async with shared_world.plane.tenant_bus() as bus, shared_world.plane.client() as client:
        with pytest.raises(Failure) as refused:
            await publish(bus, "chat", chat(input="x" * 2_000_000), {})
        assert refused.value.code is Code.TOO_LARGE
        await client.submit(shared_world.chat("m2"))
        await completed(shared_world, client, "m2")
