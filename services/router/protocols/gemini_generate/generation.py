"""How an answer is to be made: `generationConfig` both ways. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.fields import Fields, Malformed, fields, flag, number, text, texts, whole
from services.router.protocols.gemini_generate.schema import json_schema
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Effort, Format, Prompt, Reasoning, Sampling
from services.router.protocols.protocol import Target

PATH = "generationConfig"
CHOICES_MAX = 128
_LEVELS: dict[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
_WORDS = {effort: level for level, effort in _LEVELS.items()} | {"max": "XHIGH"}
_JSON = "application/json"
_KNOWN = frozenset(
    {"temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"}
    | {"maxOutputTokens", "stopSequences", "candidateCount", "thinkingConfig"}
    | {"responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema"}
)


class Generation(NamedTuple):
    """What a `generationConfig` says, as a Prompt holds it."""

    sampling: Sampling
    output_tokens: int | None
    stop: tuple[str, ...]
    choices: int
    format: Format | None
    reasoning: Reasoning | None


def read_generation(raw: msgspec.Raw | None, left: Fields) -> Generation:
    """What has no place in the neutral form is put into `left` under its path. Raises Malformed."""
    found = {} if raw is None else fields(raw, PATH)
    for name, value in found.items():
        if name not in _KNOWN:
            left[f"{PATH}.{name}"] = value
    return Generation(
        _sampling(found),
        at_least_one(found, "maxOutputTokens"),
        texts(found, "stopSequences", PATH),
        candidates(found),
        _format(found, left),
        _reasoning(found, left),
    )


def candidates(found: Fields) -> int:
    """How many answers are wanted. Raises Malformed."""
    count = at_least_one(found, "candidateCount") or 1
    if count > CHOICES_MAX:
        raise Malformed(f"{PATH}.candidateCount", f"must be at most {CHOICES_MAX}")
    return count


def at_least_one(found: Fields, name: str) -> int | None:
    """A number of things; None when it is absent. Raises Malformed."""
    value = whole(found, name, PATH)
    if value is not None and value < 1:
        raise Malformed(f"{PATH}.{name}", "must be at least 1")
    return value


def write_generation(prompt: Prompt, target: Target, losses: Losses) -> dict[str, object]:
    """The `generationConfig`, empty when nothing was asked for."""
    sampling = prompt.sampling
    cap = prompt.output_tokens
    if target.output_tokens_max:
        cap = min(cap or target.output_tokens_max, target.output_tokens_max)
    made: dict[str, object | None] = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs,
        "maxOutputTokens": cap,
        "stopSequences": prompt.stop or None,
        "candidateCount": prompt.choices if prompt.choices > 1 else None,
        "thinkingConfig": _thinking(prompt.reasoning, losses) or None,
    }
    written = {name: value for name, value in made.items() if value is not None}
    written |= _written_format(prompt.format, losses)
    if prompt.origin == GEMINI_GENERATE:
        written |= below(prompt.extras, PATH)
    return written


def below(extras: Mapping[str, msgspec.Raw], path: str) -> dict[str, msgspec.Raw]:
    """What was left over directly below `path`."""
    start = f"{path}."
    return {
        name.removeprefix(start): value
        for name, value in extras.items()
        if name.startswith(start) and "." not in name.removeprefix(start)
    }


def _sampling(found: Fields) -> Sampling:
    return Sampling(
        temperature=number(found, "temperature", PATH),
        top_p=number(found, "topP", PATH),
        top_k=whole(found, "topK", PATH),
        seed=whole(found, "seed", PATH),
        presence_penalty=number(found, "presencePenalty", PATH),
        frequency_penalty=number(found, "frequencyPenalty", PATH),
        logprobs=flag(found, "responseLogprobs", PATH),
        top_logprobs=whole(found, "logprobs", PATH),
    )


def _format(found: Fields, left: Fields) -> Format | None:
    mime = text(found, "responseMimeType", PATH)
    ours, json = found.get("responseSchema"), found.get("responseJsonSchema", found.get("_responseJsonSchema"))
    if mime not in ("", _JSON, "text/plain"):  # an enum's bare value, another medium: no other protocol has it
        for name in ("responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema"):
            if name in found:
                left[f"{PATH}.{name}"] = found[name]
        return None
    if json is not None:
        return Format("schema", schema=json)
    if ours is not None:
        return Format("schema", schema=json_schema(ours, f"{PATH}.responseSchema"))
    if not mime:
        return None
    return Format("json" if mime == _JSON else "text")


def _written_format(wanted: Format | None, losses: Losses) -> dict[str, object]:
    if wanted is None:
        return {}
    if wanted.description:
        losses.note("response_format.description", "the description of the answer's schema is left out")
    if wanted.kind == "text":
        return {"responseMimeType": "text/plain"}
    if wanted.schema is None:
        return {"responseMimeType": _JSON}
    return {"responseMimeType": _JSON, "responseJsonSchema": wanted.schema}


def _reasoning(found: Fields, left: Fields) -> Reasoning | None:
    raw = found.get("thinkingConfig")
    if raw is None:
        return None
    path = f"{PATH}.thinkingConfig"
    config = fields(raw, path)
    for name, value in config.items():
        if name not in ("includeThoughts", "thinkingBudget", "thinkingLevel"):
            left[f"{path}.{name}"] = value
    level = text(config, "thinkingLevel", path).upper()
    if level and level not in _LEVELS and level != "THINKING_LEVEL_UNSPECIFIED":
        raise Malformed(f"{path}.thinkingLevel", f"must be one of {', '.join(_LEVELS)}")
    budget = whole(config, "thinkingBudget", path)
    return Reasoning(_LEVELS.get(level), budget, flag(config, "includeThoughts", path))


def _thinking(wanted: Reasoning | None, losses: Losses) -> dict[str, object]:
    if wanted is None:
        return {}
    made: dict[str, object] = {}
    shown = True if wanted.shown is None and wanted.summary else wanted.shown
    if shown is not None:
        made["includeThoughts"] = shown
    if wanted.summary not in ("", "auto"):
        losses.note("reasoning.summary", "how thoughts are summed up is left to the model")
    if wanted.effort == "none":
        return made | {"thinkingBudget": 0}
    if wanted.effort is None:
        return made if wanted.budget_tokens is None else made | {"thinkingBudget": wanted.budget_tokens}
    if wanted.budget_tokens is not None:
        losses.note("thinking.budget_tokens", "the budget is left out: Gemini takes a level or a budget")
    if wanted.effort == "max":
        losses.note("reasoning.effort", "max is asked for as XHIGH, Gemini's highest")
    return made | {"thinkingLevel": _WORDS[wanted.effort]}
