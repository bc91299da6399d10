"""A Responses request in the neutral form. Pure."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.fault import NOTHING
from services.router.protocols.openai_responses.read_items import read_items, user_says
from services.router.protocols.openai_responses.reading import (
    FIELDS,
    NAMED_TEXTS,
    TEXT,
    TEXTS,
    Fields,
    decoded,
    fields_of,
    flag,
    invalid,
    is_null,
    number,
    present,
    raw_of,
    text,
    whole,
    without_nulls,
)
from services.router.protocols.openai_responses.tools import read_choice, read_tools
from services.router.protocols.part import Text
from services.router.protocols.prompt import Effort, Format, Prompt, Reasoning, Sampling, Turn

GROUPS = "namespaces"
"""The extra that holds what groups of tools say of themselves."""
SEALED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
_PLACED = frozenset(
    {
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "service_tier",
        "stream",
        "stream_options",
        "temperature",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Fields with a place in the neutral form, or with a meaning for this one connection only."""
_AS_USUAL = {"truncation": b'"disabled"', "background": b"false", "store": b"true", "include": b"[]"}
"""What says no more than leaving it out: for another provider the router keeps what is to be stored."""
_ELSEWHERE = {"conversation": "a conversation", "prompt": "a stored prompt"}
_EFFORTS: dict[str, Effort] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}


def read_prompt(fields: Fields, items: str | list[msgspec.Raw]) -> Prompt:
    """`items`: the input, with all that goes before it. Raises Failure(INVALID) that names the field at fault."""
    for name, what in _ELSEWHERE.items():
        if present(fields, name) is not None:
            detail = f"{name}: {what} is known only to the provider that keeps it"
            raise Failure(Code.INVALID, detail, param=name)
    offered = read_tools(present(fields, "tools"))
    choice, tools, strange = read_choice(
        present(fields, "tool_choice"), flag(fields, "parallel_tool_calls"), offered.tools
    )
    extras = {name: raw for name, raw in without_nulls(fields).items() if name not in _PLACED}
    extras = {name: raw for name, raw in extras.items() if bytes(raw) != _AS_USUAL.get(name)}
    if not strange:
        extras.pop("tool_choice", None)
    if any(offered.groups.values()):
        extras[GROUPS] = raw_of(offered.groups)
    included = _included(extras)
    top = whole(fields, "top_logprobs", 0)
    return Prompt(
        origin=OPENAI_RESPONSES,
        turns=_turns(text(fields, "instructions"), items),
        tools=tools,
        tool_choice=choice,
        output_tokens=whole(fields, "max_output_tokens"),
        sampling=Sampling(
            temperature=number(fields, "temperature"),
            top_p=number(fields, "top_p"),
            logprobs=True if LOGPROBS in included else None,
            top_logprobs=top or None,
        ),
        format=_format(extras),
        reasoning=_reasoning(extras, SEALED in included),
        user=text(fields, "user"),
        cache_key=text(fields, "prompt_cache_key"),
        service_tier=text(fields, "service_tier"),
        metadata=_metadata(fields),
        extras=extras,
    )


def _turns(instructions: str, items: str | list[msgspec.Raw]) -> tuple[Turn, ...]:
    said = user_says(items) if isinstance(items, str) else read_items(items)
    return (Turn("system", (Text(instructions),)), *said) if instructions else said


def _metadata(fields: Fields) -> dict[str, str]:
    raw = present(fields, "metadata")
    return {} if raw is None else decoded(raw, NAMED_TEXTS, "metadata", "an object of strings")


def _included(extras: dict[str, msgspec.Raw]) -> frozenset[str]:
    """What `include` asks for; what has a place elsewhere is taken out of it."""
    raw = extras.pop("include", None)
    if raw is None:
        return frozenset()
    found = decoded(raw, TEXTS, "include", "a list of strings")
    rest = [name for name in found if name not in (SEALED, LOGPROBS)]
    if rest:
        extras["include"] = raw_of(rest)
    return frozenset(found)


class _Format(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    schema: msgspec.Raw = NOTHING


_FORMATS = msgspec.json.Decoder(_Format)


def _format(extras: dict[str, msgspec.Raw]) -> Format | None:
    """What remains of `text` (its verbosity) stays an extra."""
    rest = without_nulls(fields_of(extras, "text"))
    raw = rest.pop("format", None)
    extras.pop("text", None)
    if rest:
        extras["text"] = raw_of(rest)
    if raw is None:
        return None
    found = decoded(raw, _FORMATS, "text.format", "an object with a type")
    match found.type:
        case "text":
            return Format("text")
        case "json_object":
            return Format("json")
        case "json_schema":
            if is_null(found.schema):
                raise invalid("text.format.schema", "must be a JSON schema")
            return Format("schema", found.name or "", found.schema, found.strict, found.description or "")
        case _:
            raise invalid("text.format.type", "must be text, json_object or json_schema")


def _reasoning(extras: dict[str, msgspec.Raw], kept: bool) -> Reasoning | None:
    """What remains of `reasoning` stays an extra."""
    raw = extras.pop("reasoning", None)
    rest = {} if raw is None else decoded(raw, FIELDS, "reasoning", "an object")
    rest = without_nulls(rest)
    named = _word(rest.pop("effort", None), "reasoning.effort")
    summaries = [_word(rest.pop(name, None), f"reasoning.{name}") for name in ("summary", "generate_summary")]
    if rest:
        extras["reasoning"] = raw_of(rest)
    effort = _EFFORTS.get(named)
    if named and effort is None:
        raise invalid("reasoning.effort", f"must be one of {', '.join(_EFFORTS)}")
    summary = summaries[0] or summaries[1]
    if effort is None and not summary and not kept:
        return None
    return Reasoning(effort, shown=True if summary else None, summary=summary, kept=kept)


def _word(raw: msgspec.Raw | None, path: str) -> str:
    return "" if raw is None else decoded(raw, TEXT, path, "a string")
