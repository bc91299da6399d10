"""Bundles: loaded whole or refused whole, and what they answer."""

from pathlib import Path

import pytest

from penstock.contracts.policy import ActionName, Entity, Fact, Question
from penstock.kit.identity import Claims
from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import load_bundle
from services.policy.rules.decide import Verdict
from services.policy.rules.sources import BundleRefused

SCHEMA = """
entity Tenant; entity Agent;
entity User in [Tenant] = { tenant: String, scopes: Set<String>, team?: String };
entity Tool = { labels?: Set<String>, risk?: Long, ratio?: decimal };
entity Model;
action "tool.call" appliesTo { principal: User, resource: Tool, context: { chain: Set<String>, agent?: Agent } };
action "model.complete" appliesTo { principal: User, resource: Model, context: {} };
"""
ALLOW = '@id("use") permit (principal, action, resource);\n'
ALICE = Claims("acme", "user:alice", 0.0, scopes=("*",), tools=("*",), chain=("agent:a", "agent:writer"))


def write(folder: Path, policies: str, schema: str = SCHEMA, tests: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "schema.cedarschema").write_text(schema, encoding="utf-8")
    (folder / "a.cedar").write_text(policies, encoding="utf-8")
    if tests:
        (folder / "tests.yaml").write_text(tests, encoding="utf-8")
    return folder


def tool(name: str = "x", **properties: Fact) -> Question:
    return Question(ActionName("tool.call"), Entity("Tool", name, properties), attempt="a")


def ask(bundle: Bundle, question: Question, claims: Claims = ALICE, known: frozenset[str] = frozenset()) -> Verdict:
    return bundle.judge(claims, [question], known, "blue", 0.0)[0]


def policies_of(verdict: Verdict) -> list[str]:
    return [reason.policy for reason in verdict.reasons]


def test_the_starter_bundle_is_sound_and_passes_its_own_tests() -> None:
    assert load_bundle(STARTER).warnings == ()


def test_the_starter_bundle_is_short_enough_to_read() -> None:
    assert len((STARTER / "starter.cedar").read_text().splitlines()) < 50


def test_the_version_is_of_the_content(tmp_path: Path) -> None:
    one = load_bundle(write(tmp_path / "one", ALLOW))
    same = load_bundle(write(tmp_path / "same", ALLOW))
    other = load_bundle(write(tmp_path / "other", ALLOW + "// a comment"))

    assert one.version == same.version != other.version
    assert len(one.version) == 64


def test_a_principal_is_in_its_tenant_and_has_its_team(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            '@id("acme") permit (principal in Tenant::"acme", action, resource)'
            ' when { principal.team == "blue" && principal == User::"acme/alice" };'.replace(
                "principal.team ==", "principal has team && principal.team =="
            ),
        )
    )

    assert ask(bundle, tool()).permits
    assert not ask(bundle, tool(), Claims("globex", "user:alice", 0.0, scopes=("*",), tools=("*",))).permits


def test_the_agent_that_acts_now_and_the_whole_chain_are_facts(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            ALLOW + '@id("now") forbid (principal, action == Action::"tool.call", resource)'
            ' when { context has agent && context.agent == Agent::"writer" };\n'
            '@id("ever") forbid (principal, action == Action::"tool.call", resource)'
            ' when { context.chain.contains("agent:a") };',
        )
    )

    assert policies_of(ask(bundle, tool())) == ["now", "ever"]


def test_numbers_are_longs_and_decimals_as_the_schema_says(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            '@id("low") permit (principal, action == Action::"tool.call", resource)'
            " when { resource has risk && resource.risk < 5 && resource has ratio"
            ' && resource.ratio.lessThan(decimal("0.5")) };',
        )
    )

    assert ask(bundle, tool(risk=4, ratio=0.25)).permits
    assert ask(bundle, tool(risk=4.0, ratio=0)).permits
    assert not ask(bundle, tool(risk=5, ratio=0.25)).permits
    assert policies_of(ask(bundle, tool(risk=4.5))) == ["schema"]
    assert policies_of(ask(bundle, tool(risk=True))) == ["schema"]
    assert policies_of(ask(bundle, tool(risk=2**63))) == ["schema"]
    assert policies_of(ask(bundle, tool(ratio=1e30))) == ["schema"]


def test_many_questions_about_one_entity_with_differing_facts_are_answered_each_by_itself(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            ALLOW + '@id("bad") forbid (principal, action == Action::"tool.call", resource)'
            ' when { resource has labels && resource.labels.contains("bad") };',
        )
    )
    model = Question(ActionName("model.complete"), Entity("Model", "m"), attempt="a")
    questions = [tool(labels=["bad"]), tool(labels=["good"]), model, tool("y"), tool(labels=["bad"]), tool(labels=[])]

    verdicts = bundle.judge(ALICE, questions, frozenset(), "", 0.0)

    assert [verdict.permits for verdict in verdicts] == [False, True, True, True, False, True]


def test_a_policy_for_one_action_says_nothing_of_another(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path, '@id("m") permit (principal, action == Action::"model.complete", resource);'))

    assert not ask(bundle, tool()).permits


def test_a_policy_for_a_group_of_actions_holds_for_its_members(tmp_path: Path) -> None:
    schema = SCHEMA.replace('action "tool.call"', 'action "acts";\naction "tool.call" in [Action::"acts"]')
    bundle = load_bundle(write(tmp_path, '@id("g") permit (principal, action in Action::"acts", resource);', schema))

    assert ask(bundle, tool()).permits


def test_a_policy_that_fails_denies_and_is_named(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            ALLOW + '@id("overflow") forbid (principal, action == Action::"tool.call", resource)'
            " when { resource has risk && resource.risk * 9223372036854775807 > 5 };",
        )
    )

    assert ask(bundle, tool()).permits
    assert policies_of(ask(bundle, tool(risk=3))) == ["overflow"]


def test_a_shadow_policy_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(tmp_path, ALLOW + '@id("soon") @shadow @reason("from May on") forbid (principal, action, resource);')
    )
    verdict = ask(bundle, tool())

    assert (verdict.permits, verdict.effect) == (True, "shadow")
    assert policies_of(verdict) == ["soon", "use"]


def test_obligations_and_approvals_are_read_from_annotations(tmp_path: Path) -> None:
    bundle = load_bundle(
        write(
            tmp_path,
            '@id("m") @obligation("redact:EMAIL,SSN; cap:100")'
            ' permit (principal, action == Action::"model.complete", resource);\n'
            '@id("t") @approval("finance") permit (principal, action == Action::"tool.call", resource);',
        )
    )
    model = Question(ActionName("model.complete"), Entity("Model", "m"), attempt="a")

    assert ask(bundle, model, known=frozenset({"redact", "cap"})).obligations == ("redact:EMAIL,SSN", "cap:100")
    assert ask(bundle, model).effect == "deny"
    assert ask(bundle, tool()).effect == "hold"


@pytest.mark.parametrize(
    ("policies", "sentence"),
    [
        ("", "there are 0 policies"),
        ("permit (principal, action, resource)", "a.cedar cannot be read"),
        ("permit (principal, action, resource);", "a policy has no @id"),
        (ALLOW + ALLOW, "two policies have @id('use')"),
        ('@id("x") @resaon("y") permit (principal, action, resource);', "has @resaon, which nobody honours"),
        ('@id("x") @fail_open permit (principal, action, resource);', "is @fail_open: that is for what only reads"),
        (
            '@id("x") @obligation("redact") forbid (principal, action, resource);',
            "obligations, approvals and limits belong",
        ),
        ('@id("x") @obligation permit (principal, action, resource);', "has an empty @obligation"),
        ('@id("x") @approval("") permit (principal, action, resource);', "names nobody"),
        ('@id("x") permit (principal == ?principal, action, resource);', "templates are not supported"),
        ('@id("x") permit (principal, action == Action::"tool.cal", resource);', "x: "),
        ('@id("x") permit (principal, action, resource) when { resource.labls == 1 };', "x: "),
        ('@id("x") permit (principal, action, resource) when { resource.risk > 1 };', "x: "),
        (f'@id("x") @reason("{"y" * 301}") permit (principal, action, resource);', "more than 300 characters"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_with_a_sentence(tmp_path: Path, policies: str, sentence: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        load_bundle(write(tmp_path, policies))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ("entity", "schema.cedarschema cannot be read"),
        ("namespace N { entity User; }", "'namespace', which is not supported"),
        ('entity User = { a: Nothing }; action "x" appliesTo { principal: User, resource: User };', "cannot be read"),
    ],
)
def test_a_schema_that_is_not_sound_refuses_the_bundle(tmp_path: Path, schema: str, sentence: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        load_bundle(write(tmp_path, ALLOW, schema))
    assert sentence in str(refused.value)


def test_a_bundle_without_its_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"there is no schema\.cedarschema"):
        load_bundle(tmp_path)
    with pytest.raises(BundleRefused, match="No such file"):
        load_bundle(tmp_path / "nothing")
    (tmp_path / "schema.cedarschema").write_text(SCHEMA)
    with pytest.raises(BundleRefused, match=r"there is no \*\.cedar file"):
        load_bundle(tmp_path)


def test_a_huge_or_deeply_nested_bundle_is_refused_in_time(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="larger than"):
        load_bundle(write(tmp_path / "large", ALLOW + "//" + "x" * 2_000_000))
    deep = "(" * 2000 + "true" + ")" * 2000
    with pytest.raises(BundleRefused):
        load_bundle(write(tmp_path / "deep", f'@id("x") permit (principal, action, resource) when {{ {deep} }};'))
    many = "".join(f'@id("p{n}") permit (principal, action, resource);' for n in range(1001))
    with pytest.raises(BundleRefused, match="there are 1001 policies"):
        load_bundle(write(tmp_path / "many", many))


def test_a_bundle_that_fails_its_own_tests_is_refused(tmp_path: Path) -> None:
    tests = """
- name: nobody calls tools
  ask: { action: tool.call, resource: Tool/x }
  expect: deny
"""
    with pytest.raises(BundleRefused) as refused:
        load_bundle(write(tmp_path, ALLOW, tests=tests))
    assert str(refused.value) == "test 'nobody calls tools': expected deny, got allow by use (use)"


def test_tests_that_cannot_be_read_refuse_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"tests\.yaml cannot be read"):
        load_bundle(write(tmp_path, ALLOW, tests="- nam: x"))


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 100_000 + "true" + ")" * 100_000,
        " && ".join(["true"] * 10_000),
        " || ".join(["true"] * 10_000),
        " + ".join(["1"] * 10_000) + " == 1",
        "[1]" + ".contains([1]" * 10_000 + ")" * 10_000,
        "context" + ".a" * 10_000 + " == 1",
        "context" + '["a"]' * 10_000 + " == 1",
        "if true then " * 10_000 + "true" + " else true" * 10_000,
        "{a:" * 10_000 + "1" + "}" * 10_000 + " == 1",
        "context has " + "a." * 10_000 + "a",
    ],
)
def test_no_expression_ends_the_process(tmp_path: Path, expression: str) -> None:
    with pytest.raises(BundleRefused, match="nested too deep or too long"):
        load_bundle(write(tmp_path, f'@id("x") permit (principal, action, resource) when {{ {expression} }};'))


def test_a_schema_does_not_end_the_process_either(tmp_path: Path) -> None:
    for deep in ("Set<" * 10_000 + "Long" + ">" * 10_000, "{ a: " * 10_000 + "Long" + "}" * 10_000):
        with pytest.raises(BundleRefused, match="nested too deep"):
            load_bundle(write(tmp_path, ALLOW, f"type T = {deep};"))


def test_who_acts_cannot_be_said_in_the_question(tmp_path: Path) -> None:
    schema = SCHEMA.replace("agent?: Agent", "agent?: String")
    policy = '@id("x") permit (principal, action == Action::"tool.call", resource) unless { context has agent };'
    bundle = load_bundle(write(tmp_path, policy, schema))
    question = Question(ActionName("tool.call"), Entity("Tool", "x"), attempt="a", context={"agent": "somebody"})

    assert ask(bundle, question, Claims("acme", "user:alice", 0.0, scopes=("*",), tools=("*",))).permits


@pytest.mark.parametrize("subject", ["workload:ci", "robot:r2", "user", ""])
def test_who_the_schema_has_no_place_for_is_denied(tmp_path: Path, subject: str) -> None:
    verdict = ask(
        load_bundle(write(tmp_path, ALLOW)), tool(), Claims("acme", subject, 0.0, scopes=("*",), tools=("*",))
    )

    assert policies_of(verdict) == ["schema"]
