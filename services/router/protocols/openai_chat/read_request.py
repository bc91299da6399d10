"""A chat-completions request read into the neutral form. Pure."""

from typing import get_args

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.openai_chat.fields import NOT_JSON, Fields, invalid, is_text
from services.router.protocols.openai_chat.plain import plain_tool
from services.router.protocols.openai_chat.read_messages import read_turns
from services.router.protocols.openai_chat.read_parts import Extras, read_cache
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

_SEARCH = "web_search_options"
"""Asks for a search even where it is empty."""
_EFFORTS: dict[str, Effort] = {effort: effort for effort in get_args(Effort)}


def read_prompt(values: dict[str, msgspec.Raw]) -> Prompt:
    """`values`: the top-level fields, raw. Raises Failure(INVALID) that names the field at fault."""
    fields = Fields(values.copy())
    for name in ("model", "stream"):
        fields.raw(name)
    extras: Extras = {}
    turns = read_turns(fields.items("messages"), extras)
    caps = [cap for cap in (fields.whole("max_completion_tokens"), fields.whole("max_tokens")) if cap is not None]
    wants_usage = _wants_usage(fields, extras)
    prompt = Prompt(
        origin=OPENAI_CHAT,
        turns=turns,
        tools=_tools(fields, extras),
        tool_choice=_tool_choice(fields, extras),
        output_tokens=min(caps, default=None),
        stop=_stop(fields),
        sampling=_sampling(fields),
        format=_format(fields, extras),
        reasoning=_reasoning(fields, extras),
        choices=fields.whole("n") or 1,
        user=fields.text("user"),
        cache_key=fields.text("prompt_cache_key"),
        service_tier=fields.text("service_tier"),
        metadata=_metadata(fields, extras),
        wants_usage=wants_usage,
    )
    if (search := fields.raw(_SEARCH)) is not None:
        extras[_SEARCH] = search
    return msgspec.structs.replace(prompt, extras=extras | fields.rest())


def _wants_usage(fields: Fields, extras: Extras) -> bool:
    options = fields.fields("stream_options")
    if options is None:
        return False
    wanted = options.flag("include_usage") is True
    extras.update(options.rest())
    return wanted


def _tools(fields: Fields, extras: Extras) -> tuple[Tool | ServerTool, ...]:
    raws = fields.items("tools")
    tools: list[Tool | ServerTool] = [_tool(raw, f"tools.{at}", extras) for at, raw in enumerate(raws)]
    tools += [_function(old, extras) for old in fields.listed("functions")]
    return tuple(tools)


def _tool(raw: msgspec.Raw, at: str, extras: Extras) -> Tool | ServerTool:
    plain = plain_tool(raw)
    if plain is None:
        return _other_tool(raw, at, extras)
    told = plain.function
    parameters = None if isinstance(told.parameters, msgspec.UnsetType) else told.parameters
    return Tool(told.name, told.description, parameters, told.strict)


def _other_tool(raw: msgspec.Raw, at: str, extras: Extras) -> Tool | ServerTool:
    entry = Fields.of(raw, at)
    kind = entry.text("type")
    mark = read_cache(entry)
    if kind in ("function", ""):
        function = entry.fields("function")
        if function is None:
            raise entry.wrong("function", "must be an object with a name")
        tool = _function(function, extras)
    elif kind == "custom":
        custom = entry.fields("custom")
        if custom is None:
            raise entry.wrong("custom", "must be an object with a name")
        tool = Tool(_name(custom), custom.text("description"), custom=True, grammar=custom.raw("format"))
        extras.update(custom.rest())
    else:
        return ServerTool(OPENAI_CHAT, kind, raw)
    extras.update(entry.rest())
    return msgspec.structs.replace(tool, cache=mark) if mark else tool


def _function(fields: Fields, extras: Extras) -> Tool:
    parameters = _object(fields, "parameters")
    tool = Tool(_name(fields), fields.text("description"), parameters, fields.flag("strict"))
    extras.update(fields.rest())
    return tool


def _name(fields: Fields) -> str:
    name = fields.text("name")
    if not name:
        raise fields.wrong("name", "must not be empty")
    return name


def _object(fields: Fields, name: str) -> msgspec.Raw | None:
    """An object that is carried raw."""
    raw = fields.raw(name)
    if raw is not None and memoryview(raw)[0] != ord("{"):
        raise fields.wrong(name, "must be an object")
    return raw


def _tool_choice(fields: Fields, extras: Extras) -> ToolChoice | None:
    parallel = fields.flag("parallel_tool_calls")
    field = "tool_choice" if fields.peek("tool_choice") is not None else "function_call"
    raw = fields.raw(field)
    if raw is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if not is_text(raw):
        return _named_choice(raw, field, parallel, extras)
    match Fields({field: raw}).text(field):
        case "auto":
            return ToolChoice("auto", parallel=parallel)
        case "none":
            return ToolChoice("none", parallel=parallel)
        case "required" | "any":
            return ToolChoice("required", parallel=parallel)
    raise invalid(field, "must be auto, none, required or an object that names a tool")


def _named_choice(raw: msgspec.Raw, field: str, parallel: bool | None, extras: Extras) -> ToolChoice | None:
    choice = Fields.of(raw, field)
    kind = choice.text("type")
    if kind in ("function", "custom", ""):
        named = choice if field == "function_call" else choice.fields(kind or "function")
        name = "" if named is None else named.text("name")
        if not name:
            raise choice.wrong("function", "must name a tool")
        return ToolChoice("named", name, parallel)
    extras[field] = raw
    return None if parallel is None else ToolChoice(parallel=parallel)


def _stop(fields: Fields) -> tuple[str, ...]:
    raw = fields.peek("stop")
    if raw is None:
        return ()
    if is_text(raw):
        stop = fields.text("stop")
        return (stop,) if stop else ()
    return tuple([Fields({"stop": each}).text("stop") for each in fields.items("stop")])


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        seed=fields.whole("seed"),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.whole("top_logprobs"),
    )


def _format(fields: Fields, extras: Extras) -> Format | None:
    raw = fields.raw("response_format")
    if raw is None:
        return None
    wanted = Fields.of(raw, "response_format")
    match wanted.text("type"):
        case "text":
            return Format("text")
        case "json_object":
            return Format("json")
        case "json_schema":
            schema = wanted.fields("json_schema")
            if schema is None:
                raise wanted.wrong("json_schema", "must be an object")
            found = Format(
                "schema",
                schema.text("name"),
                _object(schema, "schema"),
                schema.flag("strict"),
                schema.text("description"),
            )
            extras.update(schema.rest())
            return found
    extras["response_format"] = raw  # a grammar of vLLM's or the like
    return None


def _reasoning(fields: Fields, extras: Extras) -> Reasoning | None:
    """`reasoning_effort`, and OpenRouter's `reasoning` object."""
    said = fields.text("reasoning_effort")
    raw = fields.peek("reasoning")
    wanted = fields.fields("reasoning") if raw is not None and memoryview(raw)[0] == ord("{") else None
    if wanted is None:
        return Reasoning(_effort(said, "reasoning_effort")) if said else None
    said = said or wanted.text("effort")
    excluded = wanted.flag("exclude")
    budget = wanted.whole("max_tokens")
    if wanted.flag("enabled") is False:
        budget = 0
    extras.update(wanted.rest())
    shown = None if excluded is None else not excluded
    return Reasoning(_effort(said, "reasoning.effort") if said else None, budget, shown)


def _effort(said: str, path: str) -> Effort:
    effort = _EFFORTS.get(said)
    if effort is None:
        raise invalid(path, f"must be one of {', '.join(_EFFORTS)}")
    return effort


def _metadata(fields: Fields, extras: Extras) -> dict[str, str]:
    raw = fields.raw("metadata")
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, str])
    except NOT_JSON:
        extras["metadata"] = raw
        return {}
