"""What the tool executor answers: which tools there are for the caller, and one call of one of them."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec import Raw
from msgspec.json import encode
from msgspec.structs import replace

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import INPUT_MAX_BYTES, NO_INPUT, ActionName, Entity, Fact, Question
from penstock.contracts.tools import ToolCall, ToolList, ToolListRequest, ToolResult
from penstock.kit.boundary import Action, Boundary, Settlement
from penstock.kit.clock import Clock
from penstock.kit.json_text import texts
from penstock.kit.metrics import Metrics
from penstock.kit.screened import screened, suspicions
from penstock.kit.span import UNTRACED, Kind, Tracer
from services.tool_executor.check import ArgumentLimits, Arguments, BadArguments, decode_arguments, digest
from services.tool_executor.ledger import Call, Claim, Ledger
from services.tool_executor.obliged import HONOURED, OF_ROWS, Obliged
from services.tool_executor.registry import Registry, Tool
from services.tool_executor.runner import OutOfBounds, Prepared

_OUTCOME_MARGIN_S = 60.0
_CLEAN_UP_S = 0.5


@dataclass(slots=True)
class _Asked:
    """One call as it was asked for. `prepared` is None, and `problem` says why, for one that cannot be made."""

    digest: str
    key: str
    prepared: Prepared | None = None
    problem: str = ""
    arguments: Arguments = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)


class Handlers:
    """What is wrong with arguments or in a tool is a result that the model sees (`is_error`); a refusal, or a part of
    the plane that fails, is a Failure."""

    def __init__(
        self,
        registry: Registry,
        boundary: Boundary,
        ledger: Ledger,
        limits: ArgumentLimits,
        clock: Clock,
        metrics: Metrics,
        tracer: Tracer = UNTRACED,
        *,
        screens: bool = True,
    ) -> None:
        """`screens`: policy is told what is found in arguments, and runs what is found in results."""
        self._registry = registry
        self._boundary = boundary
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._tracer = tracer
        self._screens = screens

    async def list_tools(self, request: ToolListRequest, meta: Meta) -> ToolList:
        """The tools that the caller may call, those that want an approval first included."""
        tools = [tool for tool in self._registry.all() if not request.names or tool.entry.name in request.names]
        questions = [_question(tool, {}, "", None) for tool in tools]
        decisions = await self._boundary.evaluate_many(questions, meta, honours=HONOURED | OF_ROWS)
        answers = zip(tools, decisions, strict=True)
        return ToolList([tool.spec for tool, answer in answers if answer.decision or answer.context.effect == "hold"])

    async def call_tool(self, request: ToolCall, meta: Meta) -> ToolResult:
        """Policy is asked first, whatever the arguments are worth: who may not call a tool learns nothing of it."""
        tool = self._registry.get(request.tool)
        if tool is None:
            raise Failure(Code.NOT_FOUND, "there is no such tool", param="tool")
        began = self._clock.monotonic()
        status = "failure"
        try:
            result = await self._traced(tool, request, meta)
            status = "error" if result.is_error else "ok"
            return result
        finally:
            self._metrics.tool_calls.add(tool.entry.name, status)
            self._metrics.tool_seconds.see(self._clock.monotonic() - began, tool.entry.name)

    async def _traced(self, tool: Tool, request: ToolCall, meta: Meta) -> ToolResult:
        """https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/, without arguments and results."""
        name = tool.entry.name
        with self._tracer.span(f"execute_tool {name}", Kind.INTERNAL, meta) as span:
            span.tell("gen_ai.operation.name", "execute_tool")
            span.tell("gen_ai.tool.name", name)
            result = await self._decided(tool, request, span.meta)
            span.tell("penstock.decision", result.decision)
            if result.is_error:
                span.fail("tool_error")
            return result

    async def _decided(self, tool: Tool, request: ToolCall, meta: Meta) -> ToolResult:
        asked = await self._asked(tool, request, meta)
        question = _question(tool, asked.facts, asked.digest, asked.arguments)
        async with self._boundary.action(question, meta, honours=HONOURED | tool.runner.honours) as action:
            obliged = Obliged(action.obligations)
            try:
                result, error = await self._carried_out(tool, asked, obliged, request, meta)
            finally:
                action.applied(obliged.applied)
            _settle(action, result, error)
            return replace(result, decision=action.decision.context.id)

    async def _carried_out(
        self, tool: Tool, asked: _Asked, obliged: Obliged, request: ToolCall, meta: Meta
    ) -> tuple[ToolResult, Code]:
        """What the caller may see, and what it stands for when it is an error."""
        asked = self._held(tool, asked, obliged)
        if asked.prepared is None:
            return obliged.result(ToolResult(asked.problem, is_error=True)), Code.INVALID
        call = _call(tool, request, meta, asked.digest + obliged.mark)
        result = await self._in_place(tool, asked.prepared, call, self._time_left_s(tool, meta))
        return obliged.result(await self._seen(tool, result)), Code.UPSTREAM

    async def _asked(self, tool: Tool, request: ToolCall, meta: Meta) -> _Asked:
        """A call that could be made, or what is wrong with it; with what policy is told of it."""
        raw = bytes(request.arguments)
        asked = _Asked(hashlib.sha256(raw).hexdigest(), _outside_key(meta.tenant, _key(tool, request, meta)))
        asked.facts = {"writes": tool.entry.effect != "read"}
        try:
            arguments = decode_arguments(raw, self._limits)
            asked.digest = digest(arguments)
            if self._screens:
                asked.facts |= await screened(list(texts(arguments, open_=True)))
            asked.arguments = tool.check.complete(arguments)
            asked.prepared = tool.runner.prepare(asked.arguments, asked.key)
            asked.facts |= asked.prepared.facts | tool.mapping.told(asked.arguments)
        except BadArguments as bad:
            asked.prepared, asked.problem = None, str(bad)
            asked.facts |= bad.facts
        return asked

    def _held(self, tool: Tool, asked: _Asked, obliged: Obliged) -> _Asked:
        """The call within what policy obliges to: its arguments changed, and checked anew as if they had come so.
        Raises Failure(DENIED) where it cannot be held to that."""
        if asked.prepared is None or not obliged:
            return asked
        try:
            arguments = tool.check.complete(obliged.arguments(asked.arguments))
            asked.prepared = tool.runner.prepare(arguments, asked.key, obliged.bounds)
            obliged.bound()
        except BadArguments as bad:
            asked.prepared, asked.problem = None, f"after policy changed the arguments: {bad}"
        except OutOfBounds as refused:
            raise Failure(Code.DENIED, str(refused)) from None
        return asked

    async def _seen(self, tool: Tool, result: ToolResult) -> ToolResult:
        """With what the result makes of a run that reads it."""
        taint = {*tool.entry.taints}
        if self._screens:
            taint |= await suspicions([result.content])
        return replace(result, taint=tuple(sorted(taint)))

    def _time_left_s(self, tool: Tool, meta: Meta) -> float:
        if not meta.deadline:
            return tool.entry.timeout_s
        return min(tool.entry.timeout_s, meta.deadline - self._clock.now())

    async def _in_place(self, tool: Tool, prepared: Prepared, call: Call, time_left_s: float) -> ToolResult:
        began = self._clock.monotonic()
        async with tool.places:
            claim = await self._ledger.begin(call, time_left_s)
            if isinstance(claim, ToolResult):
                return claim
            left_s = time_left_s - (self._clock.monotonic() - began)
            return await self._claimed(tool, prepared, claim, left_s)

    async def _claimed(self, tool: Tool, prepared: Prepared, claim: Claim, time_left_s: float) -> ToolResult:
        """Whatever happens, the ledger hears of it; when it cannot, the entry's lease ends by itself."""
        try:
            if time_left_s <= 0:
                raise Failure(Code.DEADLINE, "no time was left to call the tool")
            result = await prepared.run(time_left_s)
        except Failure as failure:
            await self._let_go(claim, unknown=failure.code is Code.UNKNOWN_OUTCOME)
            raise
        except BaseException:
            await self._let_go(claim, unknown=tool.entry.effect == "once")
            raise
        with suppress(Failure):
            await asyncio.shield(self._ledger.settle(claim, result))
        return result

    async def _let_go(self, claim: Claim, *, unknown: bool) -> None:
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(_CLEAN_UP_S):
                await (self._ledger.give_up(claim) if unknown else self._ledger.free(claim))


def _question(tool: Tool, facts: dict[str, Fact], arguments_digest: str, arguments: Arguments | None) -> Question:
    """`arguments`: as policies may look at them; None where a tool is only listed."""
    return Question(
        ActionName("tool.call"),
        Entity("Tool", tool.entry.name, tool.properties),
        new_id("att"),
        context=facts,
        arguments_digest=arguments_digest,
        outcome_due_s=tool.entry.timeout_s + _OUTCOME_MARGIN_S,
        input=_input(arguments),
    )


def _input(arguments: Arguments | None) -> Raw:
    if arguments is None:
        return NO_INPUT
    encoded = encode(arguments)
    return Raw(encoded) if len(encoded) <= INPUT_MAX_BYTES else NO_INPUT


def _call(tool: Tool, request: ToolCall, meta: Meta, arguments_digest: str) -> Call:
    """Raises Failure(INVALID) when there is nothing to know the call by, and it must not be made twice."""
    effect = tool.entry.effect
    key = _key(tool, request, meta)
    if not key and effect == "once":
        raise Failure(Code.INVALID, "this tool needs an idempotency key", param="idempotency_key")
    return Call(meta.tenant, key, f"{tool.entry.name}:{arguments_digest}", effect, meta.job, meta.epoch)


def _key(tool: Tool, request: ToolCall, meta: Meta) -> str:
    """Without an idempotency key the request and its call id are one, for tools whose effect is more than reading:
    the bus may deliver a request twice."""
    if meta.idempotency_key or tool.entry.effect == "read" or not (meta.request and request.call):
        return meta.idempotency_key
    return f"{meta.request}/{request.call}"


def _outside_key(tenant: str, key: str) -> str:
    """The key as it is shown outside the plane, where tenants may share a server: it tells nothing of either."""
    return hashlib.sha256(f"{len(tenant)}:{tenant}{key}".encode()).hexdigest()[:32] if key else ""


def _settle(action: Action, result: ToolResult, error: Code) -> None:
    action.settle(
        Settlement(
            result_digest=hashlib.sha256(result.content.encode()).hexdigest(),
            status="error" if result.is_error else "ok",
            code=error if result.is_error else "",
        )
    )
