"""A provider's token for one of ours, through the whole service."""

import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEY_CREATE, POLICY_AUTHENTICATE, TOKEN
from penstock.contracts.jobs import TokenRequest
from penstock.contracts.keys import KeyCreate, digest_of, new_secret
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate, Identity
from tests.services.policy.conftest import Plane, complete
from tests.support.eventually import eventually
from tests.support.issuer import Issuer, issuer


def trust(plane: Plane, one: Issuer, scopes: str = "[model.*]") -> None:
    written = plane.folder / "identity.yaml.new"
    written.write_text(
        f"""
providers:
  - issuer: {one.url}
    audiences: [plane]
    tenant: {{claim: org}}
    team: {{value: ops}}
    scopes: {{always: {scopes}}}
    private_hosts: [127.0.0.1]
""",
        encoding="utf-8",
    )
    written.replace(plane.folder / "identity.yaml")


async def exchange(plane: Plane, token: str) -> Identity:
    return await plane.bus.call(POLICY_AUTHENTICATE, Authenticate(token, "oidc"), Meta(), timeout_s=5)


async def test_who_signed_in_elsewhere_acts_within_what_the_file_gives_them(plane: Plane) -> None:
    async with issuer() as one:
        trust(plane, one)
        async with plane.policy() as host:
            theirs = one.token()
            identity = await exchange(plane, theirs)
            assert (identity.tenant, identity.subject, identity.key) == ("acme", "user:alice", "")
            assert identity.scopes == ("model.*",)
            assert (await plane.evaluate(complete(), identity.token)).decision
            assert host.parts is not None
            claims = await host.parts.identities.verify(identity.token)
            assert [account.name for account in claims.accounts] == ["tenant:acme", "team:ops", "user:alice"]
            (decision,) = await plane.decisions()
            assert (decision.who.origin, decision.who.key, decision.team) == ("user:alice", "", "ops")
            assert not [line for line in (*plane.lines, str(await plane.records())) if theirs in line]


async def test_a_token_of_ours_ends_with_the_one_that_it_came_from(plane: Plane) -> None:
    async with issuer() as one:
        trust(plane, one)
        async with plane.policy():
            ends = float(str(one.claims()["exp"])) - 3500
            assert (await exchange(plane, one.token(exp=ends))).expires == ends


async def test_a_tenants_client_gets_in_for_its_own_tenant_alone(plane: Plane) -> None:
    async with issuer() as one:
        trust(plane, one)
        async with plane.policy():
            bus = await Bus.connect(BusConfig(url=plane.broker.url, tenant="acme"))
            reply = await bus.call(TOKEN, TokenRequest(one.token()), Meta(), tenant="acme")
            assert reply.tenant == "acme"
            with pytest.raises(Failure) as caught:
                await bus.call(TOKEN, TokenRequest(one.token(org="umbrella")), Meta(), tenant="acme")
            assert caught.value.code is Code.UNAUTHENTICATED
            await bus.close()


async def test_a_provider_that_is_no_longer_named_opens_nothing(plane: Plane) -> None:
    async with issuer() as one:
        trust(plane, one)
        async with plane.policy():
            token = one.token()
            await exchange(plane, token)
            (plane.folder / "identity.yaml").unlink()

            async def closed() -> None:
                try:
                    await exchange(plane, token)
                except Failure as failure:
                    assert failure.detail == "the token is refused: its issuer is not known here"
                    return
                raise AssertionError("it is still trusted")

            await eventually(closed)


async def test_whoever_signed_in_may_make_a_key_where_the_file_says_so(plane: Plane) -> None:
    async with issuer() as one:
        trust(plane, one, '["model.*", "key.*", "key:admin"]')
        async with plane.policy():
            identity = await exchange(plane, one.token())
            gateway = await Bus.connect(BusConfig(url=plane.broker.url, principal="gateway"))
            asked = KeyCreate(digest_of(new_secret()), scopes=("model.*",))
            view = await gateway.call(KEY_CREATE, asked, Meta(token=identity.token), tenant="acme")
            assert (view.subject, view.creator, view.team) == ("user:alice", "user:alice", "ops")
            await gateway.close()


async def test_without_a_file_nobody_elsewhere_is_trusted(plane: Plane) -> None:
    async with issuer() as one, plane.policy():
        with pytest.raises(Failure) as caught:
            await exchange(plane, one.token())
        assert caught.value.code is Code.UNAUTHENTICATED
        assert one.asked == {}
