"""A prompt as the request that Anthropic takes. Pure.

Nothing is refused here: what cannot be carried is left out and noted.
"""

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.conversation import Conversation
from services.router.protocols.anthropic_messages.effort import takes_sampling, takes_system_turns
from services.router.protocols.anthropic_messages.read_history import BILLING_EXTRA
from services.router.protocols.anthropic_messages.write_block import Block, cache_control, text
from services.router.protocols.anthropic_messages.write_thinking import Thought, thought
from services.router.protocols.anthropic_messages.write_tools import write_tool_choice, write_tools
from services.router.protocols.loss import OF_MEANING, Losses
from services.router.protocols.prompt import Format, Prompt, Sampling
from services.router.protocols.protocol import Target

OUTPUT_TOKENS = 4096
"""max_tokens is required: this, where neither the prompt nor the target bounds the output."""
NO_SAMPLING_VERSION = "2026-10-21"
"""The first version of the API without temperature, top_p and top_k."""
USER_MAX_CHARS = 256
_TIERS = {"auto": "auto", "default": "standard_only"}
_NO_USE = frozenset({"client_metadata", "include"})
_FALSE = b"false"
_RESTORED = ("tools.", "thinking.", "output_config.")
"""Details that a prompt of this protocol gets back where they stood."""


def write_prompt(prompt: Prompt, target: Target, losses: Losses) -> bytes:
    """The body of POST /v1/messages."""
    own = prompt.origin == ANTHROPIC_MESSAGES
    talk = Conversation(prompt.origin, losses, system_turns=own or takes_system_turns(target.model))
    talk.write(prompt.turns)
    if own and BILLING_EXTRA in prompt.extras:
        talk.system.insert(0, text(msgspec.json.decode(prompt.extras[BILLING_EXTRA], type=str)))
    tools = write_tools(prompt, losses)
    choice = write_tool_choice(prompt, losses, offered=bool(tools))
    thinking = thought(prompt, target, losses, forced=choice is not None and choice["type"] in ("any", "tool"))
    fields: Block = {"model": target.model, "max_tokens": _max_tokens(prompt, target, thinking)}
    optional: Block = {
        "system": talk.system,
        "messages": talk.messages,
        "tools": tools,
        "tool_choice": choice,
        "stop_sequences": _stop(prompt, losses),
        "thinking": thinking.config,
        "output_config": _output_config(prompt, thinking, losses),
        "metadata": _metadata(prompt, losses),
        "service_tier": _tier(prompt, losses),
        "cache_control": None if prompt.cache is None else cache_control(prompt.cache),
        "stream": target.streamed,
    }
    fields |= {name: value for name, value in optional.items() if value}
    fields |= _given(prompt.sampling) if own else _sampling(prompt.sampling, target, thinking, losses)
    fields |= _extras(prompt, losses)
    if prompt.choices > 1:
        losses.grave("n", "Anthropic gives one answer")
    if prompt.cache_key:
        losses.note("prompt_cache_key", "Anthropic has no key to its cache")
    return msgspec.json.encode(fields)


def _max_tokens(prompt: Prompt, target: Target, thinking: Thought) -> int:
    """The caller's cap within the target's. Thinking counts: where nobody set a cap it comes on top of the answer."""
    most = target.output_tokens_max
    if prompt.output_tokens is not None:
        return min(prompt.output_tokens, most) if most else prompt.output_tokens
    return most or OUTPUT_TOKENS + thinking.budget_tokens


def _stop(prompt: Prompt, losses: Losses) -> list[str]:
    written = [word for word in prompt.stop if word.strip()]
    if len(written) < len(prompt.stop):
        losses.note("stop", "Anthropic stops at no white space alone")
    return written


def _output_config(prompt: Prompt, thinking: Thought, losses: Losses) -> Block:
    config: Block = {}
    if thinking.effort:
        config["effort"] = thinking.effort
    schema = _schema(prompt.format, losses)
    if schema is not None:
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _schema(wanted: Format | None, losses: Losses) -> msgspec.Raw | None:
    if wanted is None or wanted.kind == "text":
        return None
    if wanted.kind == "json" or wanted.schema is None:
        losses.grave("response_format", "Anthropic gives JSON of a schema, not any JSON")
        return None
    if wanted.description:
        losses.note("response_format.json_schema.description", "Anthropic's schemas have no description of their own")
    return wanted.schema


def _metadata(prompt: Prompt, losses: Losses) -> Block:
    if prompt.origin == ANTHROPIC_MESSAGES:
        own: Block = {name: value for name, value in prompt.metadata.items()}
        return {"user_id": prompt.user} | own if prompt.user else own
    for name in prompt.metadata:
        losses.note(f"metadata.{name}", "Anthropic takes the user's id alone")
    if len(prompt.user) > USER_MAX_CHARS:
        losses.note("user", f"longer than the {USER_MAX_CHARS} characters that Anthropic takes")
        return {}
    return {"user_id": prompt.user} if prompt.user else {}


def _tier(prompt: Prompt, losses: Losses) -> str:
    if prompt.origin == ANTHROPIC_MESSAGES:
        return prompt.service_tier
    found = _TIERS.get(prompt.service_tier, "")
    if prompt.service_tier and not found:
        losses.note("service_tier", f"Anthropic has no tier {prompt.service_tier[:40]}")
    return found


def _given(sampling: Sampling) -> Block:
    wanted: Block = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    return {name: value for name, value in wanted.items() if value is not None}


def _sampling(sampling: Sampling, target: Target, thinking: Thought, losses: Losses) -> Block:
    given = _given(sampling)
    if sampling.temperature is not None and sampling.temperature > 1:
        losses.note("temperature", "lowered to Anthropic's greatest, 1")
        given["temperature"] = 1.0
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        if getattr(sampling, name) not in (None, False, 0):
            losses.note(name, "Anthropic has no such setting")
    reason = ""
    if target.version >= NO_SAMPLING_VERSION:
        reason = f"not part of Anthropic's API since {NO_SAMPLING_VERSION}"
    elif not takes_sampling(target.model):
        reason = "not taken by this model"
    elif thinking.on:
        reason = "not taken by Anthropic together with thinking"
    if not reason:
        return given
    for name in given:
        losses.note(name, reason)
    return {}


def _extras(prompt: Prompt, losses: Losses) -> Block:
    """Those of this protocol go back; a path is a detail of a block, and noted."""
    written: Block = {}
    for name, raw in prompt.extras.items():
        if name == BILLING_EXTRA or name in _NO_USE or bytes(raw) == _FALSE:
            continue
        if prompt.origin == ANTHROPIC_MESSAGES and name.startswith(_RESTORED):
            continue
        if prompt.origin == ANTHROPIC_MESSAGES and "." not in name:
            written[name] = raw
        elif name in OF_MEANING:
            losses.grave(name, "Anthropic has no place for it")
        else:
            losses.note(name, "Anthropic has no place for it")
    return written
