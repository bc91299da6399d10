"""Tools and the choice among them, both ways. Pure.

A group of tools (`namespace`) has no like in other protocols. Its tools are flattened: `<namespace>__<name>`, so that
two groups may hold tools of one name; `groups` tells, from the request's own tools, what a flat name stood for.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

import msgspec

from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.fault import NOTHING
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.reading import (
    RAWS,
    UNREADABLE,
    Json,
    decoded,
    invalid,
    is_null,
)
from services.router.protocols.prompt import ServerTool, Tool, ToolChoice

NAME_MAX_CHARS = 64
"""Of a flat name: what every protocol takes."""
_JOINT = "__"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = NOTHING
    strict: bool | None = None
    format: msgspec.Raw = NOTHING
    tools: list[msgspec.Raw] | None = None


class _Kind(msgspec.Struct):
    type: str | None = None


class _Chosen(msgspec.Struct):
    """Every form of tool_choice that is an object."""

    type: str = ""
    name: str = ""
    mode: str = ""
    tools: list["_Chosen"] | None = None


class _Member(msgspec.Struct):
    name: str


class _Group(msgspec.Struct, tag="namespace"):
    name: str
    tools: list[_Member]


_TOOLS = msgspec.json.Decoder(_Tool)
_KINDS = msgspec.json.Decoder(_Kind)
_GROUPS = msgspec.json.Decoder(_Group)
_CHOICES = msgspec.json.Decoder(str | _Chosen)


class Offered(msgspec.Struct, frozen=True):
    """`groups`: what each namespace says of itself, by its name."""

    tools: tuple[Tool | ServerTool, ...] = ()
    groups: Mapping[str, str] = {}


def flat(namespace: str, name: str) -> str:
    """The name of a tool without its group: at most NAME_MAX_CHARS, one for one in all but hostile cases."""
    if not namespace:
        return name
    joined = f"{namespace}{_JOINT}{name}"
    clean = _NOT_IN_A_NAME.sub("_", joined)
    if clean == joined and len(joined) <= NAME_MAX_CHARS:
        return joined
    return f"{clean[: NAME_MAX_CHARS - 9]}_{zlib.crc32(joined.encode()):08x}"


def grouped(namespace: str, name: str) -> tuple[str, str]:
    """The group and the name in it of a flat name whose namespace is known; no group where they cannot be told."""
    start = f"{namespace}{_JOINT}"
    return (namespace, name[len(start) :]) if namespace and name.startswith(start) else ("", name)


def read_tools(raw: msgspec.Raw | None) -> Offered:
    """Types that are not known are tools that the provider runs itself."""
    if raw is None:
        return Offered()
    found: list[Tool | ServerTool] = []
    groups: dict[str, str] = {}
    listed = decoded(raw, RAWS, "tools", "a list")
    for at, one in enumerate(listed):
        path = f"tools.{at}"
        kind = decoded(one, _KINDS, path, "an object with a type").type
        if kind == "namespace":
            group = _tool(one, path)
            groups[group.name or ""] = group.description or ""
            for inner, each in enumerate(group.tools or []):
                found.append(_read(_tool(each, f"{path}.tools.{inner}"), each, group.name or ""))
        elif kind in ("function", "custom"):
            found.append(_read(_tool(one, path), one, ""))
        else:
            found.append(ServerTool(OPENAI_RESPONSES, kind or "", msgspec.Raw(bytes(one))))
    return Offered(tuple(found), groups)


def groups(raw: msgspec.Raw | None) -> dict[str, tuple[str, str]]:
    """Group and name by flat name, of the tools that stand in a group."""
    if raw is None or b'"namespace"' not in bytes(raw):
        return {}
    found: dict[str, tuple[str, str]] = {}
    for one in decoded(raw, RAWS, "tools", "a list"):
        try:
            group = _GROUPS.decode(one)
        except UNREADABLE:
            continue  # some other tool
        for tool in group.tools:
            found[flat(group.name, tool.name)] = (group.name, tool.name)
    return found


def _tool(raw: msgspec.Raw, path: str) -> _Tool:
    try:
        found = _TOOLS.decode(raw)
    except UNREADABLE:
        raise invalid(path, "is malformed") from None
    if not found.name:
        raise invalid(f"{path}.name", "must be a string")
    return found


def _read(found: _Tool, raw: msgspec.Raw, namespace: str) -> Tool | ServerTool:
    name = flat(namespace, found.name or "")
    description = found.description or ""
    if found.type == "custom":
        grammar = None if is_null(found.format) else found.format
        return Tool(name, description, custom=True, grammar=grammar, namespace=namespace)
    if found.type != "function":
        return ServerTool(OPENAI_RESPONSES, found.type or "", msgspec.Raw(bytes(raw)))
    parameters = None if is_null(found.parameters) else found.parameters
    return Tool(name, description, parameters, found.strict or None, namespace=namespace)


def read_choice(
    raw: msgspec.Raw | None, parallel: bool | None, offered: Sequence[Tool | ServerTool]
) -> tuple[ToolChoice | None, tuple[Tool | ServerTool, ...], bool]:
    """The choice, the tools that it leaves, and whether it is of a form that only this protocol knows.

    `allowed_tools` has no like elsewhere: the tools that are not allowed are not offered, which means the same.
    """
    tools = tuple(offered)
    if raw is None:
        return (None if parallel is None else ToolChoice(parallel=parallel)), tools, False
    try:
        chosen = _CHOICES.decode(raw)
    except UNREADABLE:
        raise invalid("tool_choice", "must be a word or an object with a type") from None
    if isinstance(chosen, str):
        match chosen:
            case "auto" | "none" | "required":
                return ToolChoice(chosen, parallel=parallel), tools, False
            case _:
                raise invalid("tool_choice", "must be auto, none, required or an object")
    if chosen.type in ("function", "custom") and chosen.name:
        return ToolChoice("named", _flat_in(chosen.name, offered), parallel), tools, False
    if chosen.type == "allowed_tools" and chosen.tools is not None:
        left = tuple([tool for tool in offered if any(_is(tool, one) for one in chosen.tools)])
        return ToolChoice("required" if chosen.mode == "required" else "auto", parallel=parallel), left, False
    return (None if parallel is None else ToolChoice(parallel=parallel)), tools, True


def _is(tool: Tool | ServerTool, chosen: _Chosen) -> bool:
    if isinstance(tool, ServerTool):
        return tool.type == chosen.type
    return bool(chosen.name) and chosen.name in (tool.name, tool.namespace, grouped(tool.namespace, tool.name)[1])


def _flat_in(name: str, offered: Sequence[Tool | ServerTool]) -> str:
    names = [tool.name for tool in offered if isinstance(tool, Tool) and _is(tool, _Chosen(name=name))]
    return name if name in names or not names else names[0]


def write_tools(
    tools: Sequence[Tool | ServerTool], described: Mapping[str, str], losses: Losses
) -> list[Json | msgspec.Raw]:
    """Tools of one group stand together again, where the first of them stood."""
    written: list[Json | msgspec.Raw] = []
    made: dict[str, list[Json]] = {}
    for at, tool in enumerate(tools):
        if isinstance(tool, ServerTool):
            if tool.origin == OPENAI_RESPONSES:
                written.append(tool.raw)
            else:
                losses.grave(f"tools.{at}", f"the tool {tool.type[:60]!r}, which its provider runs, is not carried")
            continue
        if tool.cache is not None:
            losses.note(f"tools.{at}.cache", "cache marks are not carried; prefixes are cached without them")
        namespace, name = grouped(tool.namespace, tool.name)
        one = _written(tool, name)
        if not namespace:
            written.append(one)
        elif namespace in made:
            made[namespace].append(one)
        else:
            made[namespace] = [one]
            group: Json = {"type": "namespace", "name": namespace, "description": described.get(namespace, "")}
            written.append(group | {"tools": made[namespace]})
    return written


def _written(tool: Tool, name: str) -> Json:
    made: Json = {"type": "custom" if tool.custom else "function", "name": name}
    if tool.description:
        made["description"] = tool.description
    if tool.custom:
        return made if tool.grammar is None else made | {"format": tool.grammar}
    if tool.parameters is not None:
        made["parameters"] = tool.parameters
    else:
        made["parameters"] = None
    # what is left out means strict here; elsewhere it means that nobody asked for it
    return made | {"strict": bool(tool.strict)}


def write_choice(choice: ToolChoice, tools: Sequence[Tool | ServerTool]) -> object:
    """The value of tool_choice."""
    if choice.mode != "named":
        return choice.mode
    tool = next((tool for tool in tools if isinstance(tool, Tool) and tool.name == choice.name), None)
    if tool is None:
        return {"type": "function", "name": choice.name}
    return {"type": "custom" if tool.custom else "function", "name": grouped(tool.namespace, tool.name)[1]}
