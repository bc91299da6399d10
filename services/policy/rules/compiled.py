"""From the files of a bundle to the bundle: parsed, checked against the schema, every problem named."""

import re
from collections.abc import Mapping
from functools import lru_cache

import cedarpy
from cedarpy import pst

from services.policy.rules.annotations import rule
from services.policy.rules.bundle import Bundle, Parsed
from services.policy.rules.decide import Rule
from services.policy.rules.fail_open import fail_open_problem
from services.policy.rules.nesting import too_deep
from services.policy.rules.never import never_applies
from services.policy.rules.references import looks_at_input
from services.policy.rules.schema_shape import Shape, ShapeUnreadable, read_shape
from services.policy.rules.sources import (
    SCHEMA_FILE,
    TOOLS_FILE,
    BundleRefused,
    check_sources,
    version_of,
)
from services.policy.rules.tool_input import RecordOf, cedar_type, read_tools

POLICIES_MAX = 1000
INPUT_TOOLS_MAX = 200
_INPUT_TYPE = re.compile(r"\btype\s+Input\s*=\s*\{\s*\}\s*;")
_ACTION = re.compile(r'for policy `policy\d+`, | in context for [\w:]*Action::"[^"]*"')
_INPUT_FACT = re.compile(r"\binput\s*\?\s*:\s*Input\b")


def compile_bundle(files: dict[str, str]) -> Bundle:
    """The bundle, without its own tests (bundle_cases.py). Raises BundleRefused."""
    sources = check_sources(files)
    return Bundle(version_of(sources), _compiled(tuple(sources.items())), sources)


@lru_cache(maxsize=4)
def _compiled(files: tuple[tuple[str, str], ...]) -> Parsed:
    """Raises BundleRefused. The same for the same files, which are read each time one of them is touched."""
    sources = dict(files)
    text = sources.get(SCHEMA_FILE)
    schema, shape = _schema(text)
    texts = {name: text for name, text in sources.items() if name.endswith(".cedar")}
    problems: list[str] = [] if texts else ["there is no *.cedar file"]
    tools: dict[str, RecordOf] = {}
    try:
        tools = read_tools(sources.get(TOOLS_FILE, "{}"))
    except ValueError as error:
        problems.append(f"{TOOLS_FILE} {error}")
    for name, policies in texts.items():
        problems.extend(_unreadable(name, policies))
    if problems:
        raise BundleRefused(problems)
    return _parsed("\n".join(texts.values()), text or "", schema, shape, tools)


def _unreadable(name: str, text: str) -> list[str]:
    if too_deep(text):
        return [f"{name} has a policy that is nested too deep or too long"]
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        return [f"{name} cannot be read: {_short(error)}"]
    return []


def _parsed(text: str, schema_text: str, schema: cedarpy.Schema, shape: Shape, tools: Mapping[str, RecordOf]) -> Parsed:
    try:
        found = cedarpy.PolicySet.from_str(text).to_pst()
    except ValueError as error:
        raise BundleRefused([f"the policies cannot be read: {_short(error)}"]) from error
    problems: list[str] = []
    nodes = dict(sorted(found.static_policies.items(), key=lambda item: int(item[0].removeprefix("policy"))))
    if found.templates:
        problems.append("a policy has a ?slot: templates are not supported")
    if not 0 < len(nodes) <= POLICIES_MAX:
        problems.append(f"there are {len(nodes)} policies. Write 1 to {POLICIES_MAX}")
    rules = {id: rule(node.annotations, node.effect == "permit", problems) for id, node in nodes.items()}
    problems.extend(_repeated([one.id for one in rules.values() if one.id]))
    problems.extend(filter(None, (fail_open_problem(rules[id], node) for id, node in nodes.items())))
    inputs = _inputs(nodes, rules, tools, problems)
    schemas = {tool: _input_schema(schema_text, inputs[tool], problems) for tool in inputs}
    plain = {id: node for id, node in nodes.items() if not looks_at_input(node)}
    problems.extend(_misfits(plain, schema))
    for tool, typed in schemas.items():
        own = {id: node for id, node in nodes.items() if id not in plain and _tool_of(node) == tool}
        problems.extend(_misfits(own, typed or schema))
    if problems:
        raise BundleRefused(problems)
    warnings = tuple(filter(None, (never_applies(rules[id].id, node) for id, node in nodes.items())))
    typed_schemas = {tool: typed for tool, typed in schemas.items() if typed is not None}
    return Parsed(schema, shape, nodes, rules, inputs, typed_schemas, warnings)


def _inputs(
    nodes: Mapping[str, pst.Template], rules: Mapping[str, Rule], tools: Mapping[str, RecordOf], problems: list[str]
) -> dict[str, RecordOf]:
    """The types of the tools whose arguments some policy looks at."""
    inputs: dict[str, RecordOf] = {}
    for id, node in nodes.items():
        if not looks_at_input(node):
            continue
        tool = _tool_of(node)
        where = f"policy {rules[id].id!r} looks at context.input"
        if not tool:
            problems.append(f'{where}: say of which tool, with action == Action::"tool.call", resource == Tool::"name"')
        elif tool not in tools:
            problems.append(f"{where} of the tool {tool!r}, which {TOOLS_FILE} does not describe")
        else:
            inputs[tool] = tools[tool]
    if len(inputs) > INPUT_TOOLS_MAX:
        problems.append(f"policies look at the arguments of {len(inputs)} tools, at most {INPUT_TOOLS_MAX} are allowed")
    return inputs


def _tool_of(node: pst.Template) -> str:
    """The one tool whose calls the policy is about, "" when it is about others too."""
    match node.action, node.resource:
        case (
            pst.ActionEq(pst.EntityUid(_, "tool.call")) | pst.ActionIn((pst.EntityUid(_, "tool.call"),)),
            pst.ScopeEq(pst.EntityUid(pst.EntityType("Tool", ()), tool)),
        ):
            return tool
        case _:
            return ""


def _input_schema(text: str, kind: RecordOf, problems: list[str]) -> cedarpy.Schema | None:
    """The bundle's schema for calls of one tool: with its arguments, which are then always there."""
    typed, types = _INPUT_TYPE.subn(lambda _: f"type Input = {cedar_type(kind)};", text)
    typed, facts = _INPUT_FACT.subn("input: Input", typed)
    if (types, facts) != (1, 1):
        problems.append(f"{SCHEMA_FILE} needs `type Input = {{}};` and the fact `input?: Input` for context.input")
        return None
    try:
        return cedarpy.Schema.from_str(typed)
    except ValueError as error:
        problems.append(f"a tool's arguments have no Cedar type: {_short(error)}")
        return None


def _misfits(nodes: Mapping[str, pst.Template], schema: cedarpy.Schema) -> list[str]:
    if not nodes:
        return []
    # as text the policies get the ids policy0, policy1 … in their order, which the errors then name
    text = "\n".join(str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {id: node}, ()))) for id, node in nodes.items())
    result = cedarpy.validate_policies(text, schema, release_gil=True)
    names = result.id_annotations_by_policy_id
    # the same slip is found once for each action that the policy is about
    found = [f"{names.get(e.policy_id, 'a policy')}: {_ACTION.sub('', _short(e.error))}" for e in result.errors]
    problems = list(dict.fromkeys(found))
    if not result.validation_passed and not problems:
        problems.append("the policies do not fit the schema")
    return problems


def _schema(text: str | None) -> tuple[cedarpy.Schema, Shape]:
    if text is None:
        raise BundleRefused([f"there is no {SCHEMA_FILE}"])
    if too_deep(text, angles=True):
        raise BundleRefused([f"{SCHEMA_FILE} is nested too deep"])
    try:
        schema = cedarpy.Schema.from_str(text)
        return schema, read_shape(str(schema))
    except ValueError as error:
        raise BundleRefused([f"{SCHEMA_FILE} cannot be read: {_short(error)}"]) from error
    except ShapeUnreadable as error:
        raise BundleRefused([f"{SCHEMA_FILE}: {error}"]) from error


def _repeated(names: list[str]) -> list[str]:
    return [f"two policies have @id({name!r})" for name in sorted({n for n in names if names.count(n) > 1})]


def _short(error: object) -> str:
    return " ".join(str(error).split())[:500]
