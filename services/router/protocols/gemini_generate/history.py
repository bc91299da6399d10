"""The turns of a conversation: `contents` and `systemInstruction` both ways, calls paired with their results. Pure."""

from collections.abc import Sequence

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.gemini_generate.calls import Calls
from services.router.protocols.gemini_generate.fields import Fields, Malformed, fields, items, text
from services.router.protocols.gemini_generate.parts import read_part
from services.router.protocols.gemini_generate.spelled import Spelled, spell_parts, wire_name
from services.router.protocols.loss import Losses
from services.router.protocols.part import Media, Part, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Role, Turn

PLACEHOLDER = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator`: what Gemini takes for the signature of a call that another model made. Without
one its newer models refuse the history."""
_OBJECT = ord("{")
_ROLES: dict[str, Role] = {"": "user", "user": "user", "model": "assistant", "function": "user"}


def read_contents(raw: msgspec.Raw, left: Fields) -> tuple[Turn, ...]:
    """The turns. Results stand in a turn of their own, before what else the content held. What the model said on end is
    one turn: clients keep a streamed answer as a content for each of its pieces. Raises Malformed."""
    calls = Calls()
    turns: list[Turn] = []
    saying: list[list[Part]] = []
    began = 0
    alone = memoryview(raw)[0] == _OBJECT  # the API takes one content for a list of one
    for number, content in enumerate([raw] if alone else items(raw, "contents")):
        path = f"contents.{number}"
        found = fields(content, path)
        role = text(found, "role", path)
        if role not in _ROLES:
            raise Malformed(f"{path}.role", "must be user or model")
        for name, value in found.items():
            if name not in ("role", "parts"):
                left[f"{path}.{name}"] = value
        if _ROLES[role] == "assistant":
            began = began if saying else number
            saying.append(_said(found, began, path, calls, left))
            continue
        turns += _assistant(saying)
        saying = []
        turns += _user(found, path, calls, left)
    return (*turns, *_assistant(saying))


def read_system(raw: msgspec.Raw | None, left: Fields) -> tuple[Turn, ...]:
    """The system's turn; none for an empty instruction. Raises Malformed."""
    if raw is None:
        return ()
    parts = _parts(fields(raw, "systemInstruction"), "systemInstruction", left)
    for number, part in enumerate(parts):
        if not isinstance(part, Text):
            raise Malformed(f"systemInstruction.parts.{number}", "must be text")
    return (Turn("system", tuple(parts)),) if parts else ()


def write_history(prompt: Prompt, losses: Losses) -> dict[str, object]:
    """`systemInstruction`, where the history begins with the system's words, and `contents`."""
    foreign = prompt.origin != GEMINI_GENERATE
    names = {
        part.id: wire_name(part.name, part.namespace)
        for turn in prompt.turns
        for part in turn.parts
        if isinstance(part, ToolCall)
    }
    start = next((at for at, turn in enumerate(prompt.turns) if turn.role != "system"), len(prompt.turns))
    made: dict[str, object] = {}
    instruction = [part for at, turn in enumerate(prompt.turns[:start]) for part in _instructing(turn, at, losses)]
    if instruction:
        made["systemInstruction"] = {"parts": instruction}
    contents: list[tuple[Role, list[Spelled]]] = []
    for at, turn in enumerate(prompt.turns[start:], start):
        path = f"messages.{at}.content"
        parts = [
            _named(part, names, f"{path}.{number}", losses) if isinstance(part, ToolResult) else part
            for number, part in enumerate(turn.parts)
        ]
        spelled = spell_parts(parts, path, losses, foreign=foreign)
        _note_name(turn, at, losses)
        if turn.role == "system":
            losses.note(f"messages.{at}.role", "a later message of the system is sent as the user's")
        if foreign and turn.role == "assistant":
            _sign(spelled)
        if contents and turn.role == "tool" == contents[-1][0]:
            contents[-1][1].extend(spelled)  # all results of one round must stand in one content
        elif spelled:
            contents.append((turn.role, spelled))
    made["contents"] = [
        {"role": "model" if role == "assistant" else "user", "parts": parts} for role, parts in contents
    ]
    return made


def _said(found: Fields, turn: int, path: str, calls: Calls, left: Fields) -> list[Part]:
    parts: list[Part] = []
    for at, part in enumerate(_parts(found, path, left)):
        if isinstance(part, ToolResult):
            raise Malformed(path, "must not hold a functionResponse in the role model")
        parts.append(calls.add(part, turn, at) if isinstance(part, ToolCall) else part)
    return parts


def _assistant(contents: list[list[Part]]) -> list[Turn]:
    """Contents on end as one turn, none as none. A text that goes on in the next content is one text; the empty
    one that only carried the end of a stream is none."""
    parts: list[Part] = []
    pieces: list[str] = []  # of the last part, where it is a text
    for content in contents:
        for at, part in enumerate(content):
            if at == 0 and pieces and isinstance(part, Text):
                pieces.append(part.text)
            elif at > 0 or not parts or part != Text(""):
                _end(parts, pieces)
                parts.append(part)
                pieces = [part.text] if isinstance(part, Text) else []
    _end(parts, pieces)
    return [Turn("assistant", tuple(parts))] if contents else []


def _end(parts: list[Part], pieces: list[str]) -> None:
    if len(pieces) > 1:
        parts[-1] = Text("".join(pieces))


def _user(found: Fields, path: str, calls: Calls, left: Fields) -> list[Turn]:
    results: list[Part] = []
    words: list[Part] = []
    for part in _parts(found, path, left):
        if isinstance(part, ToolCall):
            raise Malformed(path, "must not hold a functionCall in the role user")
        if isinstance(part, ToolResult):
            results.append(calls.answered(part, path))
        elif isinstance(part, Thinking):
            left[f"{path}.thoughtSignature"] = msgspec.Raw(msgspec.json.encode(part.signature))
            if part.text:
                words.append(Text(part.text))
        else:
            words.append(part)
    made = [Turn("tool", tuple(results))] if results else []
    return made + ([Turn("user", tuple(words))] if words or not results else [])


def _parts(found: Fields, path: str, left: Fields) -> list[Part]:
    made: list[Part] = []
    for number, raw in enumerate(items(found.get("parts"), f"{path}.parts")):
        made += read_part(raw, f"{path}.parts.{number}", left)
    return made


def _instructing(turn: Turn, at: int, losses: Losses) -> Sequence[Spelled]:
    _note_name(turn, at, losses)
    parts: list[Part] = []
    for number, part in enumerate(turn.parts):
        if isinstance(part, Media):
            losses.grave(f"messages.{at}.content.{number}", "the system's instruction can only be text")
        else:
            parts.append(part)
    return spell_parts(parts, f"messages.{at}.content", losses, foreign=True)


def _note_name(turn: Turn, at: int, losses: Losses) -> None:
    if turn.name:
        losses.note(f"messages.{at}.name", "the name of the speaker is left out")


def _named(result: ToolResult, names: dict[str, str], path: str, losses: Losses) -> ToolResult:
    """The result with the name of its function as the call has it, which Gemini demands."""
    if result.call not in names:
        losses.grave(path, "the result answers no call of the history")
    return msgspec.structs.replace(result, name=names.get(result.call) or result.name or "unknown")


def _sign(parts: list[Spelled]) -> None:
    """The first of a turn's calls carries the signature of all."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and "thoughtSignature" not in first:
        first["thoughtSignature"] = PLACEHOLDER
