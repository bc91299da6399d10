"""The neutral form written as a chat-completions request. Pure."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from penstock.contracts.llm import OPENAI_CHAT, OPENAI_RESPONSES
from services.router.protocols.loss import OF_MEANING, Losses
from services.router.protocols.openai_chat.write_messages import Names, write_turns
from services.router.protocols.openai_chat.write_parts import Json, note_mark
from services.router.protocols.prompt import Effort, Format, Prompt, Reasoning, ServerTool, Tool, ToolChoice
from services.router.protocols.protocol import Target

_OPENAI = (OPENAI_CHAT, OPENAI_RESPONSES)
_SHARED = frozenset({"verbosity", "store", "safety_identifier", "prompt_cache_retention"})
"""Fields that Responses has with the same meaning."""
_EFFORT_OF = ((0, "none"), (2048, "low"), (8192, "medium"))
"""The effort that stands for a budget of thoughts up to so many tokens; more is high."""


def write_prompt(prompt: Prompt, target: Target, losses: Losses) -> bytes:
    """Refuses nothing: what cannot be carried is left out and noted."""
    names = tool_names(prompt.tools)
    messages = write_turns(prompt.turns, names, target.thoughts_field, losses)
    request: Json = {"model": target.model, "messages": messages}
    _write_tools(request, prompt, names, losses)
    _write_lengths(request, prompt, target)
    _write_sampling(request, prompt, losses)
    if prompt.format is not None:
        request["response_format"] = _format(prompt.format)
    if prompt.reasoning is not None:
        _write_reasoning(request, prompt.reasoning, losses)
    _write_identity(request, prompt, losses)
    _write_extras(request, prompt, losses)
    if target.streamed:
        request["stream"] = True
        if target.stream_usage:
            request["stream_options"] = {"include_usage": True}
    if prompt.turns and prompt.turns[-1].role == "assistant" and prompt.origin not in _OPENAI:
        at = f"messages.{len(prompt.turns) - 1}"
        losses.grave(at, "the beginning of an answer is not gone on with: the model takes it for history")
    return msgspec.json.encode(request)


def tool_names(tools: Iterable[Tool | ServerTool]) -> dict[tuple[str, str], str]:
    """The name on the wire for a tool's namespace and name: the plain one where it is the only one of its name."""
    functions = [tool for tool in tools if isinstance(tool, Tool)]
    counts = Counter(tool.name for tool in functions)
    return {
        (tool.namespace, tool.name): f"{tool.namespace}__{tool.name}"
        if tool.namespace and counts[tool.name] > 1
        else tool.name
        for tool in functions
    }


def _write_tools(request: Json, prompt: Prompt, names: Names, losses: Losses) -> None:
    tools: list[object] = []
    for at, tool in enumerate(prompt.tools):
        if isinstance(tool, Tool):
            tools.append(_tool(tool, names[tool.namespace, tool.name], f"tools.{at}", losses))
        elif tool.origin == OPENAI_CHAT:
            tools.append(tool.raw)
        else:
            losses.grave(f"tools.{at}", f"the provider's own tool {tool.type[:60]} is not offered here")
    if tools:
        request["tools"] = tools
    choice = prompt.tool_choice
    if choice is None:
        return
    if not tools:
        if choice.mode in ("required", "named"):
            losses.grave("tool_choice", "there is no tool left to choose")
        return
    if choice.parallel is not None:
        request["parallel_tool_calls"] = choice.parallel
    if choice.mode != "auto" or choice.parallel is None:
        request["tool_choice"] = _tool_choice(choice, prompt)


def _tool(tool: Tool, name: str, at: str, losses: Losses) -> Json:
    note_mark(tool.cache, at, losses)
    described: Json = {"name": name}
    if tool.description:
        described["description"] = tool.description
    if tool.custom:
        if tool.grammar is not None:
            described["format"] = tool.grammar
        return {"type": "custom", "custom": described}
    if tool.parameters is not None:
        described["parameters"] = tool.parameters
    if tool.strict is not None:
        described["strict"] = tool.strict
    return {"type": "function", "function": described}


def _tool_choice(choice: ToolChoice, prompt: Prompt) -> object:
    if choice.mode != "named":
        return choice.mode
    custom = any(isinstance(tool, Tool) and tool.custom and tool.name == choice.name for tool in prompt.tools)
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": choice.name}}


def _write_lengths(request: Json, prompt: Prompt, target: Target) -> None:
    most = target.output_tokens_max
    asked = prompt.output_tokens
    if asked is not None or most:
        request[target.output_tokens_field] = min(asked or most, most or asked or 0)
    if prompt.stop:
        request["stop"] = prompt.stop
    if prompt.choices > 1:
        request["n"] = prompt.choices


def _write_sampling(request: Json, prompt: Prompt, losses: Losses) -> None:
    own = prompt.origin == OPENAI_CHAT
    for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
        value = getattr(prompt.sampling, name)
        if value is not None:
            request[name] = value
    for name in ("top_k", "logprobs", "top_logprobs"):
        value = getattr(prompt.sampling, name)
        if value is None:
            continue
        if own:
            request[name] = value
        elif value is not False:
            losses.note(name, "is not carried to chat completions")


def _format(wanted: Format) -> Json:
    if wanted.kind != "schema":
        return {"type": "text" if wanted.kind == "text" else "json_object"}
    schema: Json = {"name": wanted.name or "answer"}
    if wanted.description:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _write_reasoning(request: Json, wanted: Reasoning, losses: Losses) -> None:
    effort: Effort | str | None = wanted.effort
    budget = wanted.budget_tokens
    if effort is None and budget is not None and budget >= 0:
        effort = next((word for most, word in _EFFORT_OF if budget <= most), "high")
        losses.note("reasoning.budget_tokens", f"a budget of {budget} tokens became the effort {effort}")
    elif budget is not None and budget > 0:
        losses.note("reasoning.budget_tokens", f"the budget is not carried: the effort {effort} is")
    if effort is not None:
        request["reasoning_effort"] = effort
    if wanted.kept:
        losses.note("reasoning.encrypted_content", "sealed thoughts are not given in chat completions")
    if wanted.summary:
        losses.note("reasoning.summary", "is not carried: thoughts are shown where the provider shows them")


def _write_identity(request: Json, prompt: Prompt, losses: Losses) -> None:
    if prompt.user:
        request["user"] = prompt.user
    own = prompt.origin in _OPENAI
    fields: Json = {
        "prompt_cache_key": prompt.cache_key,
        "service_tier": prompt.service_tier,
        "metadata": dict(prompt.metadata),
    }
    for name, value in fields.items():
        if value and own:
            request[name] = value
        elif value and name != "metadata":
            losses.note(name, "is not carried to chat completions")
    note_mark(prompt.cache, "prompt", losses)


def _write_extras(request: Json, prompt: Prompt, losses: Losses) -> None:
    """A field of this protocol goes on as it came, where it stood at the top."""
    for name, raw in prompt.extras.items():
        shared = prompt.origin == OPENAI_RESPONSES and name in _SHARED
        if shared or (prompt.origin == OPENAI_CHAT and "." not in name):
            request[name] = raw
        elif name in OF_MEANING:
            losses.grave(name, "cannot be said in chat completions")
        elif not (name == "store" and bytes(raw) == b"false"):
            losses.note(name, "is not carried to chat completions")
