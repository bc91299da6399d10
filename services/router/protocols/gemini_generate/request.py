"""A whole request: its bytes to the neutral form and back. Pure."""

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.fields import Fields, text
from services.router.protocols.gemini_generate.generation import PATH, below, read_generation, write_generation
from services.router.protocols.gemini_generate.history import read_contents, read_system, write_history
from services.router.protocols.gemini_generate.tools import read_tools, write_tool_config, write_tools
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Target

_KNOWN = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model", "serviceTier"})
_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
_GRAVE = {
    "previous_response_id": "what was said before is not part of this request",
    "conversation": "what was said before is not part of this request",
    "thread": "what was said before is not part of this request",
    "prompt": "the stored prompt is not known here",
    "mcp_servers": "the tools of these servers are not offered",
    "container": "there is no container here",
    "web_search_options": "the web is not searched",
    "audio": "the answer is not spoken",
    "functions": "these functions are not offered",
}
_EMPTY = frozenset({b"null", b"false", b"[]", b"{}", b'""'})


def read_prompt(found: Fields) -> Prompt:
    """The request in the neutral form. Raises Malformed.

    What has no place there is among the `extras` under its path: `safetySettings`, `generationConfig.speechConfig`,
    `contents.0.parts.1.videoMetadata`.
    """
    left: Fields = {}
    said = read_contents(found["contents"], left) if "contents" in found else ()
    turns = (*read_system(found.get("systemInstruction"), left), *said)
    tools, choice = read_tools(found.get("tools"), found.get("toolConfig"), left)
    made = read_generation(found.get("generationConfig"), left)
    return Prompt(
        origin=GEMINI_GENERATE,
        turns=turns,
        tools=tools,
        tool_choice=choice,
        output_tokens=made.output_tokens,
        stop=made.stop,
        sampling=made.sampling,
        format=made.format,
        reasoning=made.reasoning,
        choices=made.choices,
        service_tier=text(found, "serviceTier", ""),
        extras={name: value for name, value in found.items() if name not in _KNOWN} | left,
    )


def write_prompt(prompt: Prompt, target: Target, losses: Losses) -> bytes:
    """The request for a provider. The model and streaming are part of its address."""
    body = write_history(prompt, losses)
    parts: dict[str, object] = {
        "tools": write_tools(prompt, losses),
        "toolConfig": write_tool_config(prompt, losses),
        "generationConfig": write_generation(prompt, target, losses),
        "serviceTier": _tier(prompt, losses),
    }
    if prompt.origin == GEMINI_GENERATE:
        _restore(prompt, parts, losses)
    else:
        _note_extras(prompt, losses)
    _note_rest(prompt, losses)
    return msgspec.json.encode(body | {name: value for name, value in parts.items() if value})


def _restore(prompt: Prompt, parts: dict[str, object], losses: Losses) -> None:
    """Puts what was left over back where it stood, but for what stood within contents and tools."""
    config = parts["toolConfig"]
    if isinstance(config, dict):
        config |= below(prompt.extras, "toolConfig")
    for name, value in prompt.extras.items():
        top = name.partition(".")[0]
        if "." not in name:
            parts[name] = value
        elif top not in (PATH, "toolConfig") or name.count(".") > 1:
            losses.note(name, "is left out")


def _note_extras(prompt: Prompt, losses: Losses) -> None:
    for name, value in prompt.extras.items():
        if bytes(memoryview(value)[:6]) in _EMPTY and name != "web_search_options":
            continue  # an empty one of these asks for a search like any other
        if name in _GRAVE:
            losses.grave(name, _GRAVE[name])
        else:
            losses.note(name, "is left out: Gemini has no such setting")


def _note_rest(prompt: Prompt, losses: Losses) -> None:
    if prompt.user:
        losses.note("user", "is left out: Gemini has no such field")
    if prompt.metadata:
        losses.note("metadata", "is left out: Gemini has no such field")
    if prompt.cache_key:
        losses.note("prompt_cache_key", "is left out: Gemini caches by itself")
    if prompt.cache is not None:
        losses.note("cache_control", "is left out: Gemini caches by itself")


def _tier(prompt: Prompt, losses: Losses) -> str:
    tier = prompt.service_tier
    if prompt.origin == GEMINI_GENERATE or not tier:
        return tier
    if tier not in _TIERS and tier != "auto":
        losses.note("service_tier", f"the tier {tier[:40]!r} is left out: Gemini has no such one")
    return _TIERS.get(tier, "")
