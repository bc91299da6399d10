"""One version of a template, ready to be rendered. Pure."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import jsonschema
import msgspec
from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.contracts.errors import Code, Failure
from services.router.protocols.part import Text
from services.router.protocols.prompt import Role, Turn
from services.router.templates.version import BadTemplate, Line, VersionEntry

LOOPS_DEEP_MAX = 2
RENDERED_MAX_CHARS = 1024 * 1024
NUMBER_MAX = 1_000_000
FILTERS = (
    *("abs", "capitalize", "default", "dictsort", "first", "float", "int", "items", "join", "last", "length", "list"),
    *("lower", "replace", "reverse", "round", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique"),
    *("upper", "wordcount"),
)
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Sandbox(ImmutableSandboxedEnvironment):
    """Variables and filters, conditions and loops over what was given: no globals, no calls, no attributes of Python's
    own, and nothing that makes much out of little."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS}

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Numbers alone, and small ones: a text can be repeated until the memory is full."""
        if not all(isinstance(each, int | float) and abs(each) <= NUMBER_MAX for each in (left, right)):
            raise SecurityError(f"{operator} takes numbers of at most {NUMBER_MAX}")
        return super().call_binop(context, operator, left, right)


class PromptTemplate:
    """`name@version` is what records say."""

    def __init__(self, name: str, version: str, entry: VersionEntry) -> None:
        """Raises BadTemplate."""
        self.title = f"{name}@{version}"
        self._roles: Sequence[Role] = [line.role for line in entry.messages]
        self._defaults = {key: each["default"] for key, each in entry.variables.items() if "default" in each}
        self._schema = _schema(self.title, entry.variables)
        sandbox = Sandbox()
        self._templates = [_compiled(sandbox, self.title, line, set(entry.variables)) for line in entry.messages]
        if not self._templates:
            raise BadTemplate(f"template {self.title} has no messages")

    @cached_property
    def _validator(self) -> jsonschema.protocols.Validator:
        return jsonschema.Draft202012Validator(self._schema)

    def render(self, variables: Mapping[str, msgspec.Raw]) -> tuple[Turn, ...]:
        """Its messages. Raises Failure(INVALID) that names the variable at fault."""
        values = {**self._defaults, **{name: msgspec.json.decode(raw) for name, raw in variables.items()}}
        wrong = next(iter(sorted(self._validator.iter_errors(values), key=str)), None)
        if wrong is not None:
            raise _refused(self.title, ".".join(str(step) for step in wrong.absolute_path), wrong.message)
        turns: list[Turn] = []
        left = RENDERED_MAX_CHARS
        for role, template in zip(self._roles, self._templates, strict=True):
            text = self._text(template, values, left)
            left -= len(text)
            turns.append(Turn(role, (Text(text),)))
        return tuple(turns)

    def _text(self, template: Template, values: Mapping[str, object], most: int) -> str:
        pieces: list[str] = []
        size = 0
        try:
            for piece in template.generate(values):
                size += len(piece)
                if size > most:
                    raise Failure(Code.TOO_LARGE, f"template {self.title} renders to more than {RENDERED_MAX_CHARS}")
                pieces.append(piece)
        except (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise _refused(self.title, "", f"cannot be rendered: {error}") from None
        return "".join(pieces)


def _schema(title: str, variables: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    needed = [name for name, each in variables.items() if "default" not in each]
    schema: dict[str, object] = {
        "$schema": SCHEMA_DIALECT,
        "type": "object",
        "properties": dict(variables),
        "required": needed,
        "additionalProperties": False,
    }
    if b'"$ref"' in msgspec.json.encode(schema):
        raise BadTemplate(f"template {title}: a variable's schema may not refer to another ($ref)")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise BadTemplate(f"template {title}: a variable's schema is none: {error.message}") from None
    for name, each in variables.items():
        if "default" in each and not jsonschema.Draft202012Validator(dict(each)).is_valid(each["default"]):
            raise BadTemplate(f"template {title}: the default of {name} does not keep to its schema")
    return schema


def _compiled(sandbox: Sandbox, title: str, line: Line, variables: set[str]) -> Template:
    try:
        tree = sandbox.parse(line.content)
        _check(title, tree, variables)
        return sandbox.from_string(tree)
    except TemplateError as error:
        raise BadTemplate(f"template {title}: {error}") from None


def _check(title: str, tree: nodes.Template, variables: set[str]) -> None:
    if unknown := sorted(find_undeclared_variables(tree) - variables):
        raise BadTemplate(f"template {title} uses {unknown[0]}, which is not under its variables")
    forbidden = (
        nodes.Include,
        nodes.Import,
        nodes.FromImport,
        nodes.Extends,
        nodes.Macro,
        nodes.CallBlock,
        nodes.Call,
        nodes.Pow,
    )
    for found in tree.find_all(forbidden):
        raise BadTemplate(f"template {title}, line {found.lineno}: {type(found).__name__.lower()} may not stand there")
    if _depth(tree) > LOOPS_DEEP_MAX:
        raise BadTemplate(f"template {title}: loops may be {LOOPS_DEEP_MAX} deep")


def _depth(node: nodes.Node) -> int:
    below = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


def _refused(title: str, variable: str, why: str) -> Failure:
    where = f"variable {variable}" if variable else "variables"
    return Failure(Code.INVALID, f"template {title}, {where}: {why}"[:500], param="prompt.variables")
