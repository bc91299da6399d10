"""Why a recorded decision fell so, over the bus and from the pieces."""

import msgspec
import pytest

from penstock.contracts.audit import DecisionRecord, Who
from penstock.contracts.bundles import DecisionsRequest, PastDecision, Publish
from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Fact, Reason
from services.policy.publishing.explain import explain
from services.policy.publishing.replay import replay
from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import read_sources
from tests.services.policy.conftest import Plane, call_tool, complete
from tests.services.policy.publishing.conftest import FORBID, Operator, files

DEAR = (
    '@id("dear") @reason("too dear") forbid (principal, action == Action::"model.complete", resource)'
    ' when { context.cost_nano > 1000 && !(principal has team && principal.team == "ops") }'
    " unless { context.hour == 3 };"
)


def bundle(text: str) -> Bundle:
    return compile_bundle({**read_sources(STARTER), "own.cedar": text})


def past(effect: str = "deny", policy: str = "dear", **changed: object) -> PastDecision:
    record = DecisionRecord(
        decision="dec_1",
        attempt="att_1",
        effect="deny",
        who=Who("user:alice"),
        action="model.complete",
        resource='Model::"large"',
        bundle="0f",
        code="denied",
        reasons=(Reason(policy, "too dear"),),
        at=1_700_049_600.0,
        scopes=("*",),
        tools=("*",),
        cost_nano=2000,
    )
    return PastDecision("acme", "2026-11-24T12:00:00.000Z", msgspec.structs.replace(record, effect=effect, **changed))


def test_a_forbid_tells_what_it_compared_and_what_would_have_turned_it() -> None:
    found = explain(past(), bundle(DEAR), frozenset())

    (rule,) = found.rules
    assert (rule.id, rule.permits, rule.applies, found.again) == ("dear", False, True, "deny")
    assert [(one.text, one.holds, one.found) for one in rule.compared] == [
        ("(context.cost_nano) > 1000", "yes", {"context.cost_nano": "2000"}),
        ("principal has team", "no", {}),
        ('(principal.team) == "ops"', "unknown", {"principal.team": "not there"}),
        ("(context.hour) == 3", "no", {"context.hour": "12"}),
    ]
    assert rule.needed == (
        "not ((context.cost_nano) > 1000)",
        "principal has team",
        '(principal.team) == "ops"',
        "(context.hour) == 3",
    )


def test_a_refusal_by_default_tells_of_the_permits_that_did_not_apply() -> None:
    strict = compile_bundle(read_sources(STARTER.with_name("strict")))
    refused = past(policy="default", action="tool.call", resource='Tool::"note"', properties={"effect": "idempotent"})
    found = explain(refused, strict, frozenset())

    rules = {rule.id: rule for rule in found.rules}
    assert not any(rule.applies for rule in rules.values())
    assert rules["writing-tools"].needed == ('(principal.scopes).contains("tools:write")',)
    assert '(resource.effect) == "read"' in rules["reading-tools"].needed


def test_what_the_record_does_not_hold_is_said() -> None:
    found = explain(past(withheld=("tables",)), bundle(DEAR), frozenset())
    old = explain(past(at=0.0), bundle(DEAR), frozenset())
    other = explain(past(cost_nano=5), bundle(DEAR), frozenset())

    assert found.notes == ("the record does not hold all of tables",)
    assert (old.rules, old.notes) == ((), ("an older version recorded it, which did not keep the question",))
    assert "answers otherwise now" in other.notes[0]


CONDITIONS: list[tuple[str, dict[str, Fact], bool]] = [
    ('context has tables && context.tables.contains("salaries")', {"tables": ["salaries"]}, True),
    ('context has tables && context.tables.containsAll(["a", "b"])', {"tables": ["a"]}, False),
    ('context has tables && context.tables.containsAny(["a", "b"])', {"tables": ["a"]}, True),
    ('context has method && context.method like "P*T"', {"method": "POST"}, True),
    ('context has method && context.method like "P*T*T"', {"method": "POT"}, False),
    ('context has method && context.method != "GET"', {"method": "GET"}, False),
    ("if context has writes then context.writes else true", {"writes": False}, False),
    ('["x", "y"].contains(resource.effect)', {}, False),
    ('resource == Tool::"t"', {}, True),
    ('principal == User::"acme/bob"', {}, False),
    ("context.depth <= 0", {}, True),
    ("context.depth + 1 > 0", {}, True),
]


@pytest.mark.parametrize(("condition", "facts", "met"), CONDITIONS)
def test_what_is_told_of_conditions_is_what_cedar_finds(condition: str, facts: dict[str, Fact], met: bool) -> None:
    head = '@id("it") forbid (principal, action == Action::"tool.call", resource)'
    text = f"{head} when {{ resource has effect && ({condition}) }};"
    effect = "deny" if met else "allow"
    asked = past(
        effect, "it", action="tool.call", resource='Tool::"t"', properties={"effect": "read"}, facts=facts, code=""
    )
    found = explain(asked, bundle(text), frozenset())

    (rule,) = found.rules
    assert found.again == effect
    assert rule.applies is met or any(one.holds == "unknown" for one in rule.compared)


async def test_a_decision_is_explained_by_the_bundle_of_then(plane: Plane) -> None:
    user = plane.key()
    async with plane.policy():
        operator = await Operator.of(plane, scopes=("*", "bundle:admin", "decision:admin"))
        token = (await plane.authenticate(user)).token
        closed = await operator.publish(Publish(files(FORBID)))
        refused = await plane.evaluate(complete(model="large"), token)
        await operator.publish(Publish(files()))
        allowed = await plane.evaluate(complete(model="large"), token)

        found = await operator.explain(refused.context.id, tenant="acme")
        now = await operator.explain(allowed.context.id, tenant="acme")
        page = await operator.decisions(DecisionsRequest("acme"))
        with pytest.raises(Failure) as unknown:
            await operator.explain("dec_unknown")

    assert (found.bundle, found.again, [rule.id for rule in found.rules]) == (closed.version, "deny", ["closed"])
    assert (now.again, [rule.id for rule in now.rules]) == ("allow", ["scoped-use"])
    assert [one.record.decision for one in page.decisions] == [refused.context.id, allowed.context.id]
    assert unknown.value.code is Code.NOT_FOUND


async def test_a_decision_by_the_folders_bundle_is_explained_too(plane: Plane) -> None:
    user = plane.key(scopes=("*", "decision:admin"))
    async with plane.policy():
        reader = await Operator.of(plane, "acme", ("*", "decision:admin"))
        token = (await plane.authenticate(user)).token
        refused = await plane.evaluate(call_tool("drop", labels=["destructive"]), token)
        found = await reader.explain(refused.context.id)

    (rule,) = found.rules
    assert rule.id == "destructive-tools"
    assert rule.needed == (
        "not (resource has labels)",
        'not ((resource.labels).contains("destructive"))',
        '(principal.scopes).contains("tools:destructive")',
    )


async def test_another_tenants_decisions_are_for_operators_and_ones_own_need_a_scope(plane: Plane) -> None:
    async with plane.policy():
        for scopes, tenant in (((("*", "decision:admin")), "globex"), (("*",), "")):
            reader = await Operator.of(plane, "acme", scopes)
            with pytest.raises(Failure) as caught:
                await reader.decisions(DecisionsRequest(tenant))
            assert caught.value.code is Code.DENIED


async def test_what_a_record_keeps_of_a_question_is_bounded_and_holds_no_arguments(plane: Plane) -> None:
    user = plane.key()
    question = msgspec.structs.replace(
        call_tool("t", effect="read"),
        context={"tables": [f"table_{n}" for n in range(200)], "sql": "x" * 2000, "writes": False},
        input=msgspec.Raw(b'{"password": "hunter2"}'),
    )
    async with plane.policy():
        token = (await plane.authenticate(user)).token
        await plane.evaluate(question, token)
        (record,) = await plane.decisions()

    assert record.facts["tables"] == [f"table_{n}" for n in range(64)]
    assert len(str(record.facts["sql"])) == 256
    assert (record.withheld, record.properties, record.scopes) == (
        ("input", "tables", "sql"),
        {"effect": "read"},
        ("*",),
    )
    assert b"hunter2" not in msgspec.json.encode(await plane.records())


BUSY = (
    '@id("busy") @reason("too many in a minute") forbid (principal, action == Action::"tool.call", resource)'
    " when { context has minute_rate && context.minute_rate > 2 };\n"
)
POOR = (
    '@id("poor") @reason("little is left") forbid (principal, action == Action::"tool.call", resource)'
    " when { context has budget_left_nano && context.budget_left_nano >= 0 && context.budget_left_nano < 500 };\n"
)


async def test_what_policy_counted_itself_is_recorded_so_that_rules_about_it_are_explained_and_replayed(
    plane: Plane,
) -> None:
    user = plane.key(usd=0.000001)
    many = {f"fact_{n}": "x" * 250 for n in range(40)}  # more than a record holds
    async with plane.policy(bundle_dir=str(plane.bundle(BUSY))):
        operator = await Operator.of(plane, scopes=("*", "bundle:admin", "decision:admin"))
        token = (await plane.authenticate(user)).token
        await plane.evaluate(call_tool("clock"), token)
        await plane.evaluate(complete(700), token)
        asked = msgspec.structs.replace(call_tool("clock"), context={**many, "minute_rate": 0})
        refused = await plane.evaluate(asked, token)
        found = await operator.explain(refused.context.id, tenant="acme")
        page = await operator.decisions(DecisionsRequest("acme"))

    assert refused.context.reasons[0].policy == "busy"
    (rule,) = found.rules
    assert [(one.text, one.found) for one in rule.compared][-1] == (
        "(context.minute_rate) > 2",
        {"context.minute_rate": "3"},
    )
    assert found.again == "deny"
    assert [one.record.facts["minute_rate"] for one in page.decisions] == [1, 2, 3]
    assert [one.record.facts["budget_left_nano"] for one in page.decisions] == [-1, -1, 300]
    looser, tighter, poor = (
        replay(bundle(text), page.decisions, frozenset())
        for text in (BUSY.replace("> 2", "> 3"), BUSY.replace("> 2", "> 0"), BUSY + POOR)
    )
    assert [(one.rule, one.change, one.count) for one in looser.groups.values()] == [
        ("scoped-use", "deny -> permit", 1)
    ]
    assert [(one.rule, one.change, one.count) for one in tighter.groups.values()] == [("busy", "permit -> deny", 1)]
    assert (poor.same, poor.reasons, poor.unknown) == (3, 1, 0)
