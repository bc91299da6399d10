"""Tools and what may be called of them: `tools` and `toolConfig` both ways. Pure."""

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.fields import Fields, Malformed, fields, items, text, texts
from services.router.protocols.gemini_generate.schema import json_schema
from services.router.protocols.gemini_generate.spelled import wire_name
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt, ServerTool, Tool, ToolChoice

Tools = tuple[Tool | ServerTool, ...]
_FUNCTIONS = "functionDeclarations"
_CALLING = "toolConfig.functionCallingConfig"
_MODES = frozenset({"AUTO", "ANY", "NONE", "VALIDATED"})


def read_tools(raw: msgspec.Raw | None, config: msgspec.Raw | None, left: Fields) -> tuple[Tools, ToolChoice | None]:
    """The tools that may be called, and how. Only some allowed: the others are not among them. Raises Malformed."""
    tools: list[Tool | ServerTool] = []
    for number, one in enumerate(items(raw, "tools")):
        at = f"tools.{number}"
        for name, value in fields(one, at).items():
            if name != _FUNCTIONS:
                tools.append(ServerTool(GEMINI_GENERATE, name, value))
                continue
            for place, declared in enumerate(items(value, f"{at}.{_FUNCTIONS}")):
                tools.append(_declared(declared, f"{at}.{_FUNCTIONS}.{place}", left))
    return _chosen(tuple(tools), config, left)


def write_tools(prompt: Prompt, losses: Losses) -> list[dict[str, object]]:
    """`tools`, in their order; functions that follow one another stand in one list."""
    made: list[dict[str, object]] = []
    functions: list[dict[str, object]] = []
    for number, tool in enumerate(prompt.tools):
        path = f"tools.{number}"
        if isinstance(tool, ServerTool):
            if tool.origin != GEMINI_GENERATE:
                losses.grave(path, f"the tool {tool.type[:60]!r} is not offered: only {tool.origin} runs it")
                continue
            functions = []
            made.append({tool.type: tool.raw})
        elif tool.custom:
            losses.grave(path, f"the tool {tool.name[:60]!r} is not offered: it takes free text, Gemini gives objects")
        else:
            if not functions:
                made.append({_FUNCTIONS: functions})
            functions.append(_declaration(tool, path, losses))
    return made


def write_tool_config(prompt: Prompt, losses: Losses) -> dict[str, object]:
    """`toolConfig`, empty when nothing was asked for. A strict tool asks for calls that keep to the schemas."""
    choice = prompt.tool_choice or ToolChoice()
    if choice.parallel is False:
        losses.note("parallel_tool_calls", "the model may call several tools at once: Gemini cannot be told not to")
    strict = any(isinstance(tool, Tool) and tool.strict is True for tool in prompt.tools)
    calling: dict[str, object] = {}
    match choice.mode:
        case "auto" if strict:
            calling = {"mode": "VALIDATED"}
        case "auto" if prompt.tool_choice is not None:
            calling = {"mode": "AUTO"}
        case "none":
            calling = {"mode": "NONE"}
        case "required":
            calling = {"mode": "ANY"}
        case "named":
            calling = {"mode": "ANY", "allowedFunctionNames": [_wire_name(prompt, choice.name)]}
        case _:
            pass
    return {"functionCallingConfig": calling} if calling else {}


def _wire_name(prompt: Prompt, name: str) -> str:
    spaces = [tool.namespace for tool in prompt.tools if isinstance(tool, Tool) and tool.name == name]
    return wire_name(name, spaces[0] if spaces else "")


def _declared(raw: msgspec.Raw, path: str, left: Fields) -> Tool:
    found = fields(raw, path)
    name = text(found, "name", path)
    if not name:
        raise Malformed(f"{path}.name", "must name the function")
    parameters = found.get("parametersJsonSchema")
    if parameters is None and (own := found.get("parameters")) is not None:
        parameters = json_schema(own, f"{path}.parameters")
    for spelled, value in found.items():
        if spelled not in ("name", "description", "parameters", "parametersJsonSchema"):
            left[f"{path}.{spelled}"] = value
    return Tool(name, text(found, "description", path), parameters)


def _declaration(tool: Tool, path: str, losses: Losses) -> dict[str, object]:
    if tool.cache is not None:
        losses.note(path, "the cache mark is left out: Gemini caches by itself")
    made: dict[str, object] = {"name": wire_name(tool.name, tool.namespace)}
    if tool.description:
        made["description"] = tool.description
    if tool.parameters is not None:
        made["parametersJsonSchema"] = tool.parameters
    return made


def _chosen(tools: Tools, raw: msgspec.Raw | None, left: Fields) -> tuple[Tools, ToolChoice | None]:
    if raw is None:
        return tools, None
    found = fields(raw, "toolConfig")
    for name, value in found.items():
        if name != "functionCallingConfig":
            left[f"toolConfig.{name}"] = value
    if "functionCallingConfig" not in found:
        return tools, None
    calling = fields(found["functionCallingConfig"], _CALLING)
    for name, value in calling.items():
        if name not in ("mode", "allowedFunctionNames"):
            left[f"{_CALLING}.{name}"] = value
    mode = text(calling, "mode", _CALLING).upper()
    allowed = texts(calling, "allowedFunctionNames", _CALLING)
    if mode in ("", "MODE_UNSPECIFIED"):
        return tools, None
    if mode not in _MODES:
        raise Malformed(f"{_CALLING}.mode", "must be one of AUTO, ANY, NONE, VALIDATED")
    return _restricted(tools, mode, allowed)


def _restricted(tools: Tools, mode: str, allowed: tuple[str, ...]) -> tuple[Tools, ToolChoice]:
    """Only functions can be allowed or not."""
    if mode in ("AUTO", "NONE"):
        return tools, ToolChoice("none" if mode == "NONE" else "auto")
    if mode == "ANY" and len(allowed) == 1:
        return tools, ToolChoice("named", allowed[0])
    kept = tuple(tool for tool in tools if not allowed or not isinstance(tool, Tool) or tool.name in allowed)
    if mode == "ANY":
        return kept, ToolChoice("required")
    return tuple(_strict(tool) for tool in kept), ToolChoice("auto")


def _strict(tool: Tool | ServerTool) -> Tool | ServerTool:
    return msgspec.structs.replace(tool, strict=True) if isinstance(tool, Tool) else tool
