"""Limits of a rule's own (`@limit`): of each person, for what the rule permits."""

import pytest

from penstock.contracts.governance import POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Decision, Delegate, Question
from services.policy.money.limits import Limit
from services.policy.money.rule_pots import rule_pots
from services.policy.rulebook import STARTER
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.decide import Rule, Ruling, decide
from services.policy.rules.sources import BundleRefused, read_sources
from tests.services.policy.conftest import Plane, call_tool, complete

NOON = 1_700_049_600.0
FETCHES = (
    '\n@id("fetches") @limit("requests:2/week")\n'
    'permit (principal, action == Action::"tool.call", resource == Tool::"http_get");\n'
)


def limits_of(annotations: str, name: str = "it", effect: str = "permit") -> tuple[Limit, ...]:
    text = f'@id("{name}") {annotations} {effect} (principal, action == Action::"job.read", resource);'
    rules = compile_bundle({**read_sources(STARTER), "own.cedar": text}).parsed.rules.values()
    return next(rule.limits for rule in rules if rule.id == name)


def test_a_limit_is_for_a_period_or_for_good_and_several_stand_side_by_side() -> None:
    assert limits_of('@limit("requests:10/minute")') == (Limit(requests=10, period="minute"),)
    assert limits_of('@limit("tokens:1000/day; usd:2.50/day; concurrency:3 ; usd:100")') == (
        Limit(usd="2.50", tokens=1000, period="day"),
        Limit(usd="100", concurrency=3),
    )
    assert limits_of("") == ()


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ('@limit("")', "cannot be read"),
        ("@limit", "cannot be read"),
        ('@limit("requests:10/second")', "cannot be read"),
        ('@limit("requests:-1/day")', "cannot be read"),
        ('@limit("calls:10/day")', "cannot be read"),
        ('@limit("requests:10/day; requests:20/day")', "cannot be read"),
        ('@limit("concurrency:2/day")', "cannot be read"),
        ('@limit("requests:0/day")', "out of range"),
        ('@limit("usd:0")', "out of range"),
        ('@limit("requests:1.5/day")', "a broken number"),
        ('@fail_open @limit("requests:1/day")', "it cannot have an obligation, an approval, a limit"),
    ],
)
def test_a_limit_that_is_not_sound_refuses_the_bundle(annotations: str, said: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        limits_of(annotations)
    assert said in str(refused.value)


def test_a_limit_belongs_on_a_permit_whose_id_can_name_an_account() -> None:
    with pytest.raises(BundleRefused, match="limits belong on a permit"):
        limits_of('@limit("requests:1/day")', effect="forbid")
    with pytest.raises(BundleRefused, match="its @id must be 1 to 64 of"):
        limits_of('@limit("requests:1/day")', name="two words")


def test_each_rule_has_a_pot_for_each_person_and_period() -> None:
    limits = (("a", (Limit(requests=1, period="minute"), Limit(usd=1))), ("b", (Limit(concurrency=2),)))
    found = {pot.name: pot.limits for pot in rule_pots(limits, "user:alice", NOON)}
    assert found == {
        "rule:a:user:alice@2023-11-15T12:00": (-1, -1, 1, -1),
        "rule:a:user:alice": (10**9, -1, -1, -1),
        "rule:b:user:alice": (-1, -1, -1, 2),
    }


def test_the_limits_of_all_that_permits_hold_and_none_of_it_goes_on_without_policy() -> None:
    one, two = Limit(requests=1), Limit(requests=2)
    rules = (Rule("a", True, limits=(one,)), Rule("b", True, limits=(two,)), Rule("c", True, fail_open=True))
    verdict = decide(Ruling(True, rules))
    assert (verdict.effect, verdict.limits, verdict.open) == ("allow", (("a", (one,)), ("b", (two,))), False)
    assert decide(Ruling(True, (Rule("a", True, approval="ops", limits=(one,)),))).limits == (("a", (one,)),)
    assert decide(Ruling(True, (Rule("c", True, fail_open=True), Rule("d", True)))).open


async def ask(plane: Plane, token: str, question: Question) -> Decision:
    return await plane.evaluate(question, token)


async def test_a_rules_limit_counts_each_person_whichever_key_or_agent_asks_and_nothing_else(plane: Plane) -> None:
    laptop, phone, bob = plane.key(), plane.key(), plane.key(subject="user:bob")
    folder = str(plane.bundle(FETCHES))
    async with plane.policy(bundle_dir=folder), plane.policy(bundle_dir=folder):
        one = (await plane.authenticate(laptop)).token
        two = (await plane.authenticate(phone)).token
        agent = (
            await plane.bus.call(POLICY_DELEGATE, Delegate("run_1", "agent:a"), Meta(token=one), timeout_s=5)
        ).token
        first = call_tool("http_get", attempt="att_1")
        assert (await ask(plane, one, first)).decision
        assert (await ask(plane, one, first)).decision  # the same attempt
        assert (await ask(plane, two, call_tool("http_get"))).decision
        refused = [await ask(plane, token, call_tool("http_get")) for token in (one, two, agent)]
        assert [one.context.code for one in refused] == ["rate_limited"] * 3
        assert refused[0].context.reasons[0].text.startswith("rule:fetches:user:alice@")
        assert refused[0].context.retry_after_s > 0

        assert (await ask(plane, one, call_tool("clock"))).decision
        assert (await ask(plane, one, complete())).decision
        assert (await ask(plane, (await plane.authenticate(bob)).token, call_tool("http_get"))).decision
    record = next(one for one in await plane.decisions() if one.attempt == "att_1")
    assert [pot.partition("@")[0] for pot in record.accounts] == ["rule:fetches:user:alice"]
    assert (record.reserved_requests, record.reserved_nano) == (1, 0)


async def test_a_rules_limit_outlives_the_store(plane: Plane) -> None:
    credential = plane.key()
    async with plane.policy(bundle_dir=str(plane.bundle(FETCHES))):
        token = (await plane.authenticate(credential)).token
        for _ in range(2):
            assert (await ask(plane, token, call_tool("http_get"))).decision
    await plane.valkey.kill()
    await plane.valkey.start()  # with nothing in it
    async with plane.policy(bundle_dir=str(plane.bundle(FETCHES))):
        assert (await ask(plane, token, call_tool("http_get"))).context.code == "rate_limited"
