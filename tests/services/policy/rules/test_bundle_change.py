"""A bundle that changes under a running service."""

from tests.services.policy.conftest import Plane, complete
from tests.support.eventually import eventually

FORBID = '@id("closed") @reason("closed for today") forbid (principal, action, resource);'


async def test_a_new_policy_holds_at_once_for_tokens_given_before(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle("")
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(credential)).token
        before = await plane.evaluate(complete(), token)
        assert before.decision
        plane.bundle(FORBID)

        async def refused() -> None:
            decision = await plane.evaluate(complete(), token)
            assert [reason.text for reason in decision.context.reasons] == ["closed for today"]
            assert decision.context.bundle != before.context.bundle

        await eventually(refused, within_s=1.0)


async def test_a_bad_bundle_is_refused_whole_and_the_old_one_stays(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle("")
    async with plane.policy(bundle_dir=str(folder)) as host:
        token = (await plane.authenticate(credential)).token
        before = await plane.evaluate(complete(), token)
        plane.bundle(FORBID + "forbid (principal")

        async def said() -> None:
            assert "bundle refused, the old one stays" in "".join(plane.lines)

        await eventually(said)
        after = await plane.evaluate(complete(), token)
        assert (after.decision, after.context.bundle) == (True, before.context.bundle)
        assert b"penstock_policy_bundle_errors_total 1.0" in host.metrics.render()


async def test_an_attempt_already_decided_keeps_its_answer_under_a_new_bundle(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle("")
    question = complete(attempt="att_1")
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(credential)).token
        before = await plane.evaluate(question, token)
        plane.bundle(FORBID)

        async def refused() -> None:
            assert not (await plane.evaluate(complete(), token)).decision

        await eventually(refused)
        assert await plane.evaluate(question, token) == before


async def test_a_shadow_policy_is_reported_in_the_record(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle(FORBID.replace("forbid", "@shadow forbid"))
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(credential)).token
        decision = await plane.evaluate(complete(), token)

    assert (decision.decision, decision.context.effect) == (True, "shadow")
    (record,) = await plane.decisions()
    assert (record.effect, record.reasons[0].policy) == ("shadow", "closed")


async def test_a_policy_that_wants_approval_holds(plane: Plane) -> None:
    credential = plane.key()
    folder = plane.bundle(
        '@id("large") @approval("finance") permit (principal, action, resource) when { context.cost_nano > 100 };'
    )
    async with plane.policy(bundle_dir=str(folder)):
        token = (await plane.authenticate(credential)).token
        assert (await plane.evaluate(complete(100), token)).decision
        held = await plane.evaluate(complete(101), token)

    assert (held.decision, held.context.effect, held.context.code) == (False, "hold", "approval_required")
