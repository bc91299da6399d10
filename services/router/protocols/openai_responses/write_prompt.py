"""The neutral form as a Responses request for a provider. Refuses nothing: what is not carried is noted. Pure."""

import msgspec

from penstock.contracts.llm import OPENAI_CHAT, OPENAI_RESPONSES
from services.router.protocols.loss import OF_MEANING, Losses
from services.router.protocols.openai_responses.read_prompt import GROUPS, LOGPROBS, SEALED
from services.router.protocols.openai_responses.reading import FIELDS, NAMED_TEXTS, TEXTS, UNREADABLE, Json
from services.router.protocols.openai_responses.tools import write_choice, write_tools
from services.router.protocols.openai_responses.write_items import TURNS, write_items
from services.router.protocols.prompt import Effort, Format, Prompt, Reasoning, Sampling
from services.router.protocols.protocol import Target

_SHARED = ("store", "safety_identifier", "prompt_cache_retention", "prompt_cache_options")
"""Extras of chat completions that mean the same here."""
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
_HARMLESS = frozenset({"store"})
_LOW_TOKENS, _MEDIUM_TOKENS = 2_048, 16_384


def write_prompt(prompt: Prompt, target: Target, losses: Losses) -> bytes:
    """See Protocol.write_prompt."""
    extras = dict(prompt.extras)
    instructions, items = write_items(prompt, losses)
    made: Json = {"model": target.model, "input": items}
    if instructions is not None:
        made["instructions"] = instructions
    if target.streamed:
        made["stream"] = True
    _cap(made, prompt, target)
    _tools(made, prompt, extras, losses)
    _form(made, prompt, extras)
    include = _sampling(made, prompt.sampling, losses) + _reasoning(made, prompt, extras, losses)
    _rest(made, prompt, losses)
    _extras(made, prompt.origin, extras, include, losses)
    return msgspec.json.encode(made)


def _cap(made: Json, prompt: Prompt, target: Target) -> None:
    asked, most = prompt.output_tokens or 0, target.output_tokens_max
    cap = min(asked, most) if asked and most else asked or most
    if cap:
        made["max_output_tokens"] = cap


def _tools(made: Json, prompt: Prompt, extras: dict[str, msgspec.Raw], losses: Losses) -> None:
    described: dict[str, str] = {}
    if prompt.origin == OPENAI_RESPONSES and (raw := extras.pop(GROUPS, None)) is not None:
        try:
            described = NAMED_TEXTS.decode(raw)
        except UNREADABLE:
            losses.note(GROUPS, "descriptions of groups of tools are not carried")
    tools = write_tools(prompt.tools, described, losses)
    if tools:
        made["tools"] = tools
    choice = prompt.tool_choice
    if choice is not None and not tools and choice.mode in ("required", "named"):
        losses.grave("tool_choice", "there is no tool left to choose")
    elif choice is not None:
        made["tool_choice"] = write_choice(choice, prompt.tools)
        if choice.parallel is not None:
            made["parallel_tool_calls"] = choice.parallel


def _form(made: Json, prompt: Prompt, extras: dict[str, msgspec.Raw]) -> None:
    text: Json = {}
    if prompt.format is not None:
        text["format"] = _written_format(prompt.format)
    if prompt.origin == OPENAI_CHAT and (verbosity := extras.pop("verbosity", None)) is not None:
        text["verbosity"] = verbosity
    if prompt.origin == OPENAI_RESPONSES and (rest := extras.pop("text", None)) is not None:
        text |= FIELDS.decode(rest)
    if text:
        made["text"] = text


def _written_format(form: Format) -> Json:
    if form.kind != "schema":
        return {"type": "json_object" if form.kind == "json" else "text"}
    schema: object = {"type": "object"} if form.schema is None else form.schema
    made: Json = {"type": "json_schema", "name": form.name or "answer", "schema": schema}
    if form.strict is not None:
        made["strict"] = form.strict
    return made | ({"description": form.description} if form.description else {})


def _sampling(made: Json, sampling: Sampling, losses: Losses) -> list[str]:
    """What must be included in the answer for it."""
    for name, value in (
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("top_logprobs", sampling.top_logprobs),
    ):
        if value is not None:
            made[name] = value
    for name, value in (
        ("top_k", sampling.top_k),
        ("seed", sampling.seed),
        ("presence_penalty", sampling.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty),
    ):
        if value is not None:
            losses.note(name, f"{name} is not carried")
    if sampling.logprobs:
        losses.note("logprobs", "log probabilities do not come back")
    return [LOGPROBS] if sampling.logprobs else []


def _reasoning(made: Json, prompt: Prompt, extras: dict[str, msgspec.Raw], losses: Losses) -> list[str]:
    """What must be included in the answer for it."""
    asked = prompt.reasoning or Reasoning()
    written: Json = {}
    effort = asked.effort or _effort_of(asked.budget_tokens, losses)
    if effort is not None:
        written["effort"] = effort
    if asked.summary or asked.shown:
        written["summary"] = asked.summary or "auto"
    if prompt.origin == OPENAI_RESPONSES and (rest := extras.pop("reasoning", None)) is not None:
        written |= FIELDS.decode(rest)
    if written:
        made["reasoning"] = written
    return [SEALED] if asked.kept else []


def _effort_of(budget_tokens: int | None, losses: Losses) -> Effort | None:
    """A budget in the only words there are for it here."""
    if budget_tokens is None or budget_tokens < 0:
        return None
    if budget_tokens == 0:
        return "none"
    effort: Effort = "high" if budget_tokens > _MEDIUM_TOKENS else "medium"
    if budget_tokens <= _LOW_TOKENS:
        effort = "low"
    losses.note("reasoning.budget_tokens", f"a budget of {budget_tokens} tokens is carried as the effort {effort}")
    return effort


def _rest(made: Json, prompt: Prompt, losses: Losses) -> None:
    for name, value in (("user", prompt.user), ("prompt_cache_key", prompt.cache_key), ("metadata", prompt.metadata)):
        if value:
            made[name] = value
    tier = prompt.service_tier
    if tier and (tier in _TIERS or prompt.origin in (OPENAI_CHAT, OPENAI_RESPONSES)):
        made["service_tier"] = tier
    elif tier:
        losses.note("service_tier", f"the service tier {tier[:40]!r} is not carried")
    if prompt.stop:
        losses.grave("stop", "stop sequences are not carried")
    if prompt.choices > 1:
        losses.grave("n", "more than one answer is not carried")
    if prompt.turns and prompt.turns[-1].role == "assistant" and prompt.origin not in (OPENAI_CHAT, OPENAI_RESPONSES):
        at = f"{TURNS.get(prompt.origin, 'messages')}.{len(prompt.turns) - 1}"
        losses.grave(at, "the beginning of an answer is not gone on with: the model takes it for history")
    if prompt.cache is not None:
        losses.note("cache", "cache marks are not carried; prefixes are cached without them")


def _extras(made: Json, origin: str, extras: dict[str, msgspec.Raw], include: list[str], losses: Losses) -> None:
    if origin == OPENAI_RESPONSES:
        if (raw := extras.pop("include", None)) is not None:
            include = [*include, *TEXTS.decode(raw)]
        made |= extras
    elif origin == OPENAI_CHAT:
        made |= {name: raw for name in _SHARED if (raw := extras.pop(name, None)) is not None}
    if include:
        made["include"] = include
    if origin != OPENAI_RESPONSES:
        for name in extras:
            if name in OF_MEANING:
                losses.grave(name, f"{name} is not carried")
            elif name not in _HARMLESS:
                losses.note(name, f"{name[:60]} is not carried")
