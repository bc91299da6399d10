"""An agent job: the tool-calling loop. That a tool is refused or fails is told to the model, and it goes on."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.tools import ToolSpec
from services.orchestrator.agents import Agent
from services.orchestrator.asks import Message, conversation, encoded
from services.orchestrator.chunks import Answer, AskedTool
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.jobs.documents import SEARCH_TOOL, search, search_arguments, search_description, shown
from services.orchestrator.jobs.model import ModelOutput, alias, ask_model
from services.orchestrator.jobs.session import recall, remember
from services.orchestrator.jobs.toolcall import call_tool, offered
from services.orchestrator.steps import in_parallel

ENDS_THE_JOB = frozenset({Code.BUDGET_EXHAUSTED, Code.UNAUTHENTICATED, Code.CANCELLED, Code.DEADLINE})
"""Failures of a tool step that the model can do nothing about."""


class _AssistantMessage(msgspec.Struct, frozen=True):
    content: str
    tool_calls: tuple[AskedTool, ...]
    role: str = "assistant"


class _ToolMessage(msgspec.Struct, frozen=True):
    tool_call_id: str
    content: str
    role: str = "tool"


async def agent(context: JobContext) -> ModelOutput:
    """Asks the model, does what it asks for, tells it what came of it, until it answers without asking."""
    definition = context.agent
    if definition is None:
        raise Failure(Code.NOT_FOUND, "the agent of this run is not known")
    asked = conversation(context.job)
    model = await alias(context, context.job.model or definition.model)
    tools = await offered(context, tuple(name for name in definition.tools if name != SEARCH_TOOL))
    options = _options(definition, tools)
    system = encoded(Message("system", definition.instructions))
    messages = [system, *await recall(context), *asked.messages]
    for turn in range(1, definition.limits.max_steps + 1):
        answer = await ask_model(context, f"model-{turn}", model, messages, options)
        if not answer.tool_calls:
            await remember(context, [*asked.messages, encoded(Message("assistant", answer.text))])
            return ModelOutput(answer.text, answer.finish, answer.model or model)
        messages += await _act(context, definition, turn, answer, tools)
    raise Failure(Code.BUDGET_EXHAUSTED, f"the agent's limit of {definition.limits.max_steps} model calls is used up")


def _options(definition: Agent, tools: dict[str, ToolSpec]) -> dict[str, msgspec.Raw]:
    described = [_described(spec) for spec in tools.values()]
    if SEARCH_TOOL in definition.tools:
        described.append(search_description(definition))
    options = {}
    if described:
        options["tools"] = msgspec.Raw(msgspec.json.encode(described))
    if definition.limits.answer_tokens:
        options["max_tokens"] = msgspec.Raw(b"%d" % definition.limits.answer_tokens)
    return options


def _described(spec: ToolSpec) -> dict[str, object]:
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


async def _act(
    context: JobContext, definition: Agent, turn: int, answer: Answer, tools: dict[str, ToolSpec]
) -> list[msgspec.Raw]:
    """Does what the answer asks for; the answer and what came of it, as messages."""
    calls_max = definition.limits.calls_max
    work = [
        _told(context, definition, f"tool-{turn}-{place}", asked, tools)
        for place, asked in enumerate(answer.tool_calls[:calls_max], start=1)
    ]
    texts = await in_parallel(work, definition.limits.parallel_max)
    texts += [f"error: not done, at most {calls_max} calls at once"] * (len(answer.tool_calls) - len(texts))
    results = [encoded(_ToolMessage(asked.id, text)) for asked, text in zip(answer.tool_calls, texts, strict=True)]
    return [encoded(_AssistantMessage(answer.text, answer.tool_calls)), *results]


async def _told(context: JobContext, definition: Agent, step: str, asked: AskedTool, tools: dict[str, ToolSpec]) -> str:
    """What the model is told of one call."""
    try:
        return await _do(context, definition, step, asked, tools)
    except Failure as failure:
        if failure.code in ENDS_THE_JOB:
            raise
        if failure.code is Code.DENIED:
            return f"denied: {failure.detail}"
        return f"error ({failure.code}): {failure.detail}"


async def _do(context: JobContext, definition: Agent, step: str, asked: AskedTool, tools: dict[str, ToolSpec]) -> str:
    arguments = _arguments(asked)
    name = asked.function.name
    if name == SEARCH_TOOL and SEARCH_TOOL in definition.tools:
        wanted = search_arguments(arguments, definition)
        return shown(await search(context, step, wanted.query, wanted.limit, wanted.collection))
    # also a tool that was not offered goes to where it is decided: what was tried stands in the record
    result = await call_tool(context, step, name, arguments, tools.get(name))
    text = result.content + ("\n[cut: the result was longer]" if result.truncated else "")
    return f"error: {text}" if result.is_error else text


def _arguments(asked: AskedTool) -> msgspec.Raw:
    text = asked.function.arguments.strip().encode() or b"{}"
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Failure(Code.INVALID, "the arguments are not a JSON object") from error
    return msgspec.Raw(text)
