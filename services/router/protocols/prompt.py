"""A request for a model's answer, in no protocol's spelling. Values only.

Whatever a caller may leave out is None (or empty) here when it was left out: absent stays absent.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from services.router.protocols.part import CacheMark, Part

Role = Literal["system", "user", "assistant", "tool"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Turn(msgspec.Struct, frozen=True):
    """One message. System turns may stand anywhere (`developer` is read as system). ToolResult stands in `tool` turns
    alone, ToolCall and Thinking in `assistant` turns alone; where a protocol mixes results and words in one message,
    the results come first, as a turn of their own. `name`: OpenAI's name of the speaker."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call. `parameters`: its JSON Schema, raw; None when it was given none. `custom`: takes
    free text (`grammar`: OpenAI's format object, raw). `namespace`: Responses' group of tools it stands in."""

    name: str
    description: str = ""
    parameters: msgspec.Raw | None = None
    strict: bool | None = None
    custom: bool = False
    grammar: msgspec.Raw | None = None
    namespace: str = ""
    cache: CacheMark | None = None


class ServerTool(msgspec.Struct, frozen=True):
    """A tool that the provider itself runs (web search, code execution, computer …), in the protocol `origin`'s own
    words. Elsewhere it is a loss."""

    origin: str
    type: str
    raw: msgspec.Raw


class ToolChoice(msgspec.Struct, frozen=True):
    """`named` asks for the tool `name`. `parallel`: whether several may be called in one answer."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str = ""
    parallel: bool | None = None


class Format(msgspec.Struct, frozen=True):
    """What the answer's text must be: any text, some JSON object, or JSON of a schema."""

    kind: Literal["text", "json", "schema"]
    name: str = ""
    schema: msgspec.Raw | None = None
    strict: bool | None = None
    description: str = ""


class Reasoning(msgspec.Struct, frozen=True):
    """How much the model is to think. `effort` is never lowered silently. `budget_tokens`: Anthropic's and Gemini's;
    -1: as the model likes, 0: not at all. `shown`: whether thoughts or their summary are wanted; `summary`: Responses'
    word for how (auto, concise, detailed). `kept`: the sealed form is wanted in the answer (encrypted_content)."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    shown: bool | None = None
    summary: str = ""
    kept: bool = False


class Sampling(msgspec.Struct, frozen=True):
    """Numbers as the caller gave them."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The whole request. `origin`: the protocol it was written in. `extras`: top-level fields that have no place here,
    raw, under the caller's names (with null values left out): each is a loss where the target is another protocol,
    unless that protocol is known to have no use for it (`metadata`, `store: false`). `cache`: the protocol's top-level
    cache mark. `user`: the end user's id as the caller gave it. `wants_usage`: OpenAI's include_usage."""

    origin: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | ServerTool, ...] = ()
    tool_choice: ToolChoice | None = None
    output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    format: Format | None = None
    reasoning: Reasoning | None = None
    choices: int = 1
    user: str = ""
    cache_key: str = ""
    cache: CacheMark | None = None
    service_tier: str = ""
    metadata: Mapping[str, str] = {}
    extras: Mapping[str, msgspec.Raw] = {}
    wants_usage: bool = False
