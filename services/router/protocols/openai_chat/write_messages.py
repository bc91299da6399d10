"""Turns as `messages` of a chat-completions request. Pure."""

from collections.abc import Mapping, Sequence

from penstock.contracts.llm import OPENAI_CHAT
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat.write_parts import Json, note_mark, write_content
from services.router.protocols.part import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Turn

Names = Mapping[tuple[str, str], str]
"""The name on the wire of a tool, by its namespace and name."""


def write_turns(turns: Sequence[Turn], names: Names, thoughts_field: str, losses: Losses) -> list[Json]:
    """`thoughts_field`: the field in which the target takes thoughts back, empty when it takes none."""
    messages: list[Json] = []
    for number, turn in enumerate(turns):
        at = f"messages.{number}"
        if turn.role == "tool":
            messages += _results(turn, at, losses)
            continue
        if turn.role == "assistant":
            message = _assistant(turn, at, names, thoughts_field, losses)
        else:
            content = write_content(turn.parts, f"{at}.content", losses, media=turn.role == "user")
            message = {"role": turn.role, "content": content}
        if turn.name:
            message["name"] = turn.name
        messages.append(message)
    return messages


def write_call(call: ToolCall, name: str) -> Json:
    """`name`: of the tool on the wire. No arguments are `{}`: what reads them as JSON expects some."""
    if call.custom:
        written: Json = {"id": call.id, "type": "custom", "custom": {"name": name, "input": call.arguments}}
    else:
        function = {"name": name, "arguments": call.arguments or "{}"}
        written = {"id": call.id, "type": "function", "function": function}
    if call.signature:
        written["extra_content"] = {"google": {"thought_signature": call.signature}}
    return written


def _assistant(turn: Turn, at: str, names: Names, thoughts_field: str, losses: Losses) -> Json:
    message: Json = {"role": "assistant", "content": None}
    content: list[Part] = []
    calls: list[Json] = []
    thoughts: list[str] = []
    for number, part in enumerate(turn.parts):
        match part:
            case ToolCall():
                calls.append(write_call(part, names.get((part.namespace, part.name), part.name)))
            case Thinking():
                thoughts += _thoughts(part, f"{at}.content.{number}", thoughts_field, losses)
            case Opaque() if part.origin == OPENAI_CHAT and part.type in _OWN_FIELDS:
                message[part.type] = part.raw
            case _:
                if calls and isinstance(part, Text):
                    losses.note(f"{at}.content.{number}", "text after a tool call is put before it")
                content.append(part)
    if thoughts:
        message[thoughts_field] = "".join(thoughts)
    if len(content) == 1 and isinstance(content[0], Refusal):
        message["refusal"] = content[0].text
    elif content or not calls:
        message["content"] = write_content(content, f"{at}.content", losses, media=False)
    if calls:
        message["tool_calls"] = calls
    return message


_OWN_FIELDS = ("reasoning_details", "audio", "annotations")


def _thoughts(part: Thinking, at: str, thoughts_field: str, losses: Losses) -> list[str]:
    if part.signature or part.sealed:
        losses.note(at, "signed or sealed thoughts cannot be said in chat completions")
    if not thoughts_field:
        losses.note(at, "the provider takes no thoughts of earlier turns")
        return []
    return [part.text] if part.text else []


def _results(turn: Turn, at: str, losses: Losses) -> list[Json]:
    """One message for each result. Media, which such a message cannot hold, come in a user's message after them all."""
    messages: list[Json] = []
    shown: list[Part] = []
    for number, result in enumerate(turn.parts):
        if not isinstance(result, ToolResult):
            losses.grave(f"{at}.{number}", "a part that is no result among the results of tools")
            continue
        messages.append(_result(result, f"{at}.{number}", shown, losses))
    if shown:
        content = write_content(shown, f"{at}.content", losses, media=True)
        messages.append({"role": "user", "content": content})
    return messages


def _result(result: ToolResult, at: str, shown: list[Part], losses: Losses) -> Json:
    note_mark(result.cache, at, losses)
    if result.failed:
        losses.note(f"{at}.is_error", "that the tool failed is said by its text alone")
    texts: list[Part] = []
    for number, part in enumerate(result.parts):
        if isinstance(part, Media):
            losses.note(f"{at}.content.{number}", f"an {part.kind} from a tool is shown as one from the user")
            texts.append(Text(f"[{part.kind}: shown in the next message]"))
            shown += [Text(f"The {part.kind} that the tool call {result.call} gave:"), part]
        else:
            texts.append(part)
    content = write_content(texts, f"{at}.content", losses, media=False)
    return {"role": "tool", "tool_call_id": result.call, "content": content}
