"""A request of a caller in the neutral form. Pure."""

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.fault import NOTHING, is_nothing
from services.router.protocols.anthropic_messages.block import CacheControl
from services.router.protocols.anthropic_messages.effort import effort_of
from services.router.protocols.anthropic_messages.read_history import History, mark
from services.router.protocols.anthropic_messages.refuse import Reading, invalid
from services.router.protocols.anthropic_messages.write_tools import TOOL_EXTRAS
from services.router.protocols.prompt import (
    Effort,
    Format,
    Prompt,
    Reasoning,
    Sampling,
    ServerTool,
    Tool,
    ToolChoice,
)

T = TypeVar("T")

_KNOWN = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "stream",
        "tools",
        "tool_choice",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "cache_control",
        "thread",
    }
)


class _Tool(msgspec.Struct):
    """One of the caller's; what the server runs has another `type`, and stays raw."""

    type: str | None = None
    name: str = ""
    description: str | None = None
    input_schema: msgspec.Raw = NOTHING
    strict: bool | None = None
    cache_control: CacheControl | None = None
    allowed_callers: msgspec.Raw = NOTHING
    defer_loading: msgspec.Raw = NOTHING
    input_examples: msgspec.Raw = NOTHING


_TOOL = msgspec.json.Decoder(_Tool)


class _ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: Literal["adaptive", "between_tools", "enabled", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: msgspec.Raw = NOTHING


class _OutputConfig(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


def read_prompt(fields: Mapping[str, msgspec.Raw], output_tokens: int | None) -> Prompt:
    """Raises Failure(INVALID) that names the field at fault."""
    if not is_nothing(fields.get("thread", NOTHING)):
        raise invalid("thread", "threads are kept by Anthropic alone, and this model is another provider's")
    history = History()
    system = fields.get("system", NOTHING)
    if not is_nothing(system):
        history.system(system)
    history.messages(fields.get("messages", NOTHING))
    extras = history.extras
    user, metadata = _metadata(fields, extras)
    config = _read(fields, "output_config", _OutputConfig) or _OutputConfig()
    return Prompt(
        origin=ANTHROPIC_MESSAGES,
        turns=tuple(history.turns),
        tools=_tools(fields, extras),
        tool_choice=_tool_choice(fields),
        output_tokens=output_tokens,
        stop=tuple(_read(fields, "stop_sequences", list[str]) or ()),
        sampling=Sampling(
            _read(fields, "temperature", float), _read(fields, "top_p", float), _read(fields, "top_k", int)
        ),
        format=_format(config.format or _read(fields, "output_format", _Format)),
        reasoning=_reasoning(_read(fields, "thinking", _Thinking), config.effort, extras),
        user=user,
        cache=mark(_read(fields, "cache_control", CacheControl)),
        service_tier=_read(fields, "service_tier", str) or "",
        metadata=metadata,
        extras=extras | {name: raw for name, raw in fields.items() if name not in _KNOWN and not is_nothing(raw)},
    )


def _read(fields: Mapping[str, msgspec.Raw], name: str, wanted: type[T]) -> T | None:
    raw = fields.get(name, NOTHING)
    if is_nothing(raw):
        return None
    with Reading(name):
        return msgspec.json.decode(raw, type=wanted)


def _tools(fields: Mapping[str, msgspec.Raw], extras: dict[str, msgspec.Raw]) -> tuple[Tool | ServerTool, ...]:
    raws = _read(fields, "tools", list[msgspec.Raw]) or []
    return tuple(_tool(f"tools.{at}", raw, extras) for at, raw in enumerate(raws))


def _tool(at: str, raw: msgspec.Raw, extras: dict[str, msgspec.Raw]) -> Tool | ServerTool:
    with Reading(at):
        tool = _TOOL.decode(raw)
    if tool.type not in (None, "custom"):
        return ServerTool(ANTHROPIC_MESSAGES, tool.type, raw)
    if not tool.name:
        raise invalid(f"{at}.name", "must be the tool's name")
    for name in TOOL_EXTRAS:
        value: msgspec.Raw = getattr(tool, name)
        if not is_nothing(value):
            extras[f"{at}.{name}"] = value
    schema = None if is_nothing(tool.input_schema) else tool.input_schema
    return Tool(tool.name, tool.description or "", schema, tool.strict, cache=mark(tool.cache_control))


def _tool_choice(fields: Mapping[str, msgspec.Raw]) -> ToolChoice | None:
    found = _read(fields, "tool_choice", _ToolChoice)
    if found is None:
        return None
    parallel = None if found.disable_parallel_tool_use is None else not found.disable_parallel_tool_use
    match found.type:
        case "any":
            return ToolChoice("required", parallel=parallel)
        case "tool" if found.name:
            return ToolChoice("named", found.name, parallel)
        case "tool":
            raise invalid("tool_choice.name", "must name a tool")
        case "none":
            return ToolChoice("none", parallel=parallel)
        case _:
            return ToolChoice("auto", parallel=parallel)


def _format(found: _Format | None) -> Format | None:
    if found is None:
        return None
    if is_nothing(found.schema):
        raise invalid("output_config.format.schema", "must be a JSON schema")
    return Format("schema", schema=found.schema)


def _reasoning(found: _Thinking | None, effort: Effort | None, extras: dict[str, msgspec.Raw]) -> Reasoning | None:
    if found is None:
        return None if effort is None else Reasoning(effort)
    shown = None if found.display is None else found.display == "summarized"
    match found.type:
        case "disabled" | "between_tools":
            if effort is not None:
                extras["output_config.effort"] = msgspec.Raw(msgspec.json.encode(effort))
            if found.type == "between_tools":  # no thinking, but notes on progress in thinking blocks
                extras["thinking.type"] = msgspec.Raw(b'"between_tools"')
            return Reasoning("none", 0, shown)
        case "enabled":
            budget = found.budget_tokens
            if budget is None or budget < 1:
                raise invalid("thinking.budget_tokens", "must be a whole number of at least 1")
            return Reasoning(effort or effort_of(budget), budget, shown)
        case "adaptive":
            return Reasoning(effort, -1, shown)


def _metadata(fields: Mapping[str, msgspec.Raw], extras: dict[str, msgspec.Raw]) -> tuple[str, dict[str, str]]:
    user, words = "", {}
    for name, raw in (_read(fields, "metadata", dict[str, msgspec.Raw]) or {}).items():
        if is_nothing(raw):
            continue
        try:
            value = msgspec.json.decode(raw, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            extras[f"metadata.{name}"] = raw
            continue
        if name == "user_id":
            user = value
        else:
            words[name] = value
    return user, words
