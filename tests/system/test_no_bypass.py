"""A deny is not walked around over the bus: each service, with its own credentials and nobody else's, tries what is
not its business, on a real broker with the generated permissions."""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from penstock.bus import Bus
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import SETUP, service_grants, setup_grants
from penstock.bus.server_config import BusUser, render
from penstock.contracts import governance
from penstock.contracts.approvals import KeptApproval
from penstock.contracts.audit import DECISION, Batch, DecisionRecord, OutcomeRecord, Who
from penstock.contracts.bundles import Sources, Standing
from penstock.contracts.delegation import Link
from penstock.contracts.endpoint import Bucket, Call, Event, Journal, Stream, Work
from penstock.contracts.errors import Code, Failure
from penstock.contracts.keys import KeptKey, Revocation
from penstock.contracts.meta import Meta
from penstock.contracts.policy import AccountQuery, Delegate, Question, Questions
from penstock.contracts.services import (
    AUDIT,
    CONTEXT,
    DATA_PLANE,
    GATEWAY,
    ORCHESTRATOR,
    POLICY,
    ROUTER,
    SERVICES,
    TOOLS,
)
from penstock.contracts.stores import STORES
from penstock.contracts.subjects import ENDPOINTS
from penstock.kit.config import Secret
from penstock.kit.identity import Claims
from penstock.kit.recorder import envelope
from penstock.kit.service import running
from services.policy.config import Config
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.identity.tokens import signer_at
from services.policy.main import build
from tests.libs.contracts.samples import ON_THE_WIRE
from tests.services.policy.conftest import call_tool, complete
from tests.support.eventually import eventually
from tests.support.intruders import House
from tests.support.nats_server import nats_server
from tests.support.rights import concrete
from tests.support.valkey_server import ValkeyServer

MAY_ASK = {
    GATEWAY: {ROUTER, TOOLS, CONTEXT, ORCHESTRATOR, POLICY, AUDIT},
    ORCHESTRATOR: {ROUTER, TOOLS, CONTEXT, POLICY, ORCHESTRATOR},
    CONTEXT: {ROUTER, POLICY},
    ROUTER: {POLICY},
    TOOLS: {POLICY},
    POLICY: set[str](),
    AUDIT: set[str](),
}
"""Who has business with whom. What they ask there is decided, by the token that goes with it."""
MAY_ASK_POLICY = {
    ROUTER: {"POLICY_AUTHENTICATE", "POLICY_EVALUATE", "POLICY_EVALUATIONS", "POLICY_BALANCES"},
    TOOLS: {"POLICY_EVALUATE", "POLICY_EVALUATIONS"},
    CONTEXT: {"POLICY_EVALUATE", "POLICY_EVALUATIONS"},
    ORCHESTRATOR: {"POLICY_EVALUATE", "POLICY_EVALUATIONS", "POLICY_DELEGATE", "POLICY_BALANCES"},
}
"""Nobody but the gateway speaks for tenants: looks after keys, answers approvals, publishes bundles, revokes runs."""
PRIVATE = ("api_keys", "bundles", "bundle_pointer", "approvals", "chains")
"""Buckets of policy that it alone reads."""
SHOWN = ("keys", "revocations")
"""Buckets of policy that all read."""
Kind = TypeVar("Kind")
OTHERS = tuple(name for name in SERVICES if name != POLICY)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    seeds = tmp_path / "seeds"
    users = [BusUser(name, load_or_make(seeds / name), service_grants(name)) for name in SERVICES]
    users.append(BusUser(SETUP, load_or_make(seeds / SETUP), setup_grants()))
    async with nats_server(render(users)) as broker, AsyncExitStack() as stack:
        house = House(broker, seeds, stack)
        await (await house.bus(SETUP)).prepare()
        yield house


def asked_at(endpoint: object) -> list[str]:
    """Every subject at which this is asked for, as services or tenants do."""
    if isinstance(endpoint, Call):
        return [concrete(endpoint.subject), *([concrete(endpoint.inside)] if endpoint.inside is not None else [])]
    return [concrete(endpoint.subject)] if isinstance(endpoint, Stream) else []


def calls() -> list[tuple[str, Call[object, object] | Stream[object, object]]]:
    return [(name, one) for name, one in ENDPOINTS.items() if isinstance(one, Call | Stream)]


async def test_these_tests_would_notice_what_is_let_through(house: House) -> None:
    client = await house.intruder(ROUTER)
    may = ["penstock.policy.evaluate", "penstock.audit.acme.router", "$JS.API.DIRECT.GET.KV_keys"]
    assert await house.tries(client, ROUTER, [*may, "penstock.policy.delegate"]) == sorted(may)
    assert await house.listens(client, ROUTER, ["$KV.revocations.>", "$KV.bundles.>"]) == ["$KV.revocations.>"]


@pytest.mark.parametrize("name", SERVICES)
async def test_who_has_no_business_with_a_service_does_not_reach_it(house: House, name: str) -> None:
    client = await house.intruder(name)
    strangers = [subject for _, one in calls() if one.answered_by not in MAY_ASK[name] for subject in asked_at(one)]
    assert await house.tries(client, name, strangers) == []


@pytest.mark.parametrize("name", sorted(MAY_ASK_POLICY))
async def test_of_policy_a_service_may_ask_for_decisions_and_nothing_that_people_ask_for(
    house: House, name: str
) -> None:
    client = await house.intruder(name)
    subjects = [
        subject
        for endpoint, one in calls()
        if one.answered_by == POLICY and endpoint not in MAY_ASK_POLICY[name]
        for subject in asked_at(one)
    ]
    assert len(set(subjects)) > 20
    assert await house.tries(client, name, subjects) == []


@pytest.mark.parametrize("name", OTHERS)
async def test_nobody_answers_in_the_name_of_policy(house: House, name: str) -> None:
    client = await house.intruder(name)
    policys = [subject for _, one in calls() if one.answered_by == POLICY for subject in asked_at(one)]
    wide = ["penstock.policy.>", "penstock.policy.*", "penstock.>", ">", "penstock.api.>", "penstock.v1.>", "*.>"]
    assert await house.listens(client, name, [*policys, *wide]) == []
    assert await house.listens(client, name, policys, queue="policy") == []
    # nor does it hear a question's answer, which would tell it where answers go
    inboxes = [f"_INBOX.{other}.>" for other in SERVICES if other != name]
    assert await house.listens(client, name, [*inboxes, "_INBOX.>", "_INBOX.*.>"]) == []


@pytest.mark.parametrize("name", SERVICES)
async def test_nobody_answers_in_the_name_of_another_service(house: House, name: str) -> None:
    client = await house.intruder(name)
    subjects = [subject for _, one in calls() if one.answered_by != name for subject in asked_at(one)]
    assert await house.listens(client, name, subjects) == []


async def kept(house: House) -> tuple[Bus, dict[str, int]]:
    """Policy with something in each of its buckets, and their revisions."""
    bus = await house.bus(POLICY)
    values = list(ON_THE_WIRE)
    revisions = {
        "api_keys": await bus.bucket(governance.API_KEYS).put("acme", _one(values, KeptKey)),
        "bundles": await bus.bucket(governance.BUNDLES).put("acme", _one(values, Sources)),
        "bundle_pointer": await bus.bucket(governance.BUNDLE_POINTER).put("acme", _one(values, Standing)),
        "approvals": await bus.bucket(governance.APPROVALS).put("acme", _one(values, KeptApproval)),
        "chains": await bus.bucket(governance.CHAINS).put("acme", _one(values, Link)),
        "revocations": await bus.bucket(governance.REVOCATIONS).put("acme", _one(values, Revocation)),
    }
    return bus, revisions


def _one(values: list[msgspec.Struct], kind: type[Kind]) -> Kind:
    (found,) = [value for value in values if isinstance(value, kind)]
    return found


def reading(bucket: str) -> list[str]:
    """Every way to get at what a bucket holds."""
    stream = f"KV_{bucket}"
    return [
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.$KV.{bucket}.acme",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.spy",
        f"$JS.API.CONSUMER.CREATE.{stream}.spy.$KV.{bucket}.acme",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.spy",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.spy",
        f"$JS.API.STREAM.SNAPSHOT.{stream}",
    ]


def writing(bucket: str) -> list[str]:
    """Every way to change it."""
    stream = f"KV_{bucket}"
    return [
        f"$KV.{bucket}.acme",
        f"$KV.{bucket}.run.acme.run_1",
        f"$JS.API.STREAM.MSG.DELETE.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.STREAM.DELETE.{stream}",
        f"$JS.API.STREAM.UPDATE.{stream}",
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.STREAM.RESTORE.{stream}",
        "$JS.API.STREAM.CREATE.MINE",
    ]


@pytest.mark.parametrize("name", OTHERS)
async def test_nobody_but_policy_writes_what_policy_knows_or_reads_what_is_its_own(house: House, name: str) -> None:
    bus, revisions = await kept(house)
    client = await house.intruder(name)
    # the notary shows its public key in the bucket `keys`; it is believed for its own signatures alone
    written = [bucket for bucket in (*PRIVATE, *SHOWN) if (name, bucket) != (AUDIT, "keys")]
    assert await house.tries(client, name, [subject for bucket in written for subject in writing(bucket)]) == []
    assert await house.tries(client, name, [subject for bucket in PRIVATE for subject in reading(bucket)]) == []
    assert await house.listens(client, name, [f"$KV.{bucket}.>" for bucket in PRIVATE] + ["$KV.>", "$JS.>"]) == []
    for bucket, revision in revisions.items():
        entry = await bus.bucket(_bucket(bucket)).get("acme", fresh=True)
        assert entry is not None
        assert entry.revision == revision


def _bucket(name: str) -> Bucket[msgspec.Struct]:
    (found,) = [one for one in ENDPOINTS.values() if isinstance(one, Bucket) and one.name == name]
    return found


@pytest.mark.parametrize("name", SERVICES)
async def test_nobody_writes_records_in_the_name_of_another_service(house: House, name: str) -> None:
    client = await house.intruder(name)
    own = f"penstock.audit.acme.{name}"
    subjects = [f"penstock.audit.acme.{other}" for other in (*SERVICES, "nobody") if other != name]
    assert await house.tries(client, name, [*subjects, *([own] if name == AUDIT else [])]) == []
    undo = [
        f"$JS.API.{verb}.AUDIT"
        for verb in ("STREAM.MSG.DELETE", "STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.RESTORE")
    ]
    assert await house.tries(client, name, undo) == []


@pytest.mark.parametrize("name", SERVICES)
async def test_nobody_puts_into_a_stream_or_bucket_what_is_anothers_to_put_there(house: House, name: str) -> None:
    client = await house.intruder(name)
    subjects: list[str] = []
    for one in ENDPOINTS.values():
        if isinstance(one, Event | Work | Journal) and name not in _writers(one):
            subjects += [concrete(one.subject)]
        elif isinstance(one, Bucket) and name not in one.written_by:
            subjects += [f"$KV.{one.name}.k"]
    subjects += [f"$JS.API.STREAM.PURGE.{store.name}" for store in STORES]
    assert len(subjects) > 10
    assert await house.tries(client, name, subjects) == []
    if name != ORCHESTRATOR:
        # nor may it take others' work or their notes of it
        streams = ("JOBS", "RUNS", "KV_jobs", "KV_workers")
        took = [f"$JS.API.CONSUMER.MSG.NEXT.{stream}.workers" for stream in streams]
        took += [f"$JS.API.DIRECT.GET.{stream}" for stream in streams]
        took += [f"$JS.API.STREAM.MSG.GET.{stream}" for stream in streams]
        assert await house.tries(client, name, took) == []


def _writers(endpoint: Event[object] | Work[object] | Journal[object]) -> tuple[str, ...]:
    match endpoint:
        case Event():
            return endpoint.emitted_by
        case Work():
            return endpoint.assigned_by
        case Journal():
            return endpoint.written_by


# With a policy that is there ----------------------------------------------------------------------------------------


@dataclass
class Governed:
    """The house with policy in it, and a key of two tenants."""

    house: House
    folder: Path
    keys: dict[str, str]
    config: Config

    async def token(self, tenant: str = "acme") -> str:
        gateway = await self.house.bus(GATEWAY)
        asked = governance.POLICY_AUTHENTICATE.request(self.keys[tenant])
        return (await gateway.call(governance.POLICY_AUTHENTICATE, asked, Meta(), timeout_s=5)).token


@pytest.fixture
async def governed(house: House, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Governed]:
    folder = tmp_path / "policy"
    folder.mkdir()
    wanted = ApiKey("", "", "acme", "user:alice", scopes=("tool.call", "model.complete"), tools=("sql",))
    keys = {
        tenant: create_key(folder / "keys.json", msgspec.structs.replace(wanted, tenant=tenant), now=1.0)[1]
        for tenant in ("acme", "umbrella")
    }
    (folder / "accounts.yaml").write_text('acme: {"user:alice": {usd: 0.000001}}', encoding="utf-8")
    config = Config(
        nats_url=house.broker.url,
        nats_seed_file=str(house.seeds / POLICY),
        store_url=Secret(valkey.url),
        data_dir=str(folder),
        drain_s=2.0,
    )
    async with running(build, config, POLICY):
        yield Governed(house, folder, keys, config)


@pytest.mark.parametrize("name", DATA_PLANE)
async def test_a_service_gets_no_decision_without_a_token_nor_with_one_that_it_made(
    governed: Governed, name: str, tmp_path: Path
) -> None:
    """What a service may ask of policy it may ask for somebody: nothing is decided for the service itself."""
    bus = await governed.house.bus(name)
    real = await governed.token()
    forger = signer_at(tmp_path / "forged.pem")
    forged = forger.sign(Claims("acme", "user:root", time.time() + 60, scopes=("*",), tools=("*",))).token
    head, payload, signature = real.split(".")
    for token in ("", "a.b.c", forged, f"{head}.{payload}.", f"{head}.{forged.split('.')[1]}.{signature}"):
        meta = Meta(token=token)
        await _unknown(bus.call(governance.POLICY_EVALUATE, call_tool("sql"), meta, timeout_s=5))
        await _unknown(bus.call(governance.POLICY_EVALUATIONS, Questions([call_tool("sql")]), meta, timeout_s=5))
        if name in governance.POLICY_DELEGATE.called_by:
            await _unknown(bus.call(governance.POLICY_DELEGATE, Delegate("run_1", "agent:a"), meta, timeout_s=5))
        if name in governance.POLICY_BALANCES.called_by:
            await _unknown(bus.call(governance.POLICY_BALANCES, AccountQuery(), meta, timeout_s=5))
    for asked, permitted in ((call_tool("sql"), True), (call_tool("shell"), False), (_other_tenants(), False)):
        decision = await bus.call(governance.POLICY_EVALUATE, asked, Meta(token=real), timeout_s=5)
        assert decision.decision is permitted
    with pytest.raises(Failure) as raised:
        await bus.call(governance.POLICY_EVALUATE, call_tool("sql"), Meta(tenant="umbrella", token=real), timeout_s=5)
    assert raised.value.code is Code.DENIED


async def _unknown(asking: Awaitable[Kind]) -> None:
    with pytest.raises(Failure) as raised:
        await asking
    assert raised.value.code is Code.UNAUTHENTICATED


def _other_tenants() -> Question:
    return call_tool("sql", tenant="umbrella")


@pytest.mark.parametrize("name", [one for one in DATA_PLANE if one != POLICY])
async def test_a_decision_that_a_service_wrote_itself_moves_no_money(governed: Governed, name: str) -> None:
    bus = await governed.house.bus(name)
    forged = DecisionRecord(
        decision="dec_forged",
        attempt="att_forged",
        effect="allow",
        who=Who("user:alice"),
        action="model.complete",
        resource='Model::"default"',
        bundle="0f",
        accounts=("user:alice",),
        reserved_nano=900,
        outcome_due=time.time() + 600,
    )
    record = envelope(forged, service=POLICY, tenant="acme", now=time.time())
    assert record.type == DECISION
    await bus.emit(governance.AUDIT_BATCH, Batch([record]), Meta(), tenant="acme", service=name)
    token = await governed.token()
    router = await governed.house.bus(ROUTER)
    # all of the money is there, for whom policy lets have it
    decision = await router.call(
        governance.POLICY_EVALUATE, complete(1000, attempt="att_1"), Meta(token=token), timeout_s=5
    )
    assert decision.decision
    over = OutcomeRecord(decision=decision.context.id, attempt="att_1", status="ok", cost_nano=400)
    settled = envelope(over, service=ROUTER, tenant="acme", now=time.time())
    await router.emit(governance.AUDIT_BATCH, Batch([settled]), Meta(), tenant="acme", service=ROUTER)

    async def told() -> None:
        (balance,) = (
            await router.call(governance.POLICY_BALANCES, AccountQuery(), Meta(token=token), timeout_s=5)
        ).accounts
        assert (balance.account, balance.committed_nano, balance.reserved_nano) == ("user:alice", 400, 0)

    await eventually(told)


async def test_nobody_learns_a_tenants_key_by_asking_for_it(governed: Governed) -> None:
    """Only where keys come in can they be exchanged: at the edge, and for the router's own probes."""
    for name in (TOOLS, CONTEXT, ORCHESTRATOR, AUDIT):
        client = await governed.house.intruder(name)
        subjects = asked_at(governance.POLICY_AUTHENTICATE) + asked_at(governance.TOKEN)
        assert await governed.house.tries(client, name, subjects) == []


async def test_a_run_that_a_service_makes_up_is_no_more_than_its_parent(governed: Governed) -> None:
    """An orchestrator that was taken over asks for more in the name of who has submitted a job."""
    bus = await governed.house.bus(ORCHESTRATOR)
    token = await governed.token()
    asked = Delegate("run_1", "agent:root", ("*", "tools:destructive", "key:admin"), ("*",), 0, 0, 10**6)
    child = await bus.call(governance.POLICY_DELEGATE, asked, Meta(token=token), timeout_s=5)
    assert (child.tenant, child.subject) == ("acme", "user:alice")
    assert child.scopes == ("tool.call", "model.complete")
    for question in (call_tool("shell"), complete(1001)):
        decision = await bus.call(governance.POLICY_EVALUATE, question, Meta(token=child.token), timeout_s=5)
        assert not decision.decision
