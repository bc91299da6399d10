"""Publishing over the bus, with several policy processes: atomic, versioned, refused whole, taken over at once."""

import asyncio

import msgspec
import pytest

from penstock.contracts.audit import OUTCOME, OutcomeRecord
from penstock.contracts.bundles import Publish, Rollback, Sources, Standing
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import BUNDLE_POINTER, BUNDLES, POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Delegate
from tests.services.policy.conftest import Plane, complete
from tests.services.policy.publishing.conftest import FORBID, Operator, files
from tests.support.eventually import eventually


async def refused(plane: Plane, token: str, text: str = "closed for today") -> None:
    decision = await plane.evaluate(complete(model="large"), token)
    assert [reason.text for reason in decision.context.reasons] == [text]


async def allowed(plane: Plane, token: str) -> None:
    assert (await plane.evaluate(complete(model="large"), token)).decision


async def test_a_published_bundle_is_in_force_in_every_process_at_once_and_for_runs_under_way(
    plane: Plane,
) -> None:
    user = plane.key(subject="user:alice")
    async with plane.policy() as first, plane.policy() as second:
        operator = await Operator.of(plane)
        origin = (await plane.authenticate(user)).token
        delegated = Delegate("run_1", "agent:clerk")
        run = (await plane.bus.call(POLICY_DELEGATE, delegated, Meta(token=origin), timeout_s=8)).token
        assert (await plane.evaluate(complete(model="large"), run)).decision

        published = await operator.publish(Publish(files(FORBID), note="closing"))

        async def both_refuse() -> None:
            for host in (first, second):
                assert b"penstock_policy_bundle_number 1.0" in host.metrics.render()
            for _ in range(8):  # the broker spreads questions over both
                await refused(plane, run)

        await eventually(both_refuse)
        listed = await operator.list()

    assert (published.number, published.previous) == (1, "")
    assert (listed.version, listed.folder, listed.problem) == (published.version, False, "")
    (publication,) = listed.publications
    assert (publication.tenant, publication.by, publication.note) == ("operator", "user:olga", "closing")


async def test_a_process_starts_with_what_is_published_and_not_with_its_folder(plane: Plane) -> None:
    user = plane.key()
    async with plane.policy():
        operator = await Operator.of(plane)
        assert (await operator.list()).folder
        await operator.publish(Publish(files(FORBID)))
    async with plane.policy():
        await refused(plane, (await plane.authenticate(user)).token)
    async with plane.policy(bundle_source="folder"):
        await allowed(plane, (await plane.authenticate(user)).token)


async def test_a_bundle_with_problems_is_refused_and_each_problem_is_named(plane: Plane) -> None:
    user = plane.key()
    bad = FORBID.replace("principal, action ==", "principal, action == ").replace("closed", "one") + (
        '@id("two") permit (principal, action == Action::"tool.call", resource) when { context.amnt > 5 };\n'
        '@id("two") @audit permit (principal, action, resource);\n'
    )
    async with plane.policy():
        operator = await Operator.of(plane)
        with pytest.raises(Failure) as caught:
            await operator.publish(Publish(files(bad)))
        await allowed(plane, (await plane.authenticate(user)).token)
        assert (await operator.list()).publications == ()

    assert caught.value.code is Code.INVALID
    text = "\n".join(caught.value.reasons)
    assert len(caught.value.reasons) == 3
    for said in ("amnt", "@audit, which nobody honours", "two policies have @id('two')"):
        assert said in text


async def test_a_bundle_that_fails_its_own_tests_is_refused_with_every_case(plane: Plane) -> None:
    cases = (
        "\n- name: large is fine\n  ask: { action: model.complete, resource: Model/large }\n  expect: allow\n"
        "\n- name: nobody reads\n  ask: { action: job.read, resource: Job/chat }\n  expect: deny\n"
    )
    async with plane.policy():
        operator = await Operator.of(plane)
        with pytest.raises(Failure) as caught:
            await operator.publish(Publish(files(FORBID, cases)))

    assert caught.value.reasons == (
        "test 'large is fine': expected allow, got deny by closed (closed for today)",
        "test 'nobody reads': expected deny, got allow by scoped-use (scoped-use)",
    )


async def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told(plane: Plane) -> None:
    async with plane.policy(), plane.policy():
        one, two = await Operator.of(plane), await Operator.of(plane)
        await one.publish(Publish(files("// first\n")))
        results = await asyncio.gather(
            one.publish(Publish(files("// by one\n"), expects=1)),
            two.publish(Publish(files("// by two\n"), expects=1)),
            return_exceptions=True,
        )
        listed = await one.list()

    won = [result for result in results if not isinstance(result, BaseException)]
    (lost,) = [result for result in results if isinstance(result, Failure)]
    assert [published.number for published in won] == [2]
    assert lost.code is Code.CONFLICT
    assert [publication.number for publication in listed.publications] == [2, 1]


async def test_the_same_request_twice_is_one_publication(plane: Plane) -> None:
    async with plane.policy(), plane.policy():
        operator = await Operator.of(plane)
        first = await operator.publish(Publish(files("// a\n")), id="req_twice")
        again = await operator.publish(Publish(files("// a\n")), id="req_twice")
        assert (first.number, again.number) == (1, 1)
        assert len((await operator.list()).publications) == 1
        await operator.publish(Publish(files("// b\n")))
        back = await operator.rollback(Rollback(), id="req_back")
        once_more = await operator.rollback(Rollback(), id="req_back")
        assert back == once_more
        assert (back.number, back.version) == (3, first.version)


async def test_a_rollback_puts_the_version_before_in_force_again(plane: Plane) -> None:
    user = plane.key()
    async with plane.policy():
        operator = await Operator.of(plane)
        token = (await plane.authenticate(user)).token
        with pytest.raises(Failure) as nothing:
            await operator.rollback(Rollback())
        open_ = await operator.publish(Publish(files("// open\n")))
        closed = await operator.publish(Publish(files(FORBID)))
        await refused(plane, token)
        back = await operator.rollback(Rollback(note="too strict"))
        await allowed(plane, token)
        forth = await operator.rollback(Rollback(closed.version[:12]))
        await refused(plane, token)
        shown = await operator.show(open_.version[:8])
        with pytest.raises(Failure) as unknown:
            await operator.rollback(Rollback("0" * 64))
        rollbacks = [publication.rollback for publication in (await operator.list()).publications]

    assert nothing.value.code is unknown.value.code is Code.NOT_FOUND
    assert (back.version, back.number, forth.version, forth.number) == (open_.version, 3, closed.version, 4)
    assert rollbacks == [True, True, False, False]
    assert shown.files["more.cedar"] == "// open\n"


async def test_publishing_is_for_operators_with_the_scope_and_every_try_is_recorded(plane: Plane) -> None:
    async with plane.policy():
        stranger = await Operator.of(plane, "acme")
        unscoped = await Operator.of(plane, scopes=("*",))
        operator = await Operator.of(plane)
        for who in (stranger, unscoped):
            with pytest.raises(Failure) as caught:
                await who.publish(Publish(files()))
            assert caught.value.code is Code.DENIED
            assert caught.value.decision
        published = await operator.publish(Publish(files()))

    (foreign,) = await plane.decisions("acme")
    assert (foreign.effect, foreign.action, foreign.reasons[0].policy) == ("deny", "bundle.publish", "operators")
    denied, done = await plane.decisions("operator")
    assert (denied.effect, denied.reasons[0].policy) == ("deny", "bundles")
    assert (done.effect, done.resource, done.arguments_digest) == (
        "allow",
        f'Bundle::"{published.version}"',
        published.version,
    )
    outcomes = [
        msgspec.json.decode(record.data, type=OutcomeRecord)
        for record in await plane.records("operator")
        if record.type == OUTCOME
    ]
    assert [(outcome.decision, outcome.status) for outcome in outcomes] == [(done.decision, "ok")]


async def test_a_bundle_that_would_lock_its_publisher_out_is_refused_unless_that_is_said(plane: Plane) -> None:
    shut = '@id("shut") forbid (principal, action == Action::"bundle.publish", resource);\n'
    bundle = files(shut)
    bundle["tests.yaml"] = ""
    async with plane.policy():
        operator = await Operator.of(plane)
        with pytest.raises(Failure, match="could not publish again"):
            await operator.publish(Publish(bundle))
        assert (await operator.publish(Publish(bundle, lock_out=True))).number == 1
        with pytest.raises(Failure) as caught:
            await operator.publish(Publish(files()))
        assert caught.value.code is Code.DENIED
    async with plane.policy(bundle_source="folder"):
        assert (await operator.publish(Publish(files()))).number == 2


async def test_a_stored_bundle_that_is_damaged_leaves_the_last_good_one_and_is_said(plane: Plane) -> None:
    user = plane.key()
    async with plane.policy() as host:
        operator = await Operator.of(plane)
        token = (await plane.authenticate(user)).token
        good = await operator.publish(Publish(files(FORBID)))
        entry = await plane.bus.bucket(BUNDLE_POINTER).get("current")
        assert entry is not None
        bad = "ab" * 32
        await plane.bus.bucket(BUNDLES).put(bad, Sources(files("// changed on disk\n")))
        last = msgspec.structs.replace(entry.value.publications[-1], number=2, version=bad)
        await plane.bus.bucket(BUNDLE_POINTER).update(
            "current", Standing((*entry.value.publications, last)), entry.revision
        )

        async def said() -> None:
            reasons = host.readiness.ready().reasons
            assert any("is not what was published" in reason for reason in reasons), reasons

        await eventually(said)
        await refused(plane, token)
        listed = await operator.list()
        assert (listed.version, "is not what was published" in listed.problem) == (good.version, True)
        assert b"penstock_policy_bundle_errors_total 1.0" in host.metrics.render()
        with pytest.raises(Failure, match="is not what was published"):
            async with plane.policy():
                raise AssertionError("it started")
        await operator.rollback(Rollback(good.version))

        async def well() -> None:
            assert host.readiness.ready().reasons == []

        await eventually(well)


async def test_files_that_are_no_bundle_are_refused(plane: Plane) -> None:
    async with plane.policy():
        operator = await Operator.of(plane)
        for extra in ({"../x.cedar": "a"}, {"notes.txt": "a"}, {"big.cedar": "// " + "x" * 950_000}):
            with pytest.raises(Failure) as caught:
                await operator.publish(Publish({**files(), **extra}))
            assert caught.value.code in (Code.INVALID, Code.TOO_LARGE)
