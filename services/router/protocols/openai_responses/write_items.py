"""Turns as input items. Pure."""

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE, OPENAI_RESPONSES
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.content import WITHIN, own, write_input
from services.router.protocols.openai_responses.reading import Json
from services.router.protocols.openai_responses.seal import NAMELESS
from services.router.protocols.openai_responses.tools import grouped
from services.router.protocols.part import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Turn

Item = Json | msgspec.Raw
TURNS = {OPENAI_RESPONSES: "input", GEMINI_GENERATE: "contents"}
"""What a protocol calls its turns, in reports of losses; the others say messages."""


def write_items(prompt: Prompt, losses: Losses) -> tuple[str | None, list[Item]]:
    """The instructions (a first system turn of one text) and the items."""
    turns = prompt.turns
    instructions: str | None = None
    if turns and turns[0].role == "system" and len(turns[0].parts) == 1:
        first = turns[0].parts[0]
        if isinstance(first, Text):
            if first.cache is not None:
                losses.note("instructions.cache", "cache marks are not carried; prefixes are cached without them")
            instructions, turns = first.text, turns[1:]
    writing = _Writing(prompt, losses)
    for at, turn in enumerate(turns, start=len(prompt.turns) - len(turns)):
        writing.turn(turn, f"{TURNS.get(prompt.origin, 'messages')}.{at}")
    return instructions, writing.items


class _Writing:
    def __init__(self, prompt: Prompt, losses: Losses) -> None:
        self._origin = prompt.origin
        self._losses = losses
        self._custom: set[str] = set()
        self.items: list[Item] = []

    def turn(self, turn: Turn, path: str) -> None:
        if turn.name:
            self._losses.note(f"{path}.name", "names of speakers are not carried")
        if turn.role == "assistant":
            self._assistant(turn, path)
            return
        said: list[Part] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, ToolResult):
                self._result(part, f"{path}.{at}")
            elif isinstance(part, Opaque) and not part.type.startswith(WITHIN):
                self._given(turn.role, said, path)
                said = []
                raw = own(part, f"{path}.{at}", self._losses)
                if raw is not None:
                    self.items.append(raw)
            else:
                said.append(part)
        self._given(turn.role, said, path)

    def _given(self, role: str, said: list[Part], path: str) -> None:
        content = self._content(said, path)
        if content:
            self.items.append({"type": "message", "role": role, "content": content})

    def _content(self, parts: list[Part], path: str) -> list[Item]:
        made: list[Item] = []
        for at, part in enumerate(parts):
            if isinstance(part, Text | Refusal | Media | Opaque):
                one = write_input(part, f"{path}.{at}", self._origin, self._losses)
                if one is not None:
                    made.append(one)
            else:
                self._losses.grave(f"{path}.{at}", "a part that does not belong in this turn is not carried")
        return made

    def _assistant(self, turn: Turn, path: str) -> None:
        words: list[Text | Refusal | Opaque] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text | Refusal) or (isinstance(part, Opaque) and part.type.startswith(WITHIN)):
                words.append(part)
                continue
            self._said(words)
            words = []
            self._made(part, f"{path}.{at}")
        self._said(words)

    def _said(self, words: list[Text | Refusal | Opaque]) -> None:
        """One message; as a plain string where it can be, which every server of this protocol reads."""
        if not words:
            return
        content: object = [_word(word) for word in words]
        if len(words) == 1 and isinstance(words[0], Text) and words[0].text:
            content = words[0].text
        self.items.append({"type": "message", "role": "assistant", "content": content})

    def _made(self, part: Part, path: str) -> None:
        match part:
            case Thinking():
                self._thinking(part, path)
            case ToolCall():
                self._call(part, path)
            case Opaque():
                raw = own(part, path, self._losses)
                if raw is not None:
                    self.items.append(raw)
            case _:
                self._losses.grave(path, "what the model made but words and calls is not carried")

    def _thinking(self, part: Thinking, path: str) -> None:
        """Only a seal of this protocol's own means anything to the provider."""
        if self._origin != OPENAI_RESPONSES or not part.sealed or not part.id:
            self._losses.note(path, "reasoning that this provider did not seal is not shown to it")
            return
        item: Json = {"type": "reasoning", "encrypted_content": part.sealed}
        if part.id != NAMELESS:
            item["id"] = part.id
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        self.items.append(item | {"summary": summary})

    def _call(self, part: ToolCall, path: str) -> None:
        if part.signature:
            self._losses.note(path, "the signature of a tool call is not carried")
        namespace, name = grouped(part.namespace, part.name)
        item: Json = {"type": "function_call", "call_id": part.id, "name": name}
        if namespace:
            item["namespace"] = namespace
        if part.custom:
            self._custom.add(part.id)
            self.items.append(item | {"type": "custom_tool_call", "input": part.arguments})
        else:
            self.items.append(item | {"arguments": part.arguments or "{}"})

    def _result(self, part: ToolResult, path: str) -> None:
        if part.failed:
            self._losses.note(f"{path}.failed", "that a tool failed is told by its words alone")
        if part.cache is not None:
            self._losses.note(f"{path}.cache", "cache marks are not carried; prefixes are cached without them")
        kind = "custom_tool_call_output" if part.call in self._custom else "function_call_output"
        output: object = ""
        if len(part.parts) == 1 and isinstance(part.parts[0], Text):
            output = part.parts[0].text
        elif part.parts:
            output = self._content(list(part.parts), path)
        self.items.append({"type": kind, "call_id": part.call, "output": output})


def _word(word: Text | Refusal | Opaque) -> Item:
    if isinstance(word, Opaque):
        return word.raw
    if isinstance(word, Refusal):
        return {"type": "refusal", "refusal": word.text}
    return {"type": "output_text", "text": word.text, "annotations": []}
