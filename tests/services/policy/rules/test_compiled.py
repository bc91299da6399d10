"""What is said of a bundle before it may be used: idle conditions, fail-open beyond reading, too large, too deep."""

import pytest

from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import prove
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import BundleRefused, read_sources

SHIPPED = read_sources(STARTER)
HEAD = '@id("it") forbid (principal, action == Action::"tool.call", resource)'
OPEN = '@id("it") @fail_open permit (principal, action == Action::"{}", resource)'
READING = ' when { resource has effect && resource.effect == "read" }'


def with_policy(text: str) -> Bundle:
    return compile_bundle({**SHIPPED, "own.cedar": text})


@pytest.mark.parametrize(
    "condition",
    [
        "when { false }",
        "when { !true }",
        "when { false && context.hour == 1 }",
        "when { context.hour == 1 && (false || 2 > 3) }",
        "unless { true }",
        "unless { context.hour == 1 || true }",
        "when { context.hour == 1 && context.hour == 2 }",
        "when { context.hour > 6 } when { context.hour < 3 }",
        "when { context.hour >= 7 && context.hour < 7 }",
        'when { context.run == "a" && context.run != "a" }',
        "when { context.hour == 5 && context.hour > 6 }",
    ],
)
def test_a_condition_that_can_never_be_met_is_warned_of(condition: str) -> None:
    (warning,) = with_policy(f"{HEAD} {condition};").warnings

    assert warning.startswith("policy 'it' can never apply")


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "when { true }",
        "when { context.hour > 6 && context.hour < 8 }",
        "when { context.hour == 1 || context.hour == 2 }",
        "when { context.hour == 1 } unless { context.hour == 1 && context.depth == 2 }",
        'when { context.run == "a" } unless { false }',
        "when { context.hour >= 7 && context.hour <= 7 }",
    ],
)
def test_a_condition_that_may_be_met_is_not(condition: str) -> None:
    assert with_policy(f"{HEAD} {condition};").warnings == ()


@pytest.mark.parametrize(
    "policy",
    [
        OPEN.format("context.search") + ";",
        OPEN.format("job.read") + ";",
        OPEN.format("tool.call") + READING + ";",
        OPEN.format("tool.call") + ' when { context.hour > 5 && resource has effect && resource.effect == "read" };',
        '@id("it") @fail_open permit (principal, action in [Action::"job.read", Action::"context.search"], resource);',
    ],
)
def test_what_only_reads_may_be_fail_open(policy: str) -> None:
    bundle = with_policy(policy)

    assert [rule.id for rule in bundle.parsed.rules.values() if rule.fail_open] == ["it"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (OPEN.format("model.complete") + ";", "that is for what only reads"),
        (OPEN.format("job.submit") + ";", "that is for what only reads"),
        (OPEN.format("bundle.read") + ";", "that is for what only reads"),
        ('@id("it") @fail_open permit (principal, action, resource);', "that is for what only reads"),
        (OPEN.format("tool.call") + ";", "of tools only those that read"),
        (OPEN.format("tool.call") + READING.replace("when", "unless") + ";", "of tools only those that read"),
        (OPEN.format("tool.call") + READING.replace("&&", "||") + ";", "of tools only those that read"),
        (OPEN.format("tool.call") + READING.replace('"read"', '"once"') + ";", "of tools only those that read"),
        (OPEN.format("job.read").replace("permit", "forbid") + ";", "only a permit can be"),
        ('@approval("ops") ' + OPEN.format("job.read") + ";", "it cannot have an obligation, an approval"),
        ('@obligation("read_only") ' + OPEN.format("job.read") + ";", "it cannot have an obligation, an approval"),
        ("@shadow " + OPEN.format("job.read") + ";", "it cannot have an obligation, an approval"),
    ],
)
def test_fail_open_is_refused_on_anything_else(policy: str, said: str) -> None:
    with pytest.raises(BundleRefused) as caught:
        with_policy(policy)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"own.cedar": HEAD + " when { " + "!" * 300 + "true };"}, "nested too deep or too long"),
        ({"own.cedar": HEAD + " when { " + "(" * 60 + "true" + ")" * 60 + " };"}, "nested too deep or too long"),
        ({"own.cedar": HEAD + " when { " + " && ".join(["true"] * 400) + " };"}, "nested too deep or too long"),
        (
            {"own.cedar": "\n".join(f'@id("p{n}") permit (principal, action, resource);' for n in range(1001))},
            "1 to 1000",
        ),
        ({"own.cedar": "//" + "x" * 1024 * 1024}, "at most 200 files and 1048576 bytes"),
        ({f"{n}.cedar": "" for n in range(200)}, "at most 200 files"),
        ({"own/../../x.cedar": ""}, "is no file of a bundle"),
        ({"tests.yaml": "- " * 3000}, ""),
        ({"tests.yaml": "- name: a\n  ask: { action: job.read, resource: Job/a }\n  expect: allow\n" * 2001}, ""),
    ],
)
def test_a_bundle_out_of_bounds_is_refused(files: dict[str, str], said: str) -> None:
    with pytest.raises(BundleRefused) as caught:
        prove({**SHIPPED, **files})

    assert said in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(BundleRefused) as caught:
        compile_bundle(
            {
                **SHIPPED,
                "own.cedar": '@id("a") @no permit (principal, action, resource);\n'
                "permit (principal, action, resource) when { context.nothing };\n"
                '@id("b") @fail_open permit (principal, action, resource);\n'
                '@id("a") forbid (principal, action, resource);',
            }
        )

    assert len(caught.value.problems) == 5
