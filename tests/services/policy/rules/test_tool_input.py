"""Tools' JSON Schemas as Cedar types, and rules about a tool's arguments."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.policy import ActionName, Entity, Question
from penstock.kit.identity import Claims
from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.decide import Verdict
from services.policy.rules.sources import BundleRefused, read_sources
from services.policy.rules.tool_input import Misfit, cedar_type, in_type, read_tools

REFUND = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "items": {"type": "array", "items": {"type": "integer"}},
        "to": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "why": {"type": ["string", "null"]},
        "urgent": {"type": "boolean", "default": False},
        "either": {"type": ["string", "integer"]},
        "currency": {"enum": ["EUR", "USD"]},
        "again": {"$ref": "#"},
        "part": {"$ref": "#/$defs/part"},
    },
    "required": ["amount", "why"],
    "$defs": {"part": {"type": "integer"}},
}
LIMIT = """
@id("small-refunds") @reason("a refund is at most 500")
forbid (principal, action == Action::"tool.call", resource == Tool::"refund")
when { context.input.amount.greaterThan(decimal("500.0")) };
"""
ALICE = Claims("acme", "user:alice", 0.0, scopes=("*",), tools=("*",))


def bundle(policies: str, tools: dict[str, object] | None = None) -> Bundle:
    files = read_sources(STARTER)
    described = {"refund": REFUND} if tools is None else tools
    return compile_bundle({**files, "own.cedar": policies, "tools.json": json.dumps(described)})


def ask(of: Bundle, tool: str, arguments: object) -> Verdict:
    given = msgspec.Raw(b"" if arguments is None else json.dumps(arguments).encode())
    question = Question(ActionName("tool.call"), Entity("Tool", tool, {"effect": "read"}), "att", input=given)
    return of.judge(ALICE, [question], frozenset(), "", 0.0)[0]


def test_a_json_schema_becomes_a_cedar_type() -> None:
    kind = read_tools(json.dumps({"refund": REFUND}))["refund"]
    text = cedar_type(kind)

    assert '"amount": decimal' in text
    assert '"items"?: Set<Long>' in text
    assert '"to"?: {"name": String}' in text
    assert '"why"?: String' in text
    assert '"urgent": Bool' in text
    assert '"currency"?: String' in text
    assert '"part"?: Long' in text
    assert "either" not in text


def test_arguments_become_a_value_of_that_type_and_no_more() -> None:
    kind = read_tools(json.dumps({"refund": REFUND}))["refund"]
    value = in_type(b'{"amount": 5, "why": null, "urgent": true, "items": [1, 2.0], "unknown": "x", "either": 1}', kind)

    assert value == {
        "amount": {"__extn": {"fn": "decimal", "arg": "5.0000"}},
        "urgent": True,
        "items": [1, 2],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (b"", "missing"),
        (b"[]", "not a JSON object"),
        (b"{", "not a JSON object"),
        (b'{"why": "x", "urgent": false}', "input.amount is missing"),
        (b'{"amount": "5", "why": "x", "urgent": false}', "input.amount is not what"),
        (b'{"amount": true, "why": "x", "urgent": false}', "input.amount is not what"),
        (b'{"amount": 1e300, "why": "x", "urgent": false}', "input.amount is not what"),
        (b'{"amount": 1, "urgent": false, "items": [' + b"1," * 256 + b"1]}", "input.items is not what"),
        (b'{"amount": 1, "urgent": false, "items": [1e999]}', "not"),
        (b'{"a":' * 5000, "not a JSON object"),
        (b'{"x":"' + b"x" * 70_000 + b'"}', "larger than"),
    ],
)
def test_arguments_that_are_not_of_the_type_are_said(arguments: bytes, said: str) -> None:
    with pytest.raises(Misfit, match=said):
        in_type(arguments, read_tools(json.dumps({"refund": REFUND}))["refund"])


def test_a_rule_compares_a_tools_arguments() -> None:
    rules = bundle(LIMIT)

    assert ask(rules, "refund", {"amount": 500, "why": "x", "urgent": False}).permits
    refused = ask(rules, "refund", {"amount": 500.01, "why": "x", "urgent": False})
    assert [reason.text for reason in refused.reasons] == ["a refund is at most 500"]
    assert ask(rules, "other", None).permits


@pytest.mark.parametrize("arguments", [None, {"amount": "1000"}, {"why": "x"}, {"amount": [1000]}])
def test_what_a_rule_cannot_look_at_is_refused_and_not_passed_over(arguments: object) -> None:
    refused = ask(bundle(LIMIT), "refund", arguments)

    assert (refused.effect, refused.reasons[0].policy) == ("deny", "schema")


def test_a_list_of_what_may_be_done_has_the_tool_whose_arguments_nobody_knows_yet() -> None:
    question = Question(ActionName("tool.call"), Entity("Tool", "refund", {"effect": "read"}), "att")
    (listed,) = bundle(LIMIT).judge(ALICE, [question], frozenset(), "", 0.0, listing=True)

    assert listed.permits


def test_a_fact_of_the_name_input_does_not_pass_for_arguments() -> None:
    given = msgspec.Raw(b'{"amount": 501, "why": "x", "urgent": false}')
    question = Question(
        ActionName("tool.call"), Entity("Tool", "refund"), "att", context={"input": "none"}, input=given
    )

    assert not bundle(LIMIT).judge(ALICE, [question], frozenset(), "", 0.0)[0].permits


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        (LIMIT.replace("input.amount", "input.amuont"), "attribute `input.amuont`"),
        (LIMIT.replace('.greaterThan(decimal("500.0"))', " > 500"), "small-refunds"),
        (LIMIT.replace("amount", "either"), "attribute `input.either`"),
        (LIMIT.replace('resource == Tool::"refund"', "resource"), "say of which tool"),
        (LIMIT.replace('action == Action::"tool.call"', "action"), "say of which tool"),
        (LIMIT.replace('Tool::"refund"', 'Tool::"refnud"'), "which tools.json does not describe"),
        (LIMIT.replace("context.input.amount", "context.input.why"), "small-refunds"),
    ],
)
def test_a_slip_about_arguments_is_refused_when_the_bundle_is_read(policies: str, said: str) -> None:
    with pytest.raises(BundleRefused) as caught:
        bundle(policies)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("[]", "tools.json cannot be read"),
        ('{"a": 1}', "tools.json cannot be read"),
        ('{"a": {"type": "string"}}', "must be of type object"),
        ('{"a":' * 5000, "tools.json cannot be read"),
    ],
)
def test_a_bad_tools_file_is_refused(tools: str, said: str) -> None:
    with pytest.raises(BundleRefused, match=said):
        compile_bundle({**read_sources(STARTER), "tools.json": tools})


def test_a_schema_without_a_place_for_arguments_says_what_it_needs() -> None:
    files = read_sources(STARTER)
    schema = files["schema.cedarschema"].replace("type Input = {};", "type Input = { a: Long };")
    files = {**files, "schema.cedarschema": schema, "own.cedar": LIMIT, "tools.json": json.dumps({"refund": REFUND})}
    with pytest.raises(BundleRefused, match="needs `type Input"):
        compile_bundle(files)


SCHEMAS = st.recursive(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "boolean", "number", "null", "whatever")]),
    lambda inner: st.one_of(
        st.builds(lambda one: {"type": "array", "items": one}, inner),
        st.builds(
            lambda named: {"type": "object", "properties": named, "required": list(named)},
            st.dictionaries(st.text(max_size=8), inner, max_size=4),
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=12), SCHEMAS, max_size=5))
def test_whatever_a_tools_schema_says_is_a_type_that_cedar_takes(properties: dict[str, object]) -> None:
    used = (
        '@id("x") forbid (principal, action == Action::"tool.call", resource == Tool::"t") when { context has input };'
    )
    compile_bundle(
        {
            **read_sources(STARTER),
            "own.cedar": used,
            "tools.json": json.dumps({"t": {"type": "object", "properties": properties}}),
        }
    )
