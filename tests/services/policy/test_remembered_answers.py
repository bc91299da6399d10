"""Answers that are remembered are the answers that would be given."""

from pathlib import Path

import cedarpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.contracts.policy import ActionName, Entity, Fact, Question, Reserve
from penstock.kit.identity import Claims
from services.policy.rulebook import STARTER
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.references import attributes_of

SOURCES = {
    "schema.cedarschema": (STARTER / "schema.cedarschema").read_text(),
    "p.cedar": """
@id("use") permit (principal, action, resource);
@id("night") forbid (principal, action, resource) when { context.hour < 6 };
@id("dear") @shadow forbid (principal, action, resource) when { context.cost_nano > 50 };
@id("writes") forbid (principal, action == Action::"tool.call", resource)
when { context has writes && context.writes && resource has labels && resource.labels.contains("a") };
@id("team") forbid (principal, action == Action::"model.complete", resource)
when { principal has team && principal.team == "red" && context.run != "" };
""",
}

QUESTION = st.builds(
    lambda tool, name, labels, writes, cost, tokens: Question(
        ActionName("tool.call" if tool else "model.complete"),
        Entity("Tool" if tool else "Model", name, {"labels": labels} if labels else {}),
        attempt="a",
        context={} if writes is None else {"writes": writes},
        reserve=Reserve(cost, tokens),
    ),
    st.booleans(),
    st.sampled_from(["x", "y"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.sampled_from([None, True, False]),
    st.sampled_from([0, 50, 51, 1000]),
    st.integers(0, 3),
)
CLAIMS = st.builds(
    lambda user, run, chain: Claims("acme", user, 0.0, scopes=("*",), tools=("*",), run=run, chain=chain),
    st.sampled_from(["user:alice", "workload:ci"]),
    st.sampled_from(["", "run_1"]),
    st.sampled_from([(), ("agent:a",)]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            CLAIMS,
            st.lists(QUESTION, min_size=1, max_size=4),
            st.sampled_from(["red", ""]),
            st.sampled_from([0.0, 12 * 3600.0]),
        ),
        max_size=12,
    )
)
def test_a_bundle_that_remembers_answers_as_one_that_does_not(
    asked: list[tuple[Claims, list[Question], str, float]],
) -> None:
    remembering = compile_bundle(SOURCES)
    for claims, questions, team, now in asked:
        fresh = compile_bundle(SOURCES)
        expected = [fresh.judge(claims, [one], frozenset(), team, now)[0] for one in questions]
        assert remembering.judge(claims, questions, frozenset(), team, now) == expected


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("context.a > 1 && (context has b.c || principal.x == resource.y)", {"a", "b", "c", "x", "y"}),
        ('context["cost nano"] > 1', {"cost nano"}),
        ("[context.f.g].contains(1)", {"f", "g"}),
        ("principal == resource", set()),
        ("context == {a: 1}", None),
        ("(if true then context else context).cost > 1", None),
        ("{x: context}.x.cost > 1", None),
    ],
)
def test_the_attributes_that_a_policy_looks_at_are_found(expression: str, names: set[str] | None) -> None:
    text = f"permit (principal, action, resource) when {{ {expression} }};"
    (node,) = cedarpy.policies_to_pst(text).static_policies.values()

    assert attributes_of(node) == names


def test_facts_that_no_policy_looks_at_do_not_make_another_question(tmp_path: Path) -> None:
    bundle = compile_bundle(SOURCES | {"p.cedar": '@id("use") permit (principal, action, resource);'})
    claims = Claims("acme", "user:alice", 0.0, scopes=("*",), tools=("*",))
    facts: list[dict[str, Fact]] = [{"writes": True}, {"writes": False}, {"method": "GET"}]
    for number, one in enumerate(facts):
        question = Question(ActionName("tool.call"), Entity("Tool", "x"), "a", one, Reserve(number, number))
        bundle.judge(claims, [question], frozenset(), "", float(number))

    assert bundle.answers_remembered == 1
