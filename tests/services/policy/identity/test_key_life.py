"""Keys through the plane: made, shown, renewed, ended, by who may."""

import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import (
    API_KEYS,
    KEY_CREATE,
    KEY_EXPIRE,
    KEY_LIST,
    KEY_REVOKE,
    KEY_ROTATE,
    KEY_SHOW,
    REVOCATIONS,
)
from penstock.contracts.keys import (
    KeyCreate,
    KeyExpire,
    KeyLimit,
    KeyListRequest,
    KeyRef,
    KeyRevoke,
    KeyRotate,
    KeyView,
    credential,
    digest_of,
    new_secret,
)
from penstock.contracts.meta import Meta
from services.policy.identity.key_file import revoke_key
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.support.eventually import eventually

ADMIN = ("*", "key:admin")


class Desk:
    """Somebody with a key, as the gateway asks for them."""

    def __init__(self, plane: Plane, bus: Bus, token: str) -> None:
        self._plane = plane
        self._bus = bus
        self.token = token

    @property
    def meta(self) -> Meta:
        return Meta(token=self.token)

    async def create(self, secret: object = "", tenant: object = "acme", **wanted: object) -> tuple[KeyView, str]:
        secret = str(secret or new_secret())
        asked = msgspec.convert({"digest": digest_of(secret), **wanted}, KeyCreate)
        view = await self._bus.call(KEY_CREATE, asked, self.meta, tenant=str(tenant))
        return view, credential(view.id, secret)

    async def show(self, id: str) -> KeyView:
        return await self._bus.call(KEY_SHOW, KeyRef(id), self.meta, tenant="acme")

    async def rotate(self, id: str, grace_s: float = 0.0) -> str:
        secret = new_secret()
        await self._bus.call(KEY_ROTATE, KeyRotate(id, digest_of(secret), grace_s), self.meta, tenant="acme")
        return credential(id, secret)

    async def list(self, **page: object) -> list[KeyView]:
        asked = msgspec.convert(page, KeyListRequest)
        return list((await self._bus.call(KEY_LIST, asked, self.meta, tenant="acme")).keys)

    async def expire(self, id: str, at: float) -> KeyView:
        return await self._bus.call(KEY_EXPIRE, KeyExpire(id, at), self.meta, tenant="acme")

    async def revoke(self, id: str, *, below: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        revoked = await self._bus.call(KEY_REVOKE, KeyRevoke(id, below), self.meta, tenant="acme")
        return revoked.ids, revoked.left


@pytest.fixture
async def gateway(plane: Plane) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusConfig(url=plane.broker.url, principal="gateway"))
    yield bus
    await bus.close()


async def desk(plane: Plane, gateway: Bus, key: str) -> Desk:
    return Desk(plane, gateway, (await plane.authenticate(key)).token)


async def refused(plane: Plane, key: str) -> None:
    with pytest.raises(Failure) as caught:
        await plane.authenticate(key)
    assert (caught.value.code, caught.value.detail) == (Code.UNAUTHENTICATED, "the API key is not valid")


async def test_a_key_is_made_used_shown_and_kept_as_a_digest_only(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN, team="ops")
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        view, key = await admin.create(name="nightly", scopes=["model.*"], limits=[{"cost_nano": 5 * 10**9}])
        assert (view.subject, view.team, view.scopes, view.state) == ("user:alice", "ops", ("model.*",), "usable")
        assert view.limits == (KeyLimit(cost_nano=5_000_000_000),)
        identity = await plane.authenticate(key)
        assert (identity.key, identity.tenant, identity.scopes) == (view.id, "acme", ("model.*",))
        assert (await plane.evaluate(complete(), identity.token)).decision
        assert not (await plane.evaluate(call_tool("search"), identity.token)).decision
        assert await admin.show(view.id) == view
        assert [one.id for one in await admin.list() if one.source == "plane"] == [view.id]
        entry = await plane.bus.bucket(API_KEYS).get(view.id)
        assert entry is not None
        secret = key.split("_", 2)[2]
        assert entry.value.digest == digest_of(secret)
        everything = [str(await plane.records()), *plane.lines, str(msgspec.json.encode(entry.value))]
        assert not [text for text in everything if secret in text]


async def test_the_same_secret_twice_is_one_key(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        secret = new_secret()
        assert (await admin.create(secret))[0].id == (await admin.create(secret))[0].id
        assert len(await plane.bus.bucket(API_KEYS).keys()) == 1


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"scopes": ["tool.call"]}, "you do not hold the scope tool.call"),
        ({"scopes": ["*", "tools:destructive"]}, "you do not hold the scope tools:destructive"),
        ({"scopes": ["model.*", "\uff4dodel.complete"]}, "is not a scope"),
        ({"tools": ["shell"]}, "you may not call the tool 'shell'"),
        ({"expires": 4_000_000_000}, "expires is later than your own key allows"),
        ({"expires": 1}, "expires must be a time to come"),
        ({"subject": "user:bob"}, "keys of another subject or team need the scope key:subjects"),
        ({"subject": "user:\u0430lice"}, "write user:<name> or workload:<name>"),
        ({"team": "finance"}, "keys of another subject or team need the scope key:subjects"),
        ({"agent": "researcher"}, "write agent:<name>"),
        ({"name": "a\u202eb"}, "name must be at most 100 printable characters"),
        ({"limits": [{"tokens": -1}]}, "a limit must be 0"),
        ({"limits": [{"period": "decade", "tokens": 1}]}, "limits: Invalid enum value 'decade'"),
        ({"digest": "0f"}, "digest must be the SHA-256 of a new secret"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
async def test_a_key_is_never_more_than_its_maker(
    plane: Plane, gateway: Bus, wanted: dict[str, object], why: str
) -> None:
    ends = time.time() + 3600
    admin_key = plane.key(scopes=("model.*", "key.*", "key:admin"), tools=("search",), expires=ends, team="ops")
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        with pytest.raises(Failure) as caught:
            await admin.create(**wanted)
        assert caught.value.code in (Code.DENIED, Code.INVALID)
        assert why in caught.value.detail
        view, _ = await admin.create()
        assert (view.scopes, view.tools, view.expires) == (("model.*", "key.*"), ("search",), ends)


async def test_what_a_key_spends_is_spent_by_the_key_that_made_it(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN, usd=1)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        tokens = []
        for _ in range(2):
            _, key = await admin.create(limits=[{"cost_nano": 900_000_000}])
            tokens.append((await plane.authenticate(key)).token)
        first = await plane.evaluate(complete(cost_nano=800_000_000), tokens[0])
        second = await plane.evaluate(complete(cost_nano=800_000_000), tokens[1])
        assert (first.decision, second.decision) == (True, False)
        assert second.context.code == "budget_exhausted"


async def test_without_the_scope_key_admin_nobody_looks_after_others_keys(plane: Plane, gateway: Bus) -> None:
    admin_key, plain_key = plane.key(scopes=ADMIN), plane.key(scopes=("*",))
    async with plane.policy():
        made, _ = await (await desk(plane, gateway, admin_key)).create()
        plain = await desk(plane, gateway, plain_key)
        for asking in (
            plain.create(),
            plain.list(),
            plain.show(made.id),
            plain.rotate(made.id),
            plain.expire(made.id, time.time() + 1),
            plain.revoke(made.id),
        ):
            with pytest.raises(Failure) as caught:
                await asking
            assert caught.value.code is Code.DENIED
            assert "key:admin" in caught.value.detail
        refusals = [one for one in await plane.decisions() if one.action.startswith("key.") and one.code == "denied"]
        assert len(refusals) == 6


async def test_another_tenants_key_is_not_found(plane: Plane, gateway: Bus) -> None:
    admin_key, other_key = plane.key(scopes=ADMIN), plane.key(scopes=ADMIN, tenant="umbrella")
    async with plane.policy():
        made, _ = await (await desk(plane, gateway, admin_key)).create()
        other = await desk(plane, gateway, other_key)
        for asking in (KeyRef(made.id), KeyRef("nosuchkey")):
            with pytest.raises(Failure) as caught:
                await gateway.call(KEY_SHOW, asking, other.meta, tenant="umbrella")
            assert caught.value.code is Code.NOT_FOUND
        with pytest.raises(Failure) as caught:
            await other.create(tenant="acme")
        assert caught.value.code is Code.DENIED


async def test_after_a_rotation_both_secrets_are_good_for_a_while_and_then_the_new_one_alone(
    plane: Plane, gateway: Bus
) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        view, old = await admin.create()
        new = await admin.rotate(view.id, grace_s=60)
        with_old, with_new = await plane.authenticate(old), await plane.authenticate(new)
        assert (with_old.key, with_new.key) == (view.id, view.id)
        assert with_old.expires <= time.time() + 60 < with_new.expires
        newer = await admin.rotate(view.id)
        await refused(plane, old)
        await refused(plane, new)
        assert (await plane.authenticate(newer)).key == view.id


async def test_a_holder_renews_their_own_key_and_none_that_may_more(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=(*ADMIN, "tools:destructive"))
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        strong, _ = await admin.create(scopes=["*", "tools:destructive"])
        weak, weak_key = await admin.create(scopes=["key.*", "key:admin"])
        holder = await desk(plane, gateway, weak_key)
        with pytest.raises(Failure, match=r"you do not hold the scope \*"):
            await holder.rotate(strong.id)
        renewed = await holder.rotate(weak.id)
        await refused(plane, weak_key)
        assert (await plane.authenticate(renewed)).key == weak.id


async def test_a_revoked_key_and_its_tokens_end_in_every_replica(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy() as one, plane.policy() as two:
        admin = await desk(plane, gateway, admin_key)
        view, key = await admin.create()

        async def known_to_all() -> str:
            tokens = []
            for host in (one, two):
                assert host.parts is not None
                try:
                    token = (await plane.authenticate(key)).token
                except Failure as failure:
                    raise AssertionError("not known yet") from failure
                tokens.append(token)
                await host.parts.identities.verify(token)
            return tokens[0]

        token = await eventually(known_to_all)
        assert await admin.revoke(view.id) == ((view.id,), ())

        async def nobody_believes_it() -> None:
            for host in (one, two):
                assert host.parts is not None
                with pytest.raises(Failure, match="revoked"):
                    await host.parts.identities.verify(token)

        async def gone() -> None:
            await nobody_believes_it()

        await eventually(gone)
        for _ in range(4):
            await refused(plane, key)
        assert (await admin.show(view.id)).state == "revoked"


async def test_keys_that_a_revoked_key_made_are_named_and_end_with_it_when_asked(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        middle, middle_key = await admin.create(scopes=["key.*", "model.*", "key:admin"])
        lower, lower_key = await (await desk(plane, gateway, middle_key)).create(scopes=["model.*"])
        assert await admin.revoke(middle.id) == ((middle.id,), (lower.id,))
        assert (await plane.authenticate(lower_key)).key == lower.id
        assert await admin.revoke(middle.id, below=True) == ((middle.id, lower.id), ())
        await refused(plane, lower_key)


async def test_a_key_ends_sooner_but_never_later(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        view, key = await admin.create()
        at = time.time() + 1000
        assert (await admin.expire(view.id, at)).expires == at
        entry = await plane.bus.bucket(REVOCATIONS).get(f"key.{view.id}")
        assert entry is not None
        assert (entry.value.tenant, entry.value.since) == ("acme", at)
        with pytest.raises(Failure, match="a key can only end sooner"):
            await admin.expire(view.id, at + 1)
        await admin.expire(view.id, time.time() - 1)
        await refused(plane, key)


async def test_a_key_of_the_operators_file_can_be_revoked_through_the_plane(plane: Plane, gateway: Bus) -> None:
    admin_key, file_key = plane.key(scopes=ADMIN), plane.key()
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        key_id = file_key.split("_")[1]
        with pytest.raises(Failure, match="stands in the operator's file"):
            await admin.rotate(key_id)
        await admin.revoke(key_id)
        await refused(plane, file_key)
    async with plane.policy():
        await refused(plane, file_key)
        states = {one.id: (one.state, one.source) for one in await (await desk(plane, gateway, admin_key)).list()}
    assert states[key_id] == ("revoked", "file")


async def test_revoking_in_the_operators_file_ends_tokens_in_use_everywhere(plane: Plane, gateway: Bus) -> None:
    file_key = plane.key()
    key_id = file_key.split("_")[1]
    async with plane.policy() as host:
        token = (await plane.authenticate(file_key)).token
        assert host.parts is not None
        await host.parts.identities.verify(token)
        revoke_key(plane.folder / "keys.json", key_id, time.time())

        async def told() -> None:
            entry = await plane.bus.bucket(REVOCATIONS).get(f"key.{key_id}")
            assert entry is not None
            assert entry.value.since == 0.0

        await eventually(told)


async def test_an_agents_key_acts_for_its_subject_and_looks_after_no_keys(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy() as host:
        admin = await desk(plane, gateway, admin_key)
        _, key = await admin.create(agent="agent:clerk", scopes=["*", "key:admin"])
        agent = await desk(plane, gateway, key)
        assert host.parts is not None
        claims = await host.parts.identities.verify(agent.token)
        assert (claims.sub, claims.chain) == ("user:alice", ("agent:clerk",))
        with pytest.raises(Failure, match="neither agents nor runs look after keys"):
            await agent.create()


async def test_keys_are_listed_in_pages(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        admin = await desk(plane, gateway, admin_key)
        made = {(await admin.create())[0].id for _ in range(3)} | {admin_key.split("_")[1]}
        seen: list[str] = []
        after = ""
        while True:
            page = await gateway.call(KEY_LIST, KeyListRequest(2, after), admin.meta, tenant="acme")
            seen += [one.id for one in page.keys]
            after = page.next
            if not after:
                break
        assert seen == sorted(made)


async def test_a_new_policy_process_knows_the_keys_of_the_plane(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        view, key = await (await desk(plane, gateway, admin_key)).create()
    async with plane.policy():
        assert (await plane.authenticate(key)).key == view.id


async def test_a_key_that_nobody_could_have_stored_is_no_key(plane: Plane, gateway: Bus) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with plane.policy():
        view, _ = await (await desk(plane, gateway, admin_key)).create()
        bucket = plane.bus.bucket(API_KEYS)
        entry = await bucket.get(view.id)
        assert entry is not None
        secret = new_secret()
        bad = msgspec.structs.replace(entry.value, id="bad1", digest=digest_of(secret), subject="root")
        await bucket.put("bad1", bad)
    async with plane.policy():
        await refused(plane, credential("bad1", secret))
