"""The tools file: YAML in, checked entries or a sentence that says what to write out. Pure."""

from collections.abc import Iterable
from typing import Literal

import msgspec
import yaml

from penstock.contracts.ids import is_token
from penstock.contracts.tools import Effect
from services.tool_executor.schema import BadSchema, Schema, check_schema

FILE_BYTES_MAX = 4 * 1024 * 1024
TAINTS_MAX = 4


class BadToolsFile(ValueError):
    """A tools file that is refused whole."""


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret for the outgoing request alone. `source` is a reference: `env:NAME` or `file:/path`.

    It is put as header or query parameter `name`, after `prefix` (such as `Bearer `).
    """

    name: str
    source: str
    place: Literal["header", "query"] = "header"
    prefix: str = ""


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request. `url`, `query`, `headers`, `text`, `form` and the texts in `json` may have places such as
    `{city}`, but scheme, host and port are fixed. A query parameter, header, form field or member of `json` that
    is nothing but the place of an argument that was left out is left out too; in `json` such a text becomes the
    argument's own value, whatever its type.

    `private_hosts`: hosts that may be at private or loopback addresses. `redirects_max`: GET and HEAD only, to the
    host of `url` and to `redirect_hosts`; credentials never go to another host.
    """

    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    json: dict[str, object] | list[object] | None = None
    form: dict[str, str] | None = None
    text: str | None = None
    credentials: tuple[Credential, ...] = ()
    private_hosts: tuple[str, ...] = ()
    redirects_max: int = 0
    redirect_hosts: tuple[str, ...] = ()


class SqlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement with named parameters (`:city`), or none: then the argument `sql` is the statement.

    `database`: `sqlite:PATH`, a relative path seen from the tools file. `writes`: one INSERT, UPDATE or DELETE is
    allowed too. `tables`: the only ones that may be touched; empty is all.
    """

    database: str
    statement: str = ""
    writes: bool = False
    tables: tuple[str, ...] = ()
    rows_max: int = 200


def _no_parameters() -> Schema:
    return {"type": "object", "properties": {}}


class ToolEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool as it stands in the file. `facts`: what policy is told of the arguments, by name, in CEL
    (`amount: "args.total"`). `taints`: labels that a run bears once it has read a result of this tool."""

    name: str
    description: str
    kind: Literal["http", "sql"]
    parameters: Schema = msgspec.field(default_factory=_no_parameters)
    effect: Effect = "read"
    labels: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    timeout_s: float = 30.0
    output_max_bytes: int = 64 * 1024
    concurrency_max: int = 16
    http: HttpSettings | None = None
    sql: SqlSettings | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tools: tuple[ToolEntry, ...]


def parse(text: str) -> tuple[ToolEntry, ...]:
    """The entries, sorted by name. Raises BadToolsFile for the first thing that is wrong."""
    if len(text) > FILE_BYTES_MAX:
        raise BadToolsFile(f"the file has more than {FILE_BYTES_MAX} characters")
    try:
        document: object = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BadToolsFile(f"not YAML: {' '.join(str(error).split())}") from None
    try:
        file = msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise BadToolsFile(_where(document, str(error))) from None
    for entry in file.tools:
        try:
            _check(entry)
        except (BadToolsFile, BadSchema) as error:
            raise BadToolsFile(f"tool {entry.name!r}: {error}") from None
    _distinct(entry.name for entry in file.tools)
    return tuple(sorted(file.tools, key=lambda entry: entry.name))


def _check(entry: ToolEntry) -> None:
    if not is_token(entry.name):
        raise BadToolsFile("a name has 1 to 64 of A-Z a-z 0-9 _ and -")
    if not entry.description.strip():
        raise BadToolsFile("description is empty; write what the tool does, for the model")
    for name, value, most in (
        ("timeout_s", entry.timeout_s, 3600),
        ("output_max_bytes", entry.output_max_bytes, 16 * 1024 * 1024),
        ("concurrency_max", entry.concurrency_max, 10_000),
    ):
        if not 0 < value <= most:
            raise BadToolsFile(f"{name} is {value}; write a number above 0 and at most {most}")
    if (entry.http is None) != (entry.kind != "http") or (entry.sql is None) != (entry.kind != "sql"):
        raise BadToolsFile(f"kind {entry.kind} needs the settings `{entry.kind}:` and no others")
    if entry.sql is not None and not 0 < entry.sql.rows_max <= 100_000:
        raise BadToolsFile(f"rows_max is {entry.sql.rows_max}; write a number from 1 to 100000")
    if len(entry.taints) > TAINTS_MAX or not all(is_token(label) for label in entry.taints):
        raise BadToolsFile(f"taints are at most {TAINTS_MAX} labels of 1 to 64 of A-Z a-z 0-9 _ and -")
    if entry.http is not None and not 0 <= entry.http.redirects_max <= 10:
        raise BadToolsFile(f"redirects_max is {entry.http.redirects_max}; write a number from 0 to 10")
    check_schema(entry.parameters)


def _distinct(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadToolsFile(f"tool {name!r} is there twice; names are unique")
        seen.add(name)


def _where(document: object, message: str) -> str:
    """msgspec says `$.tools[3]`; people know the tool's name."""
    _, found, rest = message.partition("$.tools[")
    if not found or not isinstance(document, dict):
        return message
    number = rest.partition("]")[0]
    tools = document.get("tools")
    if (
        number.isdigit()
        and isinstance(tools, list)
        and int(number) < len(tools)
        and isinstance(tools[int(number)], dict)
    ):
        return f"tool {tools[int(number)].get('name')!r}: {message}"
    return message
