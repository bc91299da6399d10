"""Tools, and which of them may be called, as Anthropic takes them. Pure."""

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.legal import NAME_MAX_CHARS, wire_name
from services.router.protocols.anthropic_messages.write_block import Block, marked
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt, ServerTool, Tool

TOOL_EXTRAS = ("allowed_callers", "defer_loading", "input_examples")
"""What a tool of this protocol may say that the neutral form has no place for."""
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_OBJECT = msgspec.Raw(b'"object"')
_MODES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def write_tools(prompt: Prompt, losses: Losses) -> list[object]:
    """A tool that is not carried is a grave loss."""
    made = [_tool(f"tools.{at}", tool, prompt, losses) for at, tool in enumerate(prompt.tools)]
    return [tool for tool in made if tool is not None]


def write_tool_choice(prompt: Prompt, losses: Losses, *, offered: bool) -> Block | None:
    """Nothing where no tools are offered: Anthropic refuses a choice among none."""
    wanted = prompt.tool_choice
    if wanted is None:
        return None
    if not offered:
        if wanted.mode in ("required", "named"):
            losses.grave("tool_choice", "none of the tools could be offered")
        return None
    choice: Block = {"type": _MODES[wanted.mode]}
    if wanted.mode == "named":
        choice["name"] = wire_name(wanted.name, _namespace(prompt, wanted.name))
    if wanted.parallel is not None and wanted.mode != "none":
        choice["disable_parallel_tool_use"] = not wanted.parallel
    return choice


def _tool(at: str, tool: Tool | ServerTool, prompt: Prompt, losses: Losses) -> object | None:
    if isinstance(tool, ServerTool):
        if tool.origin == ANTHROPIC_MESSAGES:
            return tool.raw
        losses.grave(at, f"a tool of type {tool.type[:60]} is run by another provider alone")
        return None
    if tool.custom:
        losses.grave(at, "Anthropic has no tools that take free text")
        return None
    name = wire_name(tool.name, tool.namespace)
    if len(name) > NAME_MAX_CHARS:
        losses.grave(at, f"its name is longer than the {NAME_MAX_CHARS} characters that Anthropic takes")
        return None
    made: Block = {"name": name}
    if tool.description:
        made["description"] = tool.description
    made["input_schema"] = _schema(tool.parameters)
    if tool.strict:
        made["strict"] = True
    if prompt.origin == ANTHROPIC_MESSAGES:
        made |= {name: prompt.extras[f"{at}.{name}"] for name in TOOL_EXTRAS if f"{at}.{name}" in prompt.extras}
    return marked(made, tool.cache)


def _schema(parameters: msgspec.Raw | None) -> object:
    """Byte for byte, unless it lacks the type that Anthropic wants said."""
    if parameters is None:
        return _NO_PARAMETERS
    try:
        fields = msgspec.json.decode(parameters, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return parameters
    return parameters if "type" in fields else {"type": _OBJECT} | fields


def _namespace(prompt: Prompt, name: str) -> str:
    return next((tool.namespace for tool in prompt.tools if isinstance(tool, Tool) and tool.name == name), "")
