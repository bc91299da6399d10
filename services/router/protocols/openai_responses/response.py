"""The Response object around the output: state, usage and what it repeats of the request. Pure."""

from collections.abc import Mapping

import msgspec

from penstock.contracts.llm import Usage
from services.router.fault import NOTHING
from services.router.protocols.answer import AnswerPart, Finish
from services.router.protocols.openai_chat.usage import CompletionDetails, PromptDetails, Reported, counted
from services.router.protocols.openai_responses.reading import UNREADABLE, Json, is_null
from services.router.protocols.part import Refusal, ToolCall
from services.router.protocols.protocol import Shape

IN_PROGRESS = "in_progress"
COMPLETED = "completed"
INCOMPLETE = "incomplete"
MAX_TOKENS = "max_output_tokens"
FILTER = "content_filter"
_REASONS = {
    Finish.LENGTH: MAX_TOKENS,
    Finish.CONTEXT: MAX_TOKENS,
    Finish.FILTERED: FILTER,
}
_UNSAID: Json = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What an answer says where the request said nothing."""


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    total_tokens: int | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Whole(msgspec.Struct):
    """A Response object as a provider wrote it."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    incomplete_details: _Incomplete | None = None

    @property
    def finish_word(self) -> str:
        """The provider's own word for why it ended."""
        if self.status == INCOMPLETE:
            return (self.incomplete_details and self.incomplete_details.reason) or INCOMPLETE
        return self.status or COMPLETED


def finish_of(word: str, *, called: bool, refused: bool) -> Finish:
    """Calls that are to be carried out outweigh every word."""
    if called:
        return Finish.TOOLS
    if word == FILTER:
        return Finish.FILTERED
    if word != COMPLETED:
        return Finish.LENGTH
    return Finish.REFUSED if refused else Finish.STOP


def finish_with(word: str, parts: tuple[AnswerPart, ...]) -> Finish:
    """See `finish_of`."""
    called = any(isinstance(part, ToolCall) for part in parts)
    return finish_of(word, called=called, refused=any(isinstance(part, Refusal) for part in parts))


def reason(finish: Finish, *, refused: bool = False) -> str:
    """Of incomplete_details; empty for an answer that is complete. `refused`: the refusal stands in it as words."""
    if finish is Finish.REFUSED:
        return "" if refused else FILTER
    return _REASONS.get(finish, "")


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """None where there is none, or none that can be read."""
    if is_null(raw):
        return None
    try:
        found = msgspec.json.decode(raw, type=_Usage)
    except UNREADABLE:
        return None
    given = found.input_tokens_details or _InputDetails()
    made = found.output_tokens_details or _OutputDetails()
    return counted(
        Reported(
            found.input_tokens,
            found.output_tokens,
            found.total_tokens,
            PromptDetails(given.cached_tokens, given.cache_write_tokens),
            CompletionDetails(made.reasoning_tokens),
        )
    )


def write_usage(usage: Usage) -> Json:
    """`input_tokens` holds what was cached, `output_tokens` the reasoning."""
    wrote = usage.cache_write + usage.cache_write_1h
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": wrote},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def response_id(own: str, shape: Shape) -> str:
    """The provider's where it is of this protocol."""
    return own if own.startswith("resp_") else shape.id


def response(
    shape: Shape, own_id: str, status: str, output: object, usage: Usage | None = None, incomplete: str = ""
) -> Json:
    """The whole object."""
    made: Json = {
        "id": response_id(own_id, shape),
        "object": "response",
        "created_at": shape.created,
        "status": status,
        "model": shape.model,
        "output": output,
    }
    made |= _UNSAID
    made |= _echoed(shape.echo)
    if incomplete:
        made["incomplete_details"] = {"reason": incomplete}
    made["usage"] = None if usage is None else write_usage(usage)
    return made


def _echoed(echo: Mapping[str, msgspec.Raw]) -> Mapping[str, msgspec.Raw]:
    return {name: raw for name, raw in echo.items() if name in _UNSAID and not is_null(raw)}
