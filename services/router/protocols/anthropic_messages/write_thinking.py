"""How much the model is to think, as Anthropic takes it. Pure."""

from typing import NamedTuple

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.effort import BUDGET_MIN, BUDGETS, effort_of, takes_adaptive
from services.router.protocols.anthropic_messages.write_block import Block
from services.router.protocols.loss import Losses
from services.router.protocols.part import Thinking, ToolCall
from services.router.protocols.prompt import Effort, Prompt, Reasoning, Turn
from services.router.protocols.protocol import Target

_DISABLED = msgspec.Raw(b'"disabled"')
_NONE = msgspec.Raw(b'""')


class Thought(NamedTuple):
    """`config`: the request's `thinking`; `effort`: its output_config's, "" for none; `budget_tokens`: set aside
    within max_tokens; `on`: the model will think."""

    config: Block | None = None
    effort: str = ""
    budget_tokens: int = 0
    on: bool = False


def thought(prompt: Prompt, target: Target, losses: Losses, *, forced: bool) -> Thought:
    """`forced`: the model must call a tool, which Anthropic does not allow it to think about."""
    wanted = prompt.reasoning
    if wanted is None or wanted == Reasoning(kept=wanted.kept):
        return Thought()
    if prompt.origin == ANTHROPIC_MESSAGES:
        return _own(prompt, wanted)
    if wanted.effort == "none" or (wanted.effort is None and wanted.budget_tokens == 0):
        return Thought({"type": "disabled"})
    if forced:
        losses.note("reasoning", "Anthropic's models do not think where a tool must be called")
        return Thought(effort=_effort(wanted, losses)) if takes_adaptive(target.model) else Thought()
    if takes_adaptive(target.model):
        return Thought(_shown({"type": "adaptive"}, wanted), _effort(wanted, losses), on=True)
    return _budgeted(prompt, wanted, target, losses)


def _own(prompt: Prompt, wanted: Reasoning) -> Thought:
    """As the caller wrote it: what the model makes of it is between the two."""
    budget = wanted.budget_tokens
    if budget is None:
        return Thought(effort=wanted.effort or "")
    if budget == 0:
        kind = prompt.extras.get("thinking.type", _DISABLED)
        effort = prompt.extras.get("output_config.effort", _NONE)
        return Thought(_shown({"type": kind}, wanted), msgspec.json.decode(effort, type=str))
    if budget < 0:
        return Thought(_shown({"type": "adaptive"}, wanted), wanted.effort or "", on=True)
    effort_said = "" if wanted.effort == effort_of(budget) else wanted.effort or ""
    return Thought(_shown({"type": "enabled", "budget_tokens": budget}, wanted), effort_said, budget, on=True)


def _effort(wanted: Reasoning, losses: Losses) -> str:
    """Raised where Anthropic has no such word, never lowered."""
    effort: Effort | None = wanted.effort
    if effort is None and wanted.budget_tokens is not None and wanted.budget_tokens > 0:
        effort = effort_of(wanted.budget_tokens)
    if effort == "minimal":
        losses.note("reasoning.effort", "raised to Anthropic's least, low")
        return "low"
    return effort or ""


def _budgeted(prompt: Prompt, wanted: Reasoning, target: Target, losses: Losses) -> Thought:
    """For models that think by a number of tokens."""
    budget = wanted.budget_tokens
    if budget is None or budget < 0:
        budget = BUDGETS[wanted.effort or "medium"]
    if _in_tool_loop(prompt.turns):
        losses.note("reasoning", "this model thinks on only where the thoughts before its last tool call are shown")
        return Thought()
    budget = max(budget, BUDGET_MIN)
    own = prompt.output_tokens
    most = min(filter(None, (own, target.output_tokens_max)), default=0)
    if most and budget >= most:
        losses.note("reasoning", f"bounded by the {most} tokens of the whole output")
        budget = most - 1
    if budget < BUDGET_MIN:
        return Thought()
    return Thought(_shown({"type": "enabled", "budget_tokens": budget}, wanted), budget_tokens=budget, on=True)


def _shown(config: Block, wanted: Reasoning) -> Block:
    if wanted.shown is not None:
        config["display"] = "summarized" if wanted.shown else "omitted"
    return config


def _in_tool_loop(turns: tuple[Turn, ...]) -> bool:
    """Whether the model is about to go on after a call of its own that no signed thought precedes."""
    for turn in reversed(turns):
        if turn.role == "user":
            return False
        if turn.role == "assistant":
            called = any(isinstance(part, ToolCall) for part in turn.parts)
            signed = any(isinstance(part, Thinking) and (part.signature or part.sealed) for part in turn.parts)
            return called and not signed
    return False
