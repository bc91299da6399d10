"""Names of tools and ids of calls within what OpenAI documents that it takes, and names back. Pure.

A name is at most 64 letters, digits, `_` and `-`; an id at most 40 characters in chat completions, 64 in Responses.
What does not fit is cut and ends with a digest of the whole, so that the same is always sent the same: a conversation
keeps its calls and their results together. Names in answers are turned back by what the request offered.
"""

import hashlib
import re
from collections.abc import Mapping

from msgspec.structs import replace

from penstock.contracts.llm import OPENAI_CHAT, OPENAI_RESPONSES
from services.router.protocols.answer import Answer, Begun, Piece
from services.router.protocols.loss import Losses
from services.router.protocols.part import Part, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Tool, ToolChoice, Turn

NAME_MAX_CHARS = 64
ID_MAX_CHARS: Mapping[str, int] = {OPENAI_CHAT: 40, OPENAI_RESPONSES: 64}
"""By the provider's protocol; others have rules of their own."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST_CHARS = 10
Names = Mapping[str, str]
"""What was offered, by the name it was sent under; empty when all were sent as they are."""


def fitted(prompt: Prompt, wire: str, losses: Losses) -> tuple[Prompt, Names]:
    """The prompt as a provider of the protocol `wire` takes it. Tools in a namespace are named by its writer."""
    id_max = ID_MAX_CHARS.get(wire)
    if id_max is None or not _any(prompt, id_max):
        return prompt, {}
    names: dict[str, str] = {}
    tools = []
    for at, tool in enumerate(prompt.tools):
        if isinstance(tool, Tool) and (short := _short(tool.name, tool.namespace)) != tool.name:
            losses.note(f"tools.{at}.name", f"the provider takes no such name: it is sent as {short}, and told back")
            names[short] = tool.name
            tool = replace(tool, name=short)
        tools.append(tool)
    turns = tuple(_turn(turn, number, id_max, losses) for number, turn in enumerate(prompt.turns))
    return replace(prompt, tools=tuple(tools), turns=turns, tool_choice=_choice(prompt.tool_choice)), names


def told_back(answer: Answer, names: Names) -> Answer:
    """With the names that the caller gave its tools."""
    if not names:
        return answer
    choices = tuple(
        replace(
            choice, parts=tuple(_called(part, names) if isinstance(part, ToolCall) else part for part in choice.parts)
        )
        for choice in answer.choices
    )
    return replace(answer, choices=choices)


def piece_back(piece: Piece, names: Names) -> Piece:
    """The same for a piece of a stream."""
    if names and isinstance(piece, Begun) and isinstance(piece.part, ToolCall):
        return replace(piece, part=_called(piece.part, names))
    return piece


def _any(prompt: Prompt, id_max: int) -> bool:
    """Whether anything must change, which is rare."""
    return any(
        isinstance(tool, Tool) and not tool.namespace and _NAME.fullmatch(tool.name) is None for tool in prompt.tools
    ) or any(_changes(part, id_max) for turn in prompt.turns for part in turn.parts)


def _changes(part: Part, id_max: int) -> bool:
    match part:
        case ToolCall():
            unfit = not part.namespace and _NAME.fullmatch(part.name) is None
            return unfit or len(part.id) > id_max
        case ToolResult():
            return len(part.call) > id_max
        case _:
            return False


def _turn(turn: Turn, number: int, id_max: int, losses: Losses) -> Turn:
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolCall):
            part = replace(part, id=_short_id(part.id, id_max), name=_short(part.name, part.namespace))
        elif isinstance(part, ToolResult):
            part = replace(part, call=_short_id(part.call, id_max), name=_short(part.name, "") if part.name else "")
        parts.append(part)
    if any(isinstance(part, ToolCall | ToolResult) and _changes(part, id_max) for part in turn.parts):
        losses.note(
            f"messages.{number}", "names or ids of calls that the provider does not take are sent in a shorter form"
        )
    return replace(turn, parts=tuple(parts))


def _choice(choice: ToolChoice | None) -> ToolChoice | None:
    return choice if choice is None or not choice.name else replace(choice, name=_short(choice.name, ""))


def _called(call: ToolCall, names: Names) -> ToolCall:
    return replace(call, name=names.get(call.name, call.name))


def _short(name: str, namespace: str) -> str:
    if namespace or _NAME.fullmatch(name) is not None:
        return name
    return _ILLEGAL.sub("_", name)[: NAME_MAX_CHARS - _DIGEST_CHARS - 1] + "_" + _digest(name)


def _short_id(id: str, most: int) -> str:
    return id if len(id) <= most else id[: most - _DIGEST_CHARS - 1] + "_" + _digest(id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARS]
