"""Tools as a run uses them: which there are, and one call as a step with the effect that the tool declares."""

import msgspec

from penstock.contracts.subjects import DEFAULT_POOL, TOOL_CALL, TOOL_LIST
from penstock.contracts.tools import Effect, ToolCall, ToolListRequest, ToolResult, ToolSpec
from services.orchestrator.jobs.context import JobContext
from services.orchestrator.steps import Done, Try


async def offered(context: JobContext, names: tuple[str, ...]) -> dict[str, ToolSpec]:
    """Those of the tools named that there are and that the run may see, by name; looked up once per run."""
    if not names:
        return {}

    async def ask(this: Try) -> Done[list[ToolSpec]]:
        listed = await context.bus.call(TOOL_LIST, ToolListRequest(names), this.meta, pool=DEFAULT_POOL)
        return Done(listed.tools)

    specs = await context.steps.step("tools", "tools", ask, list[ToolSpec], arguments=names)
    return {spec.name: spec for spec in specs}


async def call_tool(
    context: JobContext, step: str, tool: str, arguments: msgspec.Raw, spec: ToolSpec | None
) -> ToolResult:
    """What the tool gave, cut to what a run keeps of it. A tool that nobody described is taken for `once`."""
    effect: Effect = spec.effect if spec is not None else "once"

    async def ask(this: Try) -> Done[ToolResult]:
        call = ToolCall(this.meta.idempotency_key, tool, arguments)
        result = await context.bus.call(TOOL_CALL, call, this.meta, pool=DEFAULT_POOL)
        kept = cut(result, context.bounds.tool_result_max_bytes)
        return Done(kept, decision=result.decision, taint=result.taint)

    return await context.steps.step(step, tool, ask, ToolResult, arguments=arguments, effect=effect)


def cut(result: ToolResult, max_bytes: int) -> ToolResult:
    """The result with at most so many bytes of text."""
    data = result.content.encode()
    if len(data) <= max_bytes:
        return result
    text = data[:max_bytes].decode(errors="ignore")
    return msgspec.structs.replace(result, content=text, truncated=True)
